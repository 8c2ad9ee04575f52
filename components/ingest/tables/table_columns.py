"""Columns of typed tables (Parquet, Avro) as features: int64, float32, bytes, or lists of these.

Numbers become what the same table would give as CSV. What CSV has no type for: truth values are 0 and 1, dates are days
and moments are seconds since 1970-01-01 UTC (TFMD's UNIX_DAYS and UNIX_SECONDS), times of the day are seconds since
midnight. Whatever is finer than a second is cut off.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.tables.columns import Kind
from components.runtime.errors import InputError

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_INT64_DIGITS = 18
_WHERE_WRITTEN = "or take it out where the file is written"
NESTED = f"write its fields as columns of their own, {_WHERE_WRITTEN}"
NO_FEATURE = f"convert it to numbers or text, {_WHERE_WRITTEN}"
NO_UNION = f"its types do not go together, keep one of them besides null, {_WHERE_WRITTEN}"
_NO_LISTS = f"flatten its lists of lists, {_WHERE_WRITTEN}"
_NAMED_COLUMNS = 20
_SHOWN_TYPE = 80


@dataclass(frozen=True)
class Column:
    """A column as a feature.

    Attributes:
      kind: type of its values.
      many: whether a row has a list of them.
      unit: what its integers count, such as `days since 1970-01-01`; empty for plain values.
    """

    kind: Kind
    many: bool = False
    unit: str = ""

    @property
    def label(self) -> str:
        """The type's name in TensorFlow."""
        return self.kind.label

    @property
    def arrow(self) -> pa.DataType:
        """The type in which it is encoded."""
        single = pa.binary() if self.kind is Kind.BYTES else self.kind.arrow
        return pa.list_(single) if self.many and self.kind is not Kind.MISSING else single


def column_of(type: pa.DataType) -> Column:
    """The column that values of an Arrow type become.

    Raises:
      ValueError: values of that type cannot be a feature; says how to mend that.
    """
    kinds = pa.types
    if isinstance(type, pa.BaseExtensionType):
        return Column(Kind.BYTES) if _is_uuid(type) else column_of(type.storage_type)
    if kinds.is_dictionary(type):
        return column_of(type.value_type)
    if is_list(type):
        inner = column_of(type.value_type)
        if inner.many:
            raise ValueError(_NO_LISTS)
        return Column(inner.kind, many=True, unit=inner.unit)
    if kinds.is_struct(type) or kinds.is_map(type) or kinds.is_union(type):
        raise ValueError(NESTED)
    if kinds.is_null(type):
        return Column(Kind.MISSING)
    if kinds.is_boolean(type) or kinds.is_integer(type):
        return Column(Kind.INT)
    if kinds.is_floating(type):
        return Column(Kind.FLOAT)
    if kinds.is_decimal(type):
        whole = type.scale == 0 and type.precision <= _INT64_DIGITS
        return Column(Kind.INT if whole else Kind.FLOAT)
    if kinds.is_date(type):
        return Column(Kind.INT, unit="days since 1970-01-01")
    if kinds.is_timestamp(type):
        return Column(Kind.INT, unit="seconds since 1970-01-01")
    if kinds.is_time(type):
        return Column(Kind.INT, unit="seconds since midnight")
    if kinds.is_duration(type):
        return Column(Kind.INT, unit="seconds")
    if _is_bytes(type):
        return Column(Kind.BYTES)
    raise ValueError(NO_FEATURE)


def refuse(columns: Sequence[tuple[str, str, str]]) -> None:
    """Refuses the columns of a file that cannot be features, all at once.

    Args:
      columns: of each its name, its type as the format writes it, and how to mend it.

    Raises:
      ValueError: there are any.
    """
    told = [f"column {name!r} is of type {clipped(kind)}, {mend}" for name, kind, mend in columns[:_NAMED_COLUMNS]]
    if len(columns) == 1:
        name, kind, mend = columns[0]
        raise ValueError(f"column {name!r} is of type {clipped(kind)}, which cannot be a feature: {mend}")
    if columns:
        more = f"; and {len(columns) - len(told)} more" if len(columns) > len(told) else ""
        raise ValueError(f"{len(columns)} columns cannot be features: {'; '.join(told)}{more}")


def clipped(kind: str) -> str:
    """A type of at most some characters."""
    return kind if len(kind) <= _SHOWN_TYPE else f"{kind[: _SHOWN_TYPE - 1]}…"


def unify(first: Column, second: Column) -> Column | None:
    """The column that holds the values of both, None where none does."""
    many = first.many or second.many
    if Kind.MISSING in (first.kind, second.kind):
        known = first if second.kind is Kind.MISSING else second
        return Column(known.kind, many, known.unit)
    text = {first.kind, second.kind} & {Kind.BYTES}
    if first.unit != second.unit or (text and first.kind is not second.kind):
        return None
    return Column(max(first.kind, second.kind), many, first.unit)


