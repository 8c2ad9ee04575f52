"""Reads raw data and writes it as tf.Examples in splits."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pyarrow as pa

from components.ingest.csv_files import CsvTable
from components.ingest.encoding import Encoded, Part, encoding
from components.ingest.image_ingestion import NO_COMPRESSION, ImageIngestion, are_images
from components.ingest.output import SplitWriter
from components.ingest.sources import CSV, IMAGES, SourceFile, Sources, find, format_of
from components.ingest.splits import Splits
from components.runtime import tfrecord
from components.runtime.artifacts import OutputArtifact
from components.runtime.errors import InputError
from components.runtime.progress import report

_BATCH_BYTES = 8 << 20
_BATCH_RECORDS = 16384
_WORTH_PROCESSES = 4 << 20
"""Bytes of input from which processes for the encoding pay for their start."""


def ingest(
    examples: OutputArtifact,
    data: str,
    format: str,
    splits: dict[str, Any],
    split_patterns: dict[str, Any],
    images: dict[str, Any] = {},  # noqa: B006 (only read)
) -> None:
    """Writes the raw data's records as tf.Examples.

    Args:
      examples: gets `Split-<name>/data_tfrecord-<shard>-of-<shards>.gz`.
      data: folder or file, as a path or a gs:// or s3:// URI.
      format: of the files: csv, tfrecord, images, or auto.
      splits: number of hash buckets of each split.
      split_patterns: file pattern of each split; where given, `splits` is not looked at.
      images: layout of images, see `components.ingest.image_settings`.

    Raises:
      InputError: the data or the parameters cannot be used.
    """
    buckets = None if split_patterns else Splits.parse(splits)
    names = buckets.names if buckets else tuple(sorted(split_patterns))
    if are_images(data, format, split_patterns, images):
        kind = IMAGES
        ingestion = ImageIngestion.find(data, split_patterns, images)
        rows = _write(ingestion.encoding(names, buckets), examples, names, gzip_level=NO_COMPRESSION)
        ingestion.raise_faults()
        sources, facts = ingestion.sources(), ingestion.facts()
    else:
        sources = find(data, split_patterns)
        kind = format_of(sources.files, format)
        table = CsvTable.scan(sources.files) if kind == CSV else None
        parts = _csv_parts(table) if table else _tfrecord_parts(sources.files)
        large = sum(file.size for file in sources.files) > _WORTH_PROCESSES
        processes = os.cpu_count() or 1 if large else 0
        rows = _write(encoding(parts, names, buckets, processes=processes), examples, names)
        facts = {"columns": {name: table.kinds[name].label for name in table.names}} if table else {}
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
    examples.metadata |= facts
    if sources.span is not None:
        examples.metadata["span"] = sources.span


def _write(
    encoding: AbstractContextManager[Iterator[Encoded]],
    examples: OutputArtifact,
    names: tuple[str, ...],
    *,
    gzip_level: int = tfrecord.GZIP_LEVEL,
) -> dict[str, int]:
    """Writes every record into its split; returns the rows of each."""
    with ExitStack() as stack:
        encoded = stack.enter_context(encoding)
        writers = [stack.enter_context(SplitWriter(examples.split(name), gzip_level=gzip_level)) for name in names]
        for batch in encoded:
            for writer, rows, framed in zip(writers, batch.rows, batch.framed, strict=True):
                writer.append(framed, rows)
            report(f"{sum(writer.rows for writer in writers):,} rows", force=False)
        for writer in writers:
            writer.close()
        counts = {name: writer.rows for name, writer in zip(names, writers, strict=True)}
    report(", ".join(f"{count:,} rows in {name}" for name, count in counts.items()))
    return counts


def _csv_parts(table: CsvTable) -> Iterator[Part]:
    for file, rows in table.batches():
        for part in _slices(rows):
            yield Part(file.name, file.split, part)


def _slices(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cuts a batch so that its tf.Examples, which repeat the names of the columns, stay small."""
    framing = sum(len(name.encode()) + 24 for name in rows.schema.names)
    size = max(1, int(_BATCH_BYTES / (framing + rows.nbytes / rows.num_rows)))
    for start in range(0, rows.num_rows, size):
        yield rows.slice(start, size)


def _tfrecord_parts(files: Sequence[SourceFile]) -> Iterator[Part]:
    for file in files:
        records: list[bytes] = []
        first, size = 1, 0
        with file.open() as stream:
            for record in tfrecord.read_stream(stream, file.name):
                records.append(record)
                size += len(record)
                if len(records) == _BATCH_RECORDS or size >= _BATCH_BYTES:
                    yield Part(file.name, file.split, records, first)
                    first, records, size = first + len(records), [], 0
        if records:
            yield Part(file.name, file.split, records, first)


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
