"""The types that a schema gives its features, read without TensorFlow Metadata.

The format is tensorflow_metadata/proto/v0/schema.proto in protobuf's text form, of which only what is needed is
described here: in a text fields go by their names, and the parser passes over those that it does not know.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError

_PACKAGE = "millrace.schema_types"
_LABELS = {"BYTES": "bytes", "INT": "int64", "FLOAT": "float32"}


def read(file: Path) -> dict[str, str]:
    """Type of each feature by name, as TensorFlow calls it: bytes, int64 or float32; others are left out.

    Raises:
      InputError: the file is no schema.
    """
    from google.protobuf import text_format

    schema = _schema_class()()
    try:
        text_format.Parse(file.read_text(encoding="utf-8"), schema, allow_unknown_field=True)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise InputError(f"{file}: not a tensorflow.metadata.v0.Schema: {' '.join(str(error).split())}") from None
    names = _schema_class().DESCRIPTOR.file.enum_types_by_name["FeatureType"].values_by_number
    types = {feature.name: names[feature.type].name for feature in schema.feature}
    return {name: _LABELS[kind] for name, kind in types.items() if kind in _LABELS}


@functools.cache
def _schema_class() -> Any:
    """The message class, in a pool of our own: others may have the real one."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="millrace/schema_types.proto", package=_PACKAGE, syntax="proto2")
    types = file.enum_type.add(name="FeatureType")
    for number, name in enumerate(("TYPE_UNKNOWN", "BYTES", "INT", "FLOAT", "STRUCT")):
        types.value.add(name=name, number=number)
    feature = file.message_type.add(name="Feature")
    optional, repeated = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED
    feature.field.add(name="name", number=1, type=kinds.TYPE_STRING, label=optional)
    feature.field.add(name="type", number=6, type=kinds.TYPE_ENUM, type_name=f".{_PACKAGE}.FeatureType", label=optional)
    schema = file.message_type.add(name="Schema")
    schema.field.add(
        name="feature", number=1, type=kinds.TYPE_MESSAGE, type_name=f".{_PACKAGE}.Feature", label=repeated
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Schema"))
