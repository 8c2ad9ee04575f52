"""Puts what bulk_infer made where a person wants it: as a folder of shards, or as one file."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from components.runtime.errors import InputError, did_you_mean
from components.runtime.stage.artifacts import EMPTY_NOTE, remove

ENDS = {".parquet": "parquet", ".csv": "csv", ".tfrecord.gz": "tfrecord", ".tfrecord": "tfrecord"}
"""Of the name of one file, with what is in it; anything else names a folder."""
_ENDING = re.compile(r"(?<=.)\.[a-z]{2,8}[0-9]?$", re.I)
"""Of the name of a file, whatever is in it; folders rather end in dates and numbers of versions."""
_CHUNK_BYTES = 1 << 20


def format_of(out: Path) -> str:
    """The format that the name of one file says; empty where it names a folder."""
    return next((name for end, name in ENDS.items() if out.name.lower().endswith(end)), "")


def check(out: Path, output_format: str, *, overwrite: bool, data: str) -> None:
    """Refuses a place that nothing can be put to, before rows are answered for hours.

    Args:
      out: the place.
      output_format: of the predictions.
      overwrite: whether something may lie there.
      data: what is answered, which stays.

    Raises:
      InputError: why it cannot.
    """
    said = format_of(out)
    if said and said != output_format:
        raise InputError(
            f"--out {out}: the name is that of {said}, and the format is {output_format}; name a file that ends in "
            f"{next(end for end, name in ENDS.items() if name == output_format)}, or a folder"
        )
    if not said and not out.is_dir() and (ending := _ENDING.search(out.name)):
        near = did_you_mean(ending[0], ENDS)
        raise InputError(
            f"--out {out}: {ending[0]} is none of the formats of predictions{near}; name a file that ends in .parquet, "
            ".csv or .tfrecord.gz, or a folder without an ending"
        )
    place = Path(os.path.realpath(out))
    if "://" not in data:
        read = Path(os.path.realpath(data))
        if place == read or place in read.parents or (read.is_dir() and read in place.parents):
            raise InputError(f"--out {out}: is, holds or lies in the data that is answered; name another place")
    if os.path.lexists(out) and not overwrite and not (out.is_dir() and not said and not any(out.iterdir())):
        raise InputError(f"--out {out}: is there already; give --overwrite to replace it, or name another place")
    if out.is_dir() and said:
        raise InputError(f"--out {out}: a folder lies there, and the name is that of a file; name another place")
    if out.is_file() and not said:
        near = did_you_mean(out.suffix, ENDS)
        raise InputError(f"--out {out}: a file lies there, and the name is that of a folder{near}; name another place")
    parent = next(each for each in place.parents if each.exists())
    try:
        # (Rights say little of file systems that cannot be written.)
        os.rmdir(tempfile.mkdtemp(prefix=".millrace-", dir=parent))
    except OSError as error:
        raise InputError(f"--out {out}: {parent} cannot be written to ({error.strerror}); name another place") from None


def put(predictions: Path, out: Path, columns: Sequence[str]) -> None:
    """Copies predictions, by one rename when all is there.

    Args:
      predictions: the artifact, with one split.
      out: the place, which `check` let pass.
      columns: of the files.
    """
    [split] = [each for each in predictions.iterdir() if each.is_dir()]
    shards = sorted(file for file in split.iterdir() if file.name != EMPTY_NOTE)
    part = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        remove(part)
        if said := format_of(out):
            _JOIN[said](shards, part, columns)
        else:
            part.mkdir()
            for shard in shards:
                shutil.copyfile(shard, part / shard.name)
        if out.is_dir():
            remove(out)
        os.replace(part, out)
    finally:
        remove(part)


def _join_bytes(shards: Sequence[Path], target: Path, columns: Sequence[str], header: bytes = b"") -> None:
    with target.open("wb") as whole:
        for number, shard in enumerate(shards):
            with shard.open("rb") as stream:
                if number and header:
                    stream.seek(len(header))
                shutil.copyfileobj(stream, whole, _CHUNK_BYTES)


def _join_csv(shards: Sequence[Path], target: Path, columns: Sequence[str]) -> None:
    """All begin with the same header."""
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(columns)
    _join_bytes(shards, target, columns, line.getvalue().encode())


def _join_parquet(shards: Sequence[Path], target: Path, columns: Sequence[str]) -> None:
    from pyarrow import parquet

    with parquet.ParquetWriter(target, parquet.read_schema(shards[0])) as whole:
        for shard in shards:
            with parquet.ParquetFile(shard) as file:
                for group in range(file.num_row_groups):
                    whole.write_table(file.read_row_group(group))


_JOIN = {"parquet": _join_parquet, "csv": _join_csv, "tfrecord": _join_bytes}
"""How one file is made of several. (Gzip may have several members, one behind the other.)"""
