"""Ingest by workers of Beam, each of which reads whole raw files: they make what one process makes, byte for byte.

There are three pipelines, one after the other. Between them the stage looks at what came of all files, in their order:

1. The types of the columns in each file, which are joined to those of all.
2. The records of each file, encoded and divided into splits as one process does, in blocks beside the artifact.
3. The shards. Where one ends depends on all records before it; by then that is known, and each is put together of its
   blocks and compressed.

What workers are given and what they find lies in files of the artifact's folder.
"""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import fs

from components.ingest.encoding import encode
from components.ingest.output import divided, shard_name
from components.ingest.overflows import Overflows
from components.ingest.raw_files import RawFiles, of_avro, of_csv, of_parquet, of_tfrecords
from components.ingest.sample.sampling import Reservoir
from components.ingest.sources import AVRO, CSV, TFRECORD, SourceFile
from components.ingest.splits import Splits
from components.ingest.tables import known_types
from components.ingest.tables.avro.files import AvroTable, schema_of
from components.ingest.tables.columns import Kind
from components.ingest.tables.csv.files import CsvTable
from components.ingest.tables.csv.options import CsvOptions
from components.ingest.tables.parquet import ParquetTable, footer
from components.runtime.data import tfrecord
from components.runtime.data.beam import mapped
from components.runtime.stage import progress
from components.runtime.stage.artifacts import OutputArtifact, remove, written_whole

_WORK = ".work"
_CODEC = "zstd"
Table = CsvTable | ParquetTable | AvroTable


@dataclass(frozen=True)
class _Looked:
    """What was found in one raw file, and what is known of its bytes."""

    found: Any
    digest: str
    size: int


@dataclass(frozen=True)
class _Reading:
    """One raw file to be encoded: with the types of all files, and where its blocks go."""

    file: SourceFile
    table: Table | None
    blocks: Path


@dataclass(frozen=True)
class _Blocks:
    """The encoded records of one raw file.

    Attributes:
      path: of the file that they are in.
      places: of each part of the raw file and each split: offset in the file, bytes there, bytes framed, rows; int64
        of shape [parts, splits, 4].
      left_out: rows that are in no split.
      overflows: numbers beyond float32.
    """

    path: Path
    places: npt.NDArray[np.int64]
    left_out: int
    overflows: Overflows

    def read(self, place: Sequence[int]) -> bytes:
        """The framed records of a block."""
        offset, stored, framed, _ = map(int, place)
        with self.path.open("rb") as stream:
            stream.seek(offset)
            return _framed(stream.read(stored), framed)


@dataclass(frozen=True)
class _Shard:
    """A shard to be written: its blocks by file, offset, bytes there and bytes framed, and how many rows they have."""

    target: Path
    blocks: list[tuple[Path, int, int, int]]
    rows: int


def ingest_with_beam(
    kind: str,
    files: Sequence[SourceFile],
    options: CsvOptions,
    known: Mapping[str, Kind],
    buckets: Splits | None,
    needed: tuple[str, ...],
    examples: OutputArtifact,
    samples: Mapping[str, Reservoir[Any]],
    beam_options: Sequence[str],
) -> tuple[RawFiles, dict[str, int], int]:
    """Writes every record of the files into its split and its sample.

    Args:
      kind: the format; not images.
      files: in the order of their rows, where the workers see them too; get their digests.
      options: how CSV files are written.
      known: the types that columns had in other data.
      buckets: see `components.ingest.encoding.encode`, as `needed`.
      needed: columns.
      examples: gets the shards.
      samples: of each split, by its name, in the order of the splits.
      beam_options: Beam's command line options.

    Returns:
      What is known of the files, the rows of each split, and how many were left out.

    Raises:
      InputError: a file cannot be used, or the options.
      TransientError: workers or job server were lost.
    """
    work = examples.directory() / _WORK
    work.mkdir()
    names = tuple(samples)
    table = None if kind == TFRECORD else _table(kind, files, options, known, beam_options, work)
    raw = RawFiles() if table is None else _read(table)
    jobs = [
        _Reading(file, table.of(file) if table else None, work / f"{number}.blocks")
        for number, file in enumerate(files)
    ]
    function = functools.partial(_encode, names=names, buckets=buckets, needed=needed)
    with progress.counting(raw.rows, "rows", "encoding examples with Beam"):
        looked = list(mapped(function, jobs, beam_options, work, "encode"))
    encoded: list[_Blocks] = _found(files, looked)
    for each in encoded:
        raw.overflows.merge(each.overflows)
    shards: list[_Shard] = []
    written: list[Path] = []
    for split, name in enumerate(names):
        blocks = [(each, place) for each in encoded for place in each.places[:, split].tolist() if place[3]]
        for each, place in blocks:
            samples[name].add(each.read(place) if samples[name].takes_of(place[3]) else b"", place[3])
        ends = list(divided(place[2] for _, place in blocks))
        for number, (first, behind) in enumerate(ends):
            parts = [(each.path, *place[:3]) for each, place in blocks[first:behind]]
            rows = sum(place[3] for _, place in blocks[first:behind])
            shards.append(_Shard(work / f"{split}-{number}.gz", parts, rows))
            written.append(examples.split(name) / shard_name(number, len(ends)))
    with progress.counting(sum(shard.rows for shard in shards), "rows", "writing examples with Beam"):
        mapped(_write, shards, beam_options, work, "write")
    for shard, file in zip(shards, written, strict=True):
        os.replace(shard.target, file)
    remove(work)
    return raw, {name: samples[name].seen for name in names}, sum(each.left_out for each in encoded)


