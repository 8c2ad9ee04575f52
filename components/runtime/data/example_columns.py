"""Whole batches of Arrow columns as canonical tf.Examples, without work in Python per cell.

The bytes are those of `components.runtime.data.examples.encode`, which takes one tf.Example at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# Tags of the wire format: (field number << 3) | 2, for fields with a length.
_FIELD_1, _FIELD_2, _FIELD_3 = b"\x0a", b"\x12", b"\x1a"


@dataclass(frozen=True)
class EncodedRows:
    """One tf.Example per row of a batch.

    Attributes:
      examples: serialised, binary.
      identities: what `components.runtime.data.examples.identity` returns for each.
    """

    examples: pa.Array
    identities: pa.Array


def encode_batch(batch: pa.RecordBatch) -> EncodedRows:
    """Encodes columns of int64, float32, binary, string or null, or lists of these, as tf.Examples, one per row.

    Every distinct value of a column is encoded once, and the rows are put together by Arrow, so there is no work in
    Python per cell. The encoded batch must be below 2 GiB.

    Raises:
      TypeError: a column is of another type.
    """
    names = [name.encode() for name in batch.schema.names]
    full: list[pa.Array] = []
    present: list[pa.Array] = []
    for name, column in sorted(zip(names, batch.columns, strict=True), key=lambda named: named[0]):
        entries, present_entries = _entries(name, column)
        full.append(entries)
        present.append(present_entries)
    identities = _join(present)
    bodies = identities if all(one is other for one, other in zip(full, present, strict=True)) else _join(full)
    return EncodedRows(_join([_by_length(bodies, lambda length: _FIELD_1 + varint(length)), bodies]), identities)


def varint(number: int) -> bytes:
    """A whole number as protobuf writes it: seven bits a byte, the lowest first."""
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)


def _prefix(name: bytes, feature_length: int) -> bytes:
    """The bytes of an entry of the map before those of the Feature, whose length is given."""
    inner = _FIELD_1 + varint(len(name)) + name + _FIELD_2 + varint(feature_length)
    return _FIELD_1 + varint(len(inner) + feature_length) + inner


def _entry(name: bytes, feature: bytes) -> bytes:
    return _prefix(name, len(feature)) + feature


def _entries(name: bytes, column: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The serialised map entry of every row: with that of a missing value, and with nothing in its place."""
    missing = _entry(name, b"")
    if column.null_count == len(column):
        absent = pa.scalar(b"", pa.binary())
        return pa.repeat(pa.scalar(missing, pa.binary()), len(column)), pa.repeat(absent, len(column))
    if pa.types.is_list(column.type):
        return _list_entries(name, column)
    if pa.types.is_float32(column.type):
        # By their bits: 0.0 equals -0.0, and NaN has many forms.
        column = column.view(pa.int32())
        encode_values = _float_entries
    elif pa.types.is_int64(column.type):
        encode_values = _int_entries
    elif pa.types.is_binary(column.type) or pa.types.is_string(column.type):
        encode_values = _bytes_entries
    else:
        raise TypeError(f"column {name.decode()!r} is of type {column.type}")
    encoded = column.dictionary_encode()
    values = encode_values(name, encoded.dictionary)
    if encoded.null_count == 0:
        entries = values.take(encoded.indices)
        return entries, entries
    indices = pc.fill_null(encoded.indices, len(values))
    full, present = (pa.concat_arrays([values, pa.array([value], pa.binary())]) for value in (missing, b""))
    return full.take(indices), present.take(indices)


def _float_entries(name: bytes, values: pa.Array) -> pa.Array:
    prefix = np.frombuffer(_prefix(name, 8) + _FIELD_2 + b"\x06" + _FIELD_1 + b"\x04", np.uint8)
    table = np.empty((len(values), len(prefix) + 4), np.uint8)
    table[:, : len(prefix)] = prefix
    table[:, len(prefix) :] = values.to_numpy().astype("<i4").view(np.uint8).reshape(-1, 4)
    return _rows_of(table)


def _int_entries(name: bytes, values: pa.Array) -> pa.Array:
    def prefix(length: int) -> bytes:
        return _prefix(name, length + 4) + _FIELD_3 + bytes([length + 2]) + _FIELD_1 + bytes([length])

    return _varints(values, prefix)


