"""Tables as Parquet and Avro files, made from the same columns."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
from pyarrow import parquet as pq

_AVRO = {
    "int64": "long",
    "double": "double",
    "float": "float",
    "string": "string",
    "binary": "bytes",
    "bool": "boolean",
}


def parquet_bytes(table: pa.Table, **options: Any) -> bytes:
    """A table as a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def avro_bytes(table: pa.Table, *, codec: str = "deflate", **options: Any) -> bytes:
    """A table of simple columns as an Avro file, each of its fields a union with null."""
    fields = [{"name": entry.name, "type": _avro_type(entry.type)} for entry in table.schema]
    return avro_records({"type": "record", "name": "Row", "fields": fields}, table.to_pylist(), codec=codec, **options)


def avro_records(schema: dict[str, Any], records: list[dict[str, Any]], **options: Any) -> bytes:
    """Records as an Avro file; the same bytes for the same records."""
    buffer = io.BytesIO()
    fastavro.writer(buffer, fastavro.parse_schema(schema), records, sync_marker=b"0123456789abcdef", **options)
    return buffer.getvalue()


def avro_of(kind: Any, values: list[Any], **options: Any) -> bytes:
    """One column `x` as an Avro file."""
    schema = {"type": "record", "name": "Row", "fields": [{"name": "x", "type": kind}]}
    return avro_records(schema, [{"x": value} for value in values], **options)


def parquet_of(values: list[Any] | pa.Array, kind: pa.DataType | None = None, **options: Any) -> bytes:
    """One column `x` as a Parquet file."""
    array = values if isinstance(values, pa.Array) else pa.array(values, kind)
    return parquet_bytes(pa.table({"x": array}), **options)


def write(path: Path, content: bytes) -> Path:
    """Writes a file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _avro_type(kind: pa.DataType) -> Any:
    if pa.types.is_null(kind):
        return "null"
    if pa.types.is_list(kind):
        return ["null", {"type": "array", "items": _AVRO[str(kind.value_type)]}]
    return ["null", _AVRO[str(kind)]]