def _table(
    kind: str,
    files: Sequence[SourceFile],
    options: CsvOptions,
    known: Mapping[str, Kind],
    beam_options: Sequence[str],
    work: Path,
) -> Table:
    """The files with the types of their columns."""
    function = functools.partial(_look, kind=kind, options=options, known=known)
    with progress.counting(None, "rows", "types of the columns with Beam"):
        found = _found(files, list(mapped(function, files, beam_options, work, "types")))
    if kind == CSV:
        return CsvTable.joined(files, found, options, known)
    table = AvroTable.joined(list(files), found) if kind == AVRO else ParquetTable.joined(list(files), found)
    unsigned = table.unsigned if isinstance(table, ParquetTable) else set()
    if asked := known_types.in_question(table.columns, known, unsigned):
        values = functools.partial(_look_at_values, asked=asked)
        seen = mapped(values, [table.of(file) for file in files], beam_options, work, "values")
        table.columns = known_types.typed(table.columns, known, known_types.joined(seen))
    else:
        table.columns = known_types.typed(table.columns, known, {})
    return table


def _found(files: Sequence[SourceFile], looked: Sequence[_Looked]) -> list[Any]:
    """What was found in each file, of which it is noted what is known of its bytes."""
    for file, each in zip(files, looked, strict=True):
        file.digest, file.size = each.digest, each.size
    return [each.found for each in looked]


def _look(file: SourceFile, kind: str, options: CsvOptions, known: Mapping[str, Kind]) -> _Looked:
    _check_seen(file)
    found: Any
    if kind == CSV:
        found = CsvTable.scan_one(file, options, known)
        progress.advance(found.rows)
    else:
        found = schema_of(file) if kind == AVRO else footer(file)
    return _Looked(found, file.digest, file.size)


def _look_at_values(table: ParquetTable | AvroTable, asked: Sequence[str]) -> known_types.Seen:
    return known_types.look(table.columns, asked, table.stored)


def _encode(reading: _Reading, names: tuple[str, ...], buckets: Splits | None, needed: tuple[str, ...]) -> _Looked:
    _check_seen(reading.file)
    raw = of_tfrecords([reading.file]) if reading.table is None else _read(reading.table)
    places: list[list[tuple[int, int, int, int]]] = []
    left_out = 0
    with written_whole(reading.blocks) as part, part.open("wb") as stream:
        for rows in raw.parts:
            encoded = encode(rows, names, buckets, needed)
            raw.overflows.merge(encoded.overflows)
            left_out += encoded.left_out
            places.append([])
            for framed, number in zip(encoded.framed, encoded.rows, strict=True):
                offset = stream.tell()
                stored = stream.write(pa.compress(framed, codec=_CODEC, asbytes=True)) if number else 0
                places[-1].append((offset, stored, len(framed), number))
            progress.advance(sum(encoded.rows) + encoded.left_out)
    shaped = np.array(places, np.int64).reshape(len(places), len(names), 4)
    return _Looked(_Blocks(reading.blocks, shaped, left_out, raw.overflows), reading.file.digest, reading.file.size)


def _write(shard: _Shard) -> None:
    with written_whole(shard.target) as part, tfrecord.Writer(part) as writer:
        for path, offset, stored, framed in shard.blocks:
            with path.open("rb") as stream:
                stream.seek(offset)
                writer.append(_framed(stream.read(stored), framed))
    progress.advance(shard.rows)


def _framed(stored: bytes, size: int) -> bytes:
    framed: bytes = pa.decompress(stored, size, codec=_CODEC, asbytes=True)
    return framed


def _read(table: Table) -> RawFiles:
    if isinstance(table, CsvTable):
        return of_csv(table)
    return of_parquet(table) if isinstance(table, ParquetTable) else of_avro(table)


def _check_seen(file: SourceFile) -> None:
    """What the stage has listed and a worker does not find lies on no storage that they share."""
    if isinstance(file.filesystem, fs.LocalFileSystem) and not os.path.exists(file.path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), file.path)