def _varints(values: pa.Array, make_prefix: Callable[[int], bytes]) -> pa.Array:
    """Every integer as a varint, behind what `make_prefix` returns for its length."""
    numbers = values.to_numpy().view(np.uint64)
    lengths = np.ones(len(numbers), np.int64)
    for bits in range(7, 64, 7):
        lengths += numbers >= np.uint64(1 << bits)
    present = np.unique(lengths).tolist()
    tables = []
    for length in present:
        prefix = make_prefix(length)
        chosen = numbers if len(present) == 1 else numbers[lengths == length]
        table = np.empty((len(chosen), len(prefix) + length), np.uint8)
        table[:, : len(prefix)] = np.frombuffer(prefix, np.uint8)
        for place in range(length):
            more = 0x80 if place < length - 1 else 0
            group = (chosen >> np.uint64(7 * place)) & np.uint64(0x7F)
            table[:, len(prefix) + place] = group.astype(np.uint8) | more
        tables.append(_rows_of(table))
    if len(present) == 1:
        return tables[0]
    rank = np.empty(len(numbers), np.int64)
    rank[np.argsort(lengths, kind="stable")] = np.arange(len(numbers))
    return pa.concat_arrays(tables).take(pa.array(rank))


def _bytes_entries(name: bytes, values: pa.Array) -> pa.Array:
    def prefix(length: int) -> bytes:
        value_list = _FIELD_1 + varint(length)
        feature = _FIELD_1 + varint(len(value_list) + length) + value_list
        return _prefix(name, len(feature) + length) + feature

    values = values.cast(pa.binary())
    return _join([_by_length(values, prefix), values])


def _list_entries(name: bytes, column: pa.ListArray) -> tuple[pa.Array, pa.Array]:
    """As `_entries`, for lists without nulls in them; an empty list is a missing value."""
    counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    values = column.flatten()
    if values.null_count:
        raise TypeError(f"column {name.decode()!r} has lists with nulls in them")
    if pa.types.is_float32(values.type):
        packed = pa.py_buffer(values.to_numpy().astype("<f4"))
        bodies = pa.Array.from_buffers(pa.binary(), len(column), [None, pa.py_buffer(offsets * np.int32(4)), packed])
        tag = _FIELD_2
    else:
        if pa.types.is_int64(values.type):
            parts, tag = _varints(values, lambda length: b"") if len(values) else pa.array([], pa.binary()), _FIELD_3
        else:
            values, tag = values.cast(pa.binary()), b""
            parts = _join([_by_length(values, lambda length: _FIELD_1 + varint(length)), values])
        bodies = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), parts), pa.scalar(b"", pa.binary()))

    def prefix(length: int) -> bytes:
        """What stands before the values: numbers are packed into one field, of bytes each is a field."""
        packed = _FIELD_1 + varint(length) if tag else b""
        feature = (tag or _FIELD_1) + varint(len(packed) + length) + packed
        return _prefix(name, len(feature) + length) + feature

    present = _join([_by_length(bodies, prefix), bodies])
    empty = pa.array(counts == 0)
    missing, absent = (pa.scalar(value, pa.binary()) for value in (_entry(name, b""), b""))
    return pc.if_else(empty, missing, present), pc.if_else(empty, absent, present)


def _by_length(values: pa.Array, make: Any) -> pa.Array:
    """`make(length)` for the length of each value, computed once per length."""
    lengths = pc.binary_length(values).dictionary_encode()
    return pa.array([make(length) for length in lengths.dictionary.to_pylist()], pa.binary()).take(lengths.indices)


def _join(arrays: list[pa.Array]) -> pa.Array:
    return pc.binary_join_element_wise(*arrays, pa.scalar(b"", pa.binary()))


def _rows_of(table: npt.NDArray[np.uint8]) -> pa.Array:
    """The rows of a table of bytes as a binary array."""
    offsets = np.arange(len(table) + 1, dtype=np.int32) * np.int32(table.shape[1])
    return pa.Array.from_buffers(pa.binary(), len(table), [None, pa.py_buffer(offsets), pa.py_buffer(table)])
