"""tf.Examples without TensorFlow: their canonical bytes, from Python values, and back.

Canonical bytes have the features sorted by the UTF-8 bytes of their names, values packed, and a missing value as a
name with an empty Feature, as TFX's CsvExampleGen writes it. The wire format of the messages is that of
tensorflow/core/example/{example,feature}.proto. Whole batches of columns are encoded in `example_columns`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

Value = bytes | str | int | float
Values = Value | Sequence[Value] | np.ndarray | None

# A Feature without values behind its tag: without a list, and with an empty list of each type.
_MISSING = frozenset({b"\x12\x00", b"\x12\x02\x0a\x00", b"\x12\x02\x12\x00", b"\x12\x02\x1a\x00"})


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
