"""tf.Examples without TensorFlow: their canonical bytes, from Arrow columns or Python values, and back.

Canonical bytes have the features sorted by the UTF-8 bytes of their names, values packed, and a missing value as a
name with an empty Feature, as TFX's CsvExampleGen writes it. The wire format of the messages is that of
tensorflow/core/example/{example,feature}.proto.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

Value = bytes | str | int | float
Values = Value | Sequence[Value] | np.ndarray | None

# Tags of the wire format: (field number << 3) | 2, for fields with a length.
_FIELD_1, _FIELD_2, _FIELD_3 = b"\x0a", b"\x12", b"\x1a"
# A Feature without values behind its tag: without a list, and with an empty list of each type.
_MISSING = frozenset({b"\x12\x00", b"\x12\x02\x0a\x00", b"\x12\x02\x12\x00", b"\x12\x02\x1a\x00"})


@dataclass(frozen=True)
class EncodedRows:
    """One tf.Example per row of a batch.

    Attributes:
      examples: serialised, binary.
      identities: what `identity` returns for each.
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
    return EncodedRows(_join([_by_length(bodies, lambda length: _FIELD_1 + _varint(length)), bodies]), identities)


def encode(features: Mapping[str, Values]) -> bytes:
    """The canonical tf.Example of named values.

    Args:
      features: one value, or a list or array of values of one type, or None or an empty list where it is missing.
    """
    message = _example_class()()
    for name, values in features.items():
        feature = message.features.feature[name]
        flat = _flat(values)
        if not flat:
            feature.SetInParent()
        elif isinstance(flat[0], str | bytes):
            feature.bytes_list.value.extend(value.encode() if isinstance(value, str) else value for value in flat)
        elif all(isinstance(value, int) for value in flat):
            feature.int64_list.value.extend(flat)
        else:
            feature.float_list.value.extend(flat)
    return _serialised(message)


def decode(record: bytes) -> dict[str, list[Any]]:
    """The values of a tf.Example by name, sorted: lists of int, float or bytes, empty where missing.

    Raises:
      ValueError: `record` is not a tf.Example.
    """
    features = _parse(record).features.feature
    return {name: _values(features[name]) for name in sorted(features, key=str.encode)}


def canonical(record: bytes) -> tuple[bytes, bytes]:
    """The canonical bytes of any serialised tf.Example, and its `identity`.

    Raises:
      ValueError: `record` is not a tf.Example, or has no features.
    """
    message = _parse(record)
    if not message.features.feature:
        raise ValueError("it has no features")
    result = _serialised(message)
    return result, _identity(result)


def identity(record: bytes) -> bytes:
    """What a tf.Example says: its canonical features without the missing ones, as the entries of the map.

    The same for the same values, whether missing features are named or left out.

    Raises:
      ValueError: `record` is not a tf.Example, or has no features.
    """
    return canonical(record)[1]


def _identity(serialised: bytes) -> bytes:
    """The entries with values in canonical bytes; in them an entry is a name, then a Feature."""
    features = serialised[_read_varint(serialised, 1)[1] :]
    if not any(mark in features for mark in _MISSING):
        return features
    parts = []
    position, size = 0, len(features)
    while position < size:
        # Most lengths are one byte; a call for each would take as long as all the rest.
        length, start = features[position + 1], position + 2
        if length >= 0x80:
            length, start = _read_varint(features, position + 1)
        name_length, name_start = features[start + 1], start + 2
        if name_length >= 0x80:
            name_length, name_start = _read_varint(features, start + 1)
        end = start + length
        if end - name_start - name_length > 4 or features[name_start + name_length : end] not in _MISSING:
            parts.append(features[position:end])
        position = end
    return b"".join(parts)


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at a position, and the position behind it."""
    number = shift = 0
    while data[position] & 0x80:
        number |= (data[position] & 0x7F) << shift
        shift += 7
        position += 1
    return number | data[position] << shift, position + 1


def _serialised(message: Any) -> bytes:
    result: bytes = message.SerializeToString(deterministic=True)
    return result


def _values(feature: Any) -> list[Any]:
    kind = feature.WhichOneof("kind")
    return list(getattr(feature, kind).value) if kind else []


def _flat(values: Values) -> list[Any]:
    if values is None:
        return []
    if isinstance(values, np.ndarray):
        return list(values.ravel().tolist())
    if isinstance(values, str | bytes | int | float):
        return [values]
    if isinstance(values, np.generic):
        return [values.item()]
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def _parse(record: bytes) -> Any:
    message = _example_class()()
    try:
        message.ParseFromString(record)
    except DecodeError:
        raise ValueError("its bytes are not those of the message tf.Example") from None
    if len(UnknownFieldSet(message)) or len(UnknownFieldSet(message.features)):
        raise ValueError("it has fields that the message tf.Example does not have")
    return message


@functools.cache
def _example_class() -> Any:
    """The message class, in a pool and a package of our own: TensorFlow registers its own in the default pool."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="millrace/example.proto", package="millrace", syntax="proto3")

    def message(name: str, *fields: tuple[str, Any, Any, str | None]) -> descriptor_pb2.DescriptorProto:
        added = file.message_type.add(name=name)
        for number, (field, kind, label, type_name) in enumerate(fields, 1):
            added.field.add(name=field, number=number, type=kind, label=label, type_name=type_name)
        return added

    one, many, sub = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED, kinds.TYPE_MESSAGE
    message("BytesList", ("value", kinds.TYPE_BYTES, many, None))
    message("FloatList", ("value", kinds.TYPE_FLOAT, many, None))
    message("Int64List", ("value", kinds.TYPE_INT64, many, None))
    feature = message(
        "Feature",
        ("bytes_list", sub, one, ".millrace.BytesList"),
        ("float_list", sub, one, ".millrace.FloatList"),
        ("int64_list", sub, one, ".millrace.Int64List"),
    )
    feature.oneof_decl.add(name="kind")
    for field in feature.field:
        field.oneof_index = 0
    features = message("Features", ("feature", sub, many, ".millrace.Features.FeatureEntry"))
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=kinds.TYPE_STRING, label=one)
    entry.field.add(name="value", number=2, type=sub, label=one, type_name=".millrace.Feature")
    message("Example", ("features", sub, one, ".millrace.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("millrace.Example"))


def _varint(number: int) -> bytes:
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)


def _prefix(name: bytes, feature_length: int) -> bytes:
    """The bytes of an entry of the map before those of the Feature, whose length is given."""
    inner = _FIELD_1 + _varint(len(name)) + name + _FIELD_2 + _varint(feature_length)
    return _FIELD_1 + _varint(len(inner) + feature_length) + inner


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
        value_list = _FIELD_1 + _varint(length)
        feature = _FIELD_1 + _varint(len(value_list) + length) + value_list
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
            parts = _join([_by_length(values, lambda length: _FIELD_1 + _varint(length)), values])
        bodies = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), parts), pa.scalar(b"", pa.binary()))

    def prefix(length: int) -> bytes:
        """What stands before the values: numbers are packed into one field, of bytes each is a field."""
        packed = _FIELD_1 + _varint(length) if tag else b""
        feature = (tag or _FIELD_1) + _varint(len(packed) + length) + packed
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