def widen(
    known: dict[str, Column], first: str, columns: dict[str, Column], file: str, shown: dict[str, str]
) -> dict[str, Column]:
    """The columns of several files after one more.

    Args:
      known: of the files before.
      first: name of the first of them, for messages.
      columns: of the new one.
      file: its name.
      shown: its types as the format writes them.

    Raises:
      InputError: it has other columns, or one of a type that does not go with that of the others.
    """
    widened = {}
    for name, column in known.items():
        both = unify(column, columns[name])
        if both is None:
            before = column.unit or column.label
            raise InputError(
                f"{file}: column {name!r} is of type {shown[name]}, "
                f"which does not go with the {before} of {first}: give all files the same types"
            )
        widened[name] = both
    return widened


def convert(values: pa.Array, column: Column) -> pa.Array:
    """Values as a column of that kind, nulls where they are missing.

    Raises:
      ValueError: a value does not fit; says which.
    """
    values = plain(values)
    if column.kind is Kind.MISSING:
        return pa.nulls(len(values))
    if not column.many:
        if pa.types.is_floating(values.type) and column.kind is not Kind.FLOAT:
            # (Of integers with gaps, see known_types: NaN is how pandas writes that there is none.)
            values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
        return _scalars(values, column.kind)
    if not is_list(values.type):
        # Another file has lists in this column.
        values = _lists_of_one(values)
    return _lists(values, column)


def plain(values: pa.Array) -> pa.Array:
    """Values without the extension type or the dictionary that they are stored with."""
    if isinstance(values, pa.ExtensionArray):
        values = _uuid_text(values.storage) if _is_uuid(values.type) else values.storage
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _lists(values: pa.Array, column: Column) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    inner = values.flatten()
    if inner.null_count:
        row = int(np.searchsorted(np.cumsum(lengths), np.flatnonzero(inner.is_null().to_numpy(False))[0], side="right"))
        raise ValueError(f"a list with a null in it (row {row + 1} of those read together)")
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets), _scalars(plain(inner), column.kind).cast(column.arrow.value_type)
    )


def _lists_of_one(values: pa.Array) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(values.is_valid().to_numpy(False))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values.drop_null())


def _scalars(values: pa.Array, kind: Kind) -> pa.Array:
    try:
        if kind is Kind.BYTES:
            return (values if _is_bytes(values.type) else values.cast(pa.string())).cast(pa.binary())
        if kind is Kind.INT:
            return _integers(values)
    except pa.ArrowInvalid as error:
        raise ValueError(f"a value that does not fit into {kind.label} ({error})") from None
    # Over float64, as numbers of CSV go.
    return values.cast(pa.float64(), safe=False).cast(pa.float32(), safe=False)


def _integers(values: pa.Array) -> pa.Array:
    kind = values.type
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind) or pa.types.is_duration(kind):
        number = values.view(pa.int32() if pa.types.is_time32(kind) else pa.int64()).cast(pa.int64())
        return _floored(number, _PER_SECOND[kind.unit])
    if pa.types.is_date64(kind):
        return _floored(values.view(pa.int64()), 86_400_000)
    if pa.types.is_date32(kind):
        return values.view(pa.int32()).cast(pa.int64())
    return values.cast(pa.int64())


def _floored(numbers: pa.Array, divisor: int) -> pa.Array:
    """Down, also before 1970, where Arrow's own division goes towards zero."""
    if divisor == 1:
        return numbers
    whole = np.floor_divide(numbers.fill_null(0).to_numpy(), divisor)
    return pa.array(whole, pa.int64(), mask=numbers.is_null().to_numpy(zero_copy_only=False))


def is_list(type: pa.DataType) -> bool:
    """Whether a type is one of Arrow's lists."""
    kinds = pa.types
    plain = kinds.is_list(type) or kinds.is_large_list(type) or kinds.is_fixed_size_list(type)
    return plain or kinds.is_list_view(type) or kinds.is_large_list_view(type)


def _is_bytes(type: pa.DataType) -> bool:
    kinds = pa.types
    texts = (kinds.is_string, kinds.is_large_string, kinds.is_string_view)
    binaries = (kinds.is_binary, kinds.is_large_binary, kinds.is_binary_view, kinds.is_fixed_size_binary)
    return any(is_kind(type) for is_kind in texts + binaries)


def _is_uuid(type: pa.DataType) -> bool:
    return getattr(type, "extension_name", "") == "arrow.uuid"


def _uuid_text(values: pa.Array) -> pa.Array:
    return pa.array([None if raw is None else str(uuid.UUID(bytes=raw)) for raw in values.to_pylist()], pa.string())
