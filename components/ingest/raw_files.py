"""Opens the files of a table or of tf.Examples, whatever their format, as parts that are ready to be encoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from components.ingest.encoding import BATCH_BYTES, Part, slices
from components.ingest.overflows import Overflows
from components.ingest.sources import AVRO, CSV, PARQUET, SourceFile
from components.ingest.tables.columns import Kind
from components.ingest.tables.csv.files import CsvTable
from components.ingest.tables.csv.options import CsvOptions
from components.ingest.tables.csv.text_causes import TextCause
from components.runtime.data import tfrecord

if TYPE_CHECKING:
    from components.ingest.tables.avro.files import AvroTable
    from components.ingest.tables.parquet import ParquetTable
    from components.ingest.tables.table_columns import Column

_BATCH_RECORDS = 16384
_WORTH_PROCESSES = 4 << 20
"""Bytes of input from which processes for the encoding pay for their start."""


@dataclass(frozen=True)
class RawFiles:
    """Files that have been looked at, ready to be read.

    Attributes:
      parts: their records.
      columns: type by name where it is known beforehand, with what integers count: `int64, days since 1970-01-01`.
      rows: how many there are; 0 where only a reader of all of them knows.
      unit: what these are.
      large: whether processes for the encoding pay for their start.
      text_causes: single cells of CSV files for which columns are text.
      overflows: numbers beyond float32 in tables, once the parts have been read.
    """

    parts: Iterator[Part] = field(default_factory=lambda: iter(()))
    columns: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    unit: str = "rows"
    large: bool = False
    text_causes: list[TextCause] = field(default_factory=list)
    overflows: Overflows = field(default_factory=Overflows)


def open_files(
    kind: str, files: list[SourceFile], options: CsvOptions, known: Mapping[str, Kind] | None = None
) -> RawFiles:
    """Looks at files of one format, and gets ready to read them.

    Args:
      kind: the format.
      files: in the order of their rows.
      options: how CSV files are written.
      known: the types that columns had in other data; these have them too, where their values can.

    Raises:
      InputError: they cannot be used.
    """
    # Arrow's own allocator gives large pieces back between batches, and to get them anew is a tenth of ingest's work.
    pa.set_memory_pool(pa.system_memory_pool())
    # Each format's library is imported where there is a file of it.
    if kind == CSV:
        return of_csv(CsvTable.scan(files, options, known or {}))
    if kind == PARQUET:
        from components.ingest.tables.known_types import as_known
        from components.ingest.tables.parquet import ParquetTable

        parquet = ParquetTable.scan(files)
        parquet.columns = as_known(parquet.columns, known or {}, parquet.stored, parquet.unsigned)
        return of_parquet(parquet)
    if kind == AVRO:
        from components.ingest.tables.avro.files import AvroTable
        from components.ingest.tables.known_types import as_known

        avro = AvroTable.scan(files)
        avro.columns = as_known(avro.columns, known or {}, avro.stored)
        return of_avro(avro)
    return of_tfrecords(files)


def of_csv(table: CsvTable) -> RawFiles:
    """Files of CSV whose types are known."""
    large = sum(file.size for file in table.files) > _WORTH_PROCESSES
    labels = {name: table.kinds[name].label for name in table.names}
    return RawFiles(
        _table_parts(table.batches()), labels, table.rows, "rows", large, table.text_causes, table.overflows
    )


def of_parquet(table: ParquetTable) -> RawFiles:
    """Files of Parquet whose types are known."""
    labels = _labels(table.columns)
    return RawFiles(_table_parts(table.batches()), labels, table.rows, large=table.is_large, overflows=table.overflows)


def of_avro(table: AvroTable) -> RawFiles:
    """Files of Avro whose types are known."""
    parts = (Part(file.name, file.split, rows) for file, rows in table.parts())
    return RawFiles(parts, _labels(table.columns), large=table.is_large)


def of_tfrecords(files: Sequence[SourceFile]) -> RawFiles:
    """Files of tf.Examples."""
    return RawFiles(_tfrecord_parts(files), large=sum(file.stored_bytes for file in files) > _WORTH_PROCESSES // 4)


def _labels(columns: Mapping[str, Column]) -> dict[str, str]:
    return {name: ", ".join(filter(None, [column.label, column.unit])) for name, column in columns.items()}


def _table_parts(batches: Iterator[tuple[SourceFile, pa.RecordBatch]]) -> Iterator[Part]:
    for file, rows in batches:
        for part in slices(rows):
            yield Part(file.name, file.split, part)


def _tfrecord_parts(files: Sequence[SourceFile]) -> Iterator[Part]:
    for file in files:
        records: list[bytes] = []
        first, size = 1, 0
        with file.open() as stream:
            for record in tfrecord.read_stream(stream, file.name):
                records.append(record)
                size += len(record)
                if len(records) == _BATCH_RECORDS or size >= BATCH_BYTES:
                    yield Part(file.name, file.split, records, first)
                    first, records, size = first + len(records), [], 0
        if records:
            yield Part(file.name, file.split, records, first)
