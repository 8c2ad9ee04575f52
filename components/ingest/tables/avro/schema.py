"""The columns of an Avro schema, and the schema with which their values are read fastest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from components.ingest.tables.columns import Kind
from components.ingest.tables.table_columns import NESTED, NO_FEATURE, NO_UNION, Column, column_of, refuse, unify

_PRIMITIVES = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.binary(),
}
_LOGICAL = {
    ("date", "int"): pa.date32(),
    ("time-millis", "int"): pa.time32("ms"),
    ("time-micros", "long"): pa.time64("us"),
    ("timestamp-millis", "long"): pa.timestamp("ms"),
    ("timestamp-micros", "long"): pa.timestamp("us"),
    ("timestamp-nanos", "long"): pa.timestamp("ns"),
    ("local-timestamp-millis", "long"): pa.timestamp("ms"),
    ("local-timestamp-micros", "long"): pa.timestamp("us"),
    ("local-timestamp-nanos", "long"): pa.timestamp("ns"),
}


@dataclass(frozen=True)
class Field:
    """A field of the records.

    Attributes:
      name: of the column.
      stored: the Arrow type of the values as fastavro gives them.
      type: the Arrow type of what they mean.
      column: what they become.
    """

    name: str
    stored: pa.DataType
    type: pa.DataType
    column: Column


@dataclass(frozen=True)
class AvroSchema:
    """What stands in a file's header.

    Attributes:
      fields: in their order.
      reading: the schema without the logical types whose values fastavro would make into slow Python objects.
    """

    fields: tuple[Field, ...]
    reading: Any

    @classmethod
    def parse(cls, schema: Any) -> AvroSchema:
        """Reads a schema.

        Raises:
          ValueError: it is not of records of scalars and lists of scalars; says why.
        """
        if not isinstance(schema, dict) or schema.get("type") != "record":
            kind = _shown(schema)
            raise ValueError(f"its values are of type {kind}, and not records: write records with named fields")
        named: dict[str, Any] = {}
        fields, reading, refused = [], [], []
        for entry in schema.get("fields", []):
            name = entry["name"]
            try:
                stored, meant, stripped = _resolve(entry["type"], named, schema.get("namespace", ""))
                fields.append(Field(name, stored, meant, column_of(meant)))
            except ValueError as error:
                refused.append((name, _shown(entry["type"]), str(error)))
                continue
            reading.append({"name": name, "type": stripped})
        refuse(refused)
        return cls(tuple(fields), {"type": "record", "name": "millrace.Row", "fields": reading})


def _resolve(schema: Any, named: dict[str, Any], namespace: str) -> tuple[pa.DataType, pa.DataType, Any]:
    """The stored type, the meant type, and the schema to read with."""
    if isinstance(schema, list):
        return _union(schema, named, namespace)
    if isinstance(schema, str):
        if schema in _PRIMITIVES:
            return _PRIMITIVES[schema], _PRIMITIVES[schema], schema
        known = named.get(schema) or named.get(f"{namespace}.{schema}")
        if known is None:
            raise ValueError(f"the name {schema!r} stands for no type that is known here")
        return _resolve(known, named, namespace)
    kind, logical = schema["type"], schema.get("logicalType")
    if isinstance(kind, dict | list):
        return _resolve(kind, named, namespace)
    if kind == "array":
        stored, meant, stripped = _resolve(schema["items"], named, namespace)
        return pa.list_(stored), pa.list_(meant), {"type": "array", "items": stripped}
    if kind in ("enum", "fixed"):
        _remember(schema, named, namespace)
    if kind == "enum":
        # Under a name of its own wherever it is used: a schema may define a name only once.
        plain = {"type": "enum", "name": f"millrace.Enum{_number(named)}", "symbols": schema["symbols"]}
        return pa.binary(), pa.binary(), plain
    if logical == "decimal" and kind in ("bytes", "fixed"):
        precision, scale = int(schema["precision"]), int(schema.get("scale", 0))
        number = pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
        plain = {"type": kind, "logicalType": "decimal", "precision": precision, "scale": scale}
        return number, number, plain | _fixed(schema, named)
    if kind == "fixed":
        if logical == "duration":
            raise ValueError(NO_FEATURE)
        if logical == "uuid":
            return pa.string(), pa.string(), {"type": "fixed", "logicalType": "uuid"} | _fixed(schema, named)
        return pa.binary(), pa.binary(), {"type": "fixed"} | _fixed(schema, named)
    if kind in _PRIMITIVES:
        stored = _PRIMITIVES[kind]
        return stored, _LOGICAL.get((logical or "", kind), stored), kind
    if kind in ("record", "map", "error"):
        raise ValueError(NESTED)
    return _resolve(str(kind), named, namespace)


def _union(options: list[Any], named: dict[str, Any], namespace: str) -> tuple[pa.DataType, pa.DataType, Any]:
    resolved = [_resolve(option, named, namespace) for option in options]
    stripped = [each[2] for each in resolved]
    present = [each for each in resolved if not pa.types.is_null(each[0])]
    if not present:
        return pa.null(), pa.null(), stripped
    if len(present) == 1:
        return *present[0][:2], stripped
    columns = [column_of(meant) for _, meant, _ in present]
    both: Column | None = columns[0]
    for column in columns[1:]:
        both = unify(both, column) if both else None
    plain = all(each[0].equals(each[1]) and not pa.types.is_decimal(each[0]) for each in present)
    if both is None or not plain or any(column.many for column in columns):
        raise ValueError(NO_UNION)
    kind = {Kind.INT: pa.int64(), Kind.FLOAT: pa.float64(), Kind.BYTES: pa.binary()}[both.kind]
    return kind, kind, stripped


def _remember(schema: dict[str, Any], named: dict[str, Any], namespace: str) -> None:
    name, own = schema["name"], schema.get("namespace", namespace)
    named[name] = named[f"{own}.{name}"] = schema
    named[name.rpartition(".")[2]] = schema


def _fixed(schema: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    if schema["type"] != "fixed":
        return {}
    return {"name": f"millrace.Fixed{_number(named)}", "size": int(schema["size"])}


def _number(named: dict[str, Any]) -> int:
    named["\0count"] = named.get("\0count", 0) + 1
    return named["\0count"]


def _shown(schema: Any) -> str:
    """A type in a few words."""
    if isinstance(schema, list):
        return " or ".join(_shown(option) for option in schema)
    if isinstance(schema, dict):
        if schema.get("type") == "array":
            return f"array of {_shown(schema.get('items'))}"
        kind = _shown(schema.get("type"))
        return str(schema.get("logicalType") or (f"{kind} {schema['name']}" if "name" in schema else kind))
    return str(schema)
