"""Writes batches of columns as Parquet, CSV or TFRecord, bit by bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv
from pyarrow import parquet as pq

from components.runtime.data import tfrecord
from components.runtime.data.example_columns import encode_batch

SUFFIXES = {"parquet": ".parquet", "csv": ".csv", "tfrecord": ".tfrecord.gz"}

_GROUP_ROWS = 1 << 16
_GROUP_BYTES = 16 << 20


class Writer(Protocol):
    """One file that grows batch by batch."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Appends rows."""

    def close(self) -> None:
        """Ends the file; without it, it is none."""


def writer(output_format: str, path: Path, schema: pa.Schema) -> Writer:
    """A new file.

    Args:
      output_format: a key of `SUFFIXES`.
      path: where.
      schema: of the batches.
    """
    kinds: dict[str, type[_Parquet | _Csv | _TFRecord]] = {"parquet": _Parquet, "csv": _Csv, "tfrecord": _TFRecord}
    return kinds[output_format](path, schema)


class _Parquet:
    """Row groups are much larger than batches: what reads the file skips and reads by them."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema)
        self._waiting: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting, self._schema))
        self._waiting, self._rows, self._bytes = [], 0, 0

    def close(self) -> None:
        self._flush()
        self._writer.close()


class _Csv:
    """Numbers as they are, lists as JSON, nothing for what is missing."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        plain = pa.schema([(each.name, pa.string() if pa.types.is_list(each.type) else each.type) for each in schema])
        self._writer = csv.CSVWriter(path, plain)

    def write(self, batch: pa.RecordBatch) -> None:
        columns = [_as_json(column) if pa.types.is_list(column.type) else column for column in batch.columns]
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, batch.schema.names))

    def close(self) -> None:
        self._writer.close()


class _TFRecord:
    """tf.Examples in gzip, in their canonical bytes."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = tfrecord.Writer(path)

    def write(self, batch: pa.RecordBatch) -> None:
        columns = [_as_feature(column) for column in batch.columns]
        encoded = encode_batch(pa.RecordBatch.from_arrays(columns, batch.schema.names))
        self._writer.write(encoded.examples.to_pylist())

    def close(self) -> None:
        self._writer.close()


def _as_json(lists: pa.ListArray) -> pa.Array:
    if not (pa.types.is_integer(lists.type.value_type) or pa.types.is_floating(lists.type.value_type)):
        texts = (None if row is None else json.dumps(row, ensure_ascii=False) for row in lists.to_pylist())
        return pa.array(texts, pa.string())
    texts = pa.ListArray.from_arrays(lists.offsets, lists.values.cast(pa.string()), mask=_mask(lists))
    return pc.binary_join_element_wise("[", pc.binary_join(texts, ", "), "]", "")


def _mask(lists: pa.ListArray) -> pa.Array | None:
    return lists.is_null() if lists.null_count else None


def _as_feature(column: pa.Array) -> pa.Array:
    """A column of a type that tf.Examples have."""
    if pa.types.is_list(column.type):
        return column.cast(pa.list_(_feature_type(column.type.value_type)))
    return column.cast(_feature_type(column.type))


def _feature_type(kind: pa.DataType) -> Any:
    if pa.types.is_floating(kind):
        return pa.float32()
    return pa.int64() if pa.types.is_integer(kind) or pa.types.is_boolean(kind) else pa.binary()
