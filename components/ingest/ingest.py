"""Reads raw data and writes it as tf.Examples in splits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.ingest.csv_files import CsvTable
from components.ingest.output import SplitWriter
from components.ingest.sources import CSV, SourceFile, Sources, find, format_of
from components.ingest.splits import Splits
from components.runtime import tfrecord
from components.runtime.artifacts import OutputArtifact
from components.runtime.errors import InputError
from components.runtime.examples import canonical, encode_batch
from components.runtime.progress import report

_BATCH_BYTES = 16 << 20
_BATCH_RECORDS = 16384


@dataclass(frozen=True)
class Batch:
    """Records of one file: their canonical bytes, and what each says (see `components.runtime.examples.identity`)."""

    file: SourceFile
    records: list[bytes]
    identities: list[bytes]


def ingest(
    examples: OutputArtifact,
    data: str,
    format: str,
    splits: dict[str, Any],
    split_patterns: dict[str, Any],
) -> None:
    """Writes the raw data's records as tf.Examples.

    Args:
      examples: gets `Split-<name>/data_tfrecord-<shard>-of-<shards>.gz`.
      data: folder or file, as a path or a gs:// or s3:// URI.
      format: of the files: csv, tfrecord, or auto.
      splits: number of hash buckets of each split.
      split_patterns: file pattern of each split; where given, `splits` is not looked at.

    Raises:
      InputError: the data or the parameters cannot be used.
    """
    buckets = None if split_patterns else Splits.parse(splits)
    names = buckets.names if buckets else tuple(sorted(split_patterns))
    sources = find(data, split_patterns)
    kind = format_of(sources.files, format)
    table = CsvTable.scan(sources.files) if kind == CSV else None
    batches = _csv_batches(table) if table else _tfrecord_batches(sources.files)
    rows = _write(batches, examples, names, buckets)
    for name, count in rows.items():
        if count == 0:
            raise InputError(_empty_split(data, name, names, sum(rows.values()), buckets))
    examples.metadata |= {
        "splits": list(names),
        "rows": sum(rows.values()),
        "format": kind,
        "content": _content(sources),
    }
    examples.metadata |= {f"rows_{name}": count for name, count in rows.items()}
    examples.metadata |= {"files": len(sources.files), "input_bytes": sum(file.size for file in sources.files)}
    if table:
        examples.metadata["columns"] = {name: table.kinds[name].label for name in table.names}
    if sources.span is not None:
        examples.metadata["span"] = sources.span


def _write(
    batches: Iterator[Batch], examples: OutputArtifact, names: tuple[str, ...], buckets: Splits | None
) -> dict[str, int]:
    """Writes every record into its split; returns the rows of each."""
    with ExitStack() as stack:
        writers = [stack.enter_context(SplitWriter(examples.split(name))) for name in names]
        for batch in batches:
            if buckets is None:
                writers[names.index(str(batch.file.split))].write(batch.records)
            else:
                for writer, chosen in zip(writers, _parted(buckets.of(batch.identities), len(names)), strict=True):
                    writer.write([batch.records[index] for index in chosen])
            report(f"{sum(writer.rows for writer in writers):,} rows", force=False)
        for writer in writers:
            writer.close()
        rows = {name: writer.rows for name, writer in zip(names, writers, strict=True)}
    report(", ".join(f"{count:,} rows in {name}" for name, count in rows.items()))
    return rows


def _parted(split_of_row: npt.NDArray[np.int64], count: int) -> list[list[int]]:
    return [np.flatnonzero(split_of_row == split).tolist() for split in range(count)]


def _csv_batches(table: CsvTable) -> Iterator[Batch]:
    for file, rows in table.batches():
        for part in _slices(rows):
            encoded = encode_batch(part)
            yield Batch(file, encoded.examples.to_pylist(), encoded.identities.to_pylist())


def _slices(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cuts a batch so that its tf.Examples, which repeat the names of the columns, stay small."""
    framing = sum(len(name.encode()) + 24 for name in rows.schema.names)
    size = max(1, int(_BATCH_BYTES / (framing + rows.nbytes / rows.num_rows)))
    for start in range(0, rows.num_rows, size):
        yield rows.slice(start, size)


def _tfrecord_batches(files: Sequence[SourceFile]) -> Iterator[Batch]:
    for file in files:
        records: list[bytes] = []
        identities: list[bytes] = []
        size = 0
        with file.open() as stream:
            for number, record in enumerate(tfrecord.read_stream(stream, file.name), 1):
                try:
                    whole, identity = canonical(record)
                except ValueError as error:
                    raise InputError(f"{file.name}: record {number} is not a tf.Example: {error}") from None
                records.append(whole)
                identities.append(identity)
                size += len(whole)
                if len(records) == _BATCH_RECORDS or size >= _BATCH_BYTES:
                    yield Batch(file, records, identities)
                    records, identities, size = [], [], 0
        yield Batch(file, records, identities)


def _empty_split(data: str, name: str, names: tuple[str, ...], rows: int, buckets: Splits | None) -> str:
    if rows == 0:
        return f"{data}: no records in any file: set data to files with records"
    if buckets is None:
        return f"{data}: the files of the split {name!r} hold no records: mend its pattern in split_patterns"
    return (
        f"{data}: the split {name!r} got none of the {rows} rows: "
        f"give more rows that differ, or another number of buckets to {name!r} in splits"
    )


def _content(sources: Sources) -> str:
    """Identifies the raw bytes, wherever they lie: sha256 over the files' names and digests."""
    listing = hashlib.sha256()
    for file in sources.files:
        listing.update(f"{file.label}\0{file.digest}\n".encode())
    return f"sha256:{listing.hexdigest()}"
