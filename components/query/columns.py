"""The columns of an answer as Parquet keeps them: what only Arrow or one driver has a type for becomes a plain one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from components.runtime.errors import InputError

_NUMERIC = "numeric"
_SCALE_BITS = 0x7FF
_CAST = "leave it out of the query, or cast it there"
_NAMED_COLUMNS = 5
_LARGEST_PRECISION = 38
# Databases have infinite days and moments, the last numbers of their types; PostgreSQL's driver moves these from
# the beginning of 2000 to that of 1970, without a look at where they end.
_LAST_DAY = 2**31 - 10_959
_LAST_MOMENT = 2**63 - 946_684_800_000_002


def kept(schema: pa.Schema, place: str) -> pa.Schema:
    """The types that columns are kept with.

    Raises:
      InputError: there are no columns, two of one name, or some of which nothing can be made; names these.
    """
    names = schema.names
    if not names:
        raise InputError(f"{place}: the answer has no columns: name some in the query")
    if unnamed := [number for number, name in enumerate(names, 1) if not name.strip()]:
        raise InputError(f"{place}: column {unnamed[0]} has no name: name it in the query with AS")
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise InputError(f"{place}: two columns are named {twice[0]!r}: name them in the query with AS")
    fields, refused = [], []
    for field in schema:
        try:
            fields.append(pa.field(field.name, _plain(field.type, field.metadata or {})))
        except ValueError as error:
            refused.append(f"column {field.name!r} is of type {error}")
    if refused:
        more = f" and {len(refused) - _NAMED_COLUMNS} more" if len(refused) > _NAMED_COLUMNS else ""
        raise InputError(f"{place}: no features: {', '.join(refused[:_NAMED_COLUMNS])}{more}: {_CAST}")
    return pa.schema(fields)


def batch(
    rows: Sequence[Sequence[Any]],
    schema: pa.Schema,
    place: str,
    array: Callable[[Sequence[Any], pa.DataType], pa.Array],
) -> pa.RecordBatch:
    """A batch of rows that came one by one.

    Args:
      rows: their values.
      schema: of the batch.
      place: of the source, for messages.
      array: makes one of a column's values and its type.

    Raises:
      InputError: a value does not fit; says of which column.
    """
    arrays = []
    for field, values in zip(schema, zip(*rows, strict=True), strict=True):
        try:
            arrays.append(array(values, field.type))
        except (pa.ArrowException, TypeError, OverflowError, ValueError) as error:
            raise InputError(f"{place}: column {field.name!r}: {error}: cast it in the query") from None
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def converted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch with the types that `kept` gave.

    Raises:
      ValueError: a value does not fit; says of which column.
    """
    arrays = []
    for field, values in zip(schema, batch.columns, strict=True):
        try:
            arrays.append(_cast(values, field.type))
            _check(arrays[-1])
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
            raise ValueError(f"column {field.name!r}: {error}") from None
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _check(values: pa.Array) -> None:
    """Refuses what its type does not hold, and readers would take for something else.

    Raises:
      ValueError: an infinite day or moment, or more digits than a decimal has.
    """
    if pa.types.is_list(values.type):
        _check(values.flatten())
    elif pa.types.is_decimal(values.type):
        values.validate(full=True)
    elif pa.types.is_date32(values.type):
        _check_finite(values.view(pa.int32()), _LAST_DAY, "day")
    elif pa.types.is_timestamp(values.type):
        _check_finite(values.view(pa.int64()), _LAST_MOMENT, "moment")


def _check_finite(values: pa.Array, last: int, what: str) -> None:
    found = pc.min_max(values)
    if found["min"].is_valid and (found["min"].as_py() <= -last or found["max"].as_py() >= last):
        raise ValueError(f"a {what} is infinite, which no feature is")


def _plain(type: pa.DataType, metadata: dict[bytes, bytes]) -> pa.DataType:
    kinds = pa.types
    if isinstance(type, pa.OpaqueType):
        if type.type_name != _NUMERIC:
            raise ValueError(type.type_name)
        return _numeric(int(metadata.get(b"POSTGRESQL:typmod", b"-1")))
    if metadata.get(b"POSTGRESQL:type") == b"money":
        # The driver gives the smallest unit of a currency that only the server knows.
        raise ValueError("money")
    if isinstance(type, pa.BaseExtensionType):
        # (A uuid is told apart from other bytes by its type alone.)
        return type if isinstance(type, pa.UuidType) else _plain(type.storage_type, {})
    if kinds.is_list(type) or kinds.is_large_list(type) or kinds.is_fixed_size_list(type):
        inner = _plain(type.value_type, {})
        if kinds.is_list(inner):
            raise ValueError(_name(type))
        return pa.list_(inner)
    if kinds.is_nested(type) or kinds.is_interval(type):
        raise ValueError(_name(type))
    if kinds.is_string_view(type) or kinds.is_large_string(type):
        return pa.string()
    if kinds.is_binary_view(type) or kinds.is_large_binary(type):
        return pa.binary()
    return type


def _numeric(modifier: int) -> pa.DataType:
    """PostgreSQL's numeric, which comes as text: with the digits that were declared, else as float64.

    The modifier is precision and scale, of 16 and 11 bits, and 4 more (src/backend/utils/adt/numeric.c).
    """
    if modifier < 4:
        return pa.float64()
    precision, scale = (modifier - 4) >> 16, (modifier - 4) & _SCALE_BITS
    # (Negative scales round left of the point.)
    fits = precision <= _LARGEST_PRECISION and scale <= precision
    return pa.decimal128(precision, scale) if fits else pa.float64()


def _name(type: pa.DataType) -> str:
    text = str(type)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _cast(values: pa.Array, type: pa.DataType) -> pa.Array:
    if values.type == type:
        return values
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    if pa.types.is_list(values.type) and pa.types.is_list(type):
        inner = _cast(values.flatten(), type.value_type)
        lengths = pc.fill_null(pc.list_value_length(values), 0)
        offsets = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(lengths.cast(pa.int64()))])
        return pa.ListArray.from_arrays(offsets.cast(pa.int32()), inner, mask=values.is_null())
    if pa.types.is_decimal(type) and pa.types.is_string(values.type):
        # NaN, which a numeric can be, is no decimal.
        values = pc.if_else(pc.equal(values, "nan"), pa.scalar(None, pa.string()), values)
    return values.cast(type)
