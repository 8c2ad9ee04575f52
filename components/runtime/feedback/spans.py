"""Spans of training data made of feedback: where they lie, how they appear, and which predictions are in one already.

A span and the record of its predictions cannot appear in one step. The record is written first, under a hidden name,
with the digest of the span's file; once the span has its place, the record gets its own. Whoever comes next ends what
a process that died in between has begun: no prediction is in two spans, and none is lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from components.runtime.errors import InputError, TransientError
from components.runtime.stage.artifacts import file_digest, sync

SPAN = "{SPAN}"
FILE = "part.parquet"

_NAME = f"span-{SPAN}"
_RECORDS = "spans"
_LOCK = ".feedback.lock"
_PLACE = b"millrace.span"
_STAGING = ".staging-span-"
_ABANDONED_SECONDS = 3600


@dataclass(frozen=True)
class Spans:
    """The spans of a model's raw data.

    Attributes:
      data: the folder that they lie in.
      name: of each, with `{SPAN}` for its number.
    """

    data: Path
    name: str

    @classmethod
    def of(cls, data: str) -> Spans:
        """Those of the raw data as the settings or a person name it: with `{SPAN}` in it, or the folder of the spans.

        Raises:
          InputError: they are in an object store, or `{SPAN}` is not in the last folder of the path.
        """
        if "://" in data:
            raise InputError(f"{data}: spans are written into a folder of this machine; name one (--out)")
        path = Path(data).expanduser().absolute()
        if SPAN not in str(path):
            made = cls(path, _NAME)
        else:
            place = next(place for place, part in enumerate(path.parts) if SPAN in part)
            made = cls(Path(*path.parts[:place]), path.parts[place])
        there = next(folder for folder in (made.data, *made.data.parents) if folder.exists() or folder.is_symlink())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise InputError(f"{data}: {there} is no folder that can be written; name another one (--out)")
        return made

    @property
    def pattern(self) -> str:
        """What ingest takes the newest of."""
        return str(self.data / self.name)

    @property
    def are_counted(self) -> bool:
        """Whether ingest can take several of the newest: it knows them by this name."""
        return self.name == _NAME

    def folders(self) -> dict[int, Path]:
        """The spans that there are, by number."""
        before, _, behind = self.name.partition(SPAN)
        name = re.compile(f"{re.escape(before)}([0-9]+){re.escape(behind)}")
        entries = self.data.iterdir() if self.data.is_dir() else ()
        return {int(match[1]): entry for entry in entries if (match := name.fullmatch(entry.name))}

    def next(self) -> tuple[int, Path]:
        """Number and folder of the next span."""
        number = max(self.folders(), default=0) + 1
        return number, self.data / self.name.replace(SPAN, str(number))


@contextlib.contextmanager
def alone(log: Path) -> Iterator[None]:
    """Holds the feedback of a model for one process, and ends what one that died has begun.

    Args:
      log: of the model.

    Raises:
      TransientError: another process joins labels with this log.
    """
    with (log / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TransientError(f"{log}: another feedback is under way with this log; try again") from None
        for file in (log / _RECORDS).glob(".*.parquet"):
            place = _place(file)
            part = Path(place["folder"]) / FILE if place else None
            if place and part and part.is_file() and file_digest(part) == place["digest"]:
                os.replace(file, file.with_name(file.name.removeprefix(".")))
            else:
                file.unlink()
        yield


def used(log: Path) -> set[str]:
    """Ids of the predictions that are in a span already, wherever it is by now."""
    found: set[str] = set()
    for file in (log / _RECORDS).glob("[!.]*.parquet"):
        try:
            with file.open("rb") as stream:
                found.update(parquet.ParquetFile(stream).read().column("prediction_id").to_pylist())
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{file}: tells which predictions are in a span, and cannot be read: {error}") from None
    return found


def publish(spans: Spans, log: Path, rows: pa.Table, ids: list[str]) -> tuple[int, Path]:
    """Writes the next span, and notes which predictions are in it; called with the log held.

    Args:
      spans: of the model.
      log: of the model.
      rows: with the columns of its raw data.
      ids: of the prediction of each row.

    Returns:
      number and folder.

    Raises:
      InputError: the folder of the spans cannot be made.
      TransientError: another process made a span of the same number meanwhile.
    """
    try:
        spans.data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{spans.data}: cannot be made ({error.strerror}); name another folder (--out)") from None
    for left in spans.data.glob(f"{_STAGING}*"):
        if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    staged = Path(tempfile.mkdtemp(prefix=_STAGING, dir=spans.data))
    record = None
    try:
        staged.chmod(0o755)
        parquet.write_table(rows, staged / FILE, compression="zstd")
        sync(staged)
        number, folder = spans.next()
        (log / _RECORDS).mkdir(exist_ok=True)
        record = log / _RECORDS / f".{uuid.uuid4().hex}.parquet"
        place = json.dumps({"folder": str(folder), "digest": file_digest(staged / FILE)})
        named = pa.table({"prediction_id": ids}).replace_schema_metadata({_PLACE: place.encode()})
        parquet.write_table(named, record, compression="zstd")
        sync(record)
        if folder.exists():
            raise FileExistsError(folder)
        staged.rename(folder)
    except BaseException as error:
        shutil.rmtree(staged, ignore_errors=True)
        if record:
            record.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise TransientError(f"{error}: made by somebody else meanwhile; try again") from None
        raise
    sync(spans.data, inside=False)
    os.replace(record, record.with_name(record.name.removeprefix(".")))
    return number, folder


def _place(record: Path) -> dict[str, str] | None:
    try:
        with record.open("rb") as stream:
            found = json.loads(parquet.ParquetFile(stream).schema_arrow.metadata[_PLACE])
            return {name: str(found[name]) for name in ("folder", "digest")}
    # Cut off while it was written: then nothing came of it.
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
        return None
