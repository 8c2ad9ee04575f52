"""The columns that a schema names, read without TensorFlow Metadata, for those who do not have it.

The text form of `tensorflow_metadata.proto.v0.Schema`; whatever else is in it is passed over.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from components.runtime.errors import InputError

BYTES, INT, FLOAT = "BYTES", "INT", "FLOAT"

_UNKNOWN = "TYPE_UNKNOWN"
_TYPES = (_UNKNOWN, BYTES, INT, FLOAT, "STRUCT")
_DOMAINS = ("bool_domain", "int_domain", "float_domain", "string_domain")
_LISTS = {("Schema", "feature"), *(("Schema", name) for name in _DOMAINS[1:]), ("StringDomain", "value")}
"""Fields of which there are several."""


@dataclass(frozen=True)
class Column:
    """A feature of a schema.

    Attributes:
      type: BYTES, INT or FLOAT.
      values: the texts that there are; empty where any may be.
      least: of an INT or FLOAT; None where it is open. Of one with a bool_domain 0, and `most` 1.
      most: as `least`.
      is_image: whether the bytes are encoded images, such as masks.
    """

    name: str
    type: str
    values: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    is_image: bool = False


def read(file: Path) -> dict[str, Column]:
    """The columns by name, in the schema's order.

    Raises:
      InputError: the file cannot be read, or is no schema.
    """
    try:
        text = file.read_text(encoding="utf-8")
        schema = text_format.Parse(text, _schema_class()(), allow_unknown_field=True)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise InputError(f"{file}: no schema can be read there: {str(error).splitlines()[0]}") from None
    shared = {each.name: each for each in (*schema.string_domain, *schema.int_domain, *schema.float_domain)}
    return {each.name: _column(each, shared) for each in schema.feature}


def _column(feature: Any, shared: Mapping[str, Any]) -> Column:
    own = (getattr(feature, name) for name in _DOMAINS if feature.HasField(name))
    domain, kind = next(own, shared.get(feature.domain)), _TYPES[feature.type]
    values: tuple[str, ...] = ()
    least = most = None
    if feature.HasField("bool_domain"):
        if kind == BYTES:
            words = feature.bool_domain.false_value, feature.bool_domain.true_value
            values = tuple(word for word in words if word)
        else:
            least, most = 0, 1
    elif domain is not None and domain.DESCRIPTOR.name == "StringDomain":
        values = tuple(domain.value)
    elif domain is not None:
        least = domain.min if domain.HasField("min") else None
        most = domain.max if domain.HasField("max") else None
    return Column(feature.name, kind, values, least, most, feature.HasField("image_domain"))


@functools.cache
def _schema_class() -> Any:
    """The message with the fields that are read, in a pool and a package of our own."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="millrace/schema.proto", package="millrace.schema", syntax="proto2")
    types = file.enum_type.add(name="FeatureType")
    for number, name in enumerate(_TYPES):
        types.value.add(name=name, number=number)

    def message(name: str, *fields: tuple[str, Any, str | None]) -> None:
        added = file.message_type.add(name=name)
        for number, (field, kind, type_name) in enumerate(fields, 1):
            label = kinds.LABEL_REPEATED if (name, field) in _LISTS else kinds.LABEL_OPTIONAL
            of_type = f".millrace.schema.{type_name}" if type_name else None
            added.field.add(name=field, number=number, type=kind, label=label, type_name=of_type)

    text, whole, real, sub, enum = (
        kinds.TYPE_STRING,
        kinds.TYPE_INT64,
        kinds.TYPE_FLOAT,
        kinds.TYPE_MESSAGE,
        kinds.TYPE_ENUM,
    )
    message("StringDomain", ("name", text, None), ("value", text, None))
    message("IntDomain", ("name", text, None), ("min", whole, None), ("max", whole, None))
    message("ImageDomain")
    message("BoolDomain", ("name", text, None), ("true_value", text, None), ("false_value", text, None))
    message("FloatDomain", ("name", text, None), ("min", real, None), ("max", real, None))
    message(
        "Feature",
        ("name", text, None),
        ("type", enum, "FeatureType"),
        ("domain", text, None),
        ("int_domain", sub, "IntDomain"),
        ("float_domain", sub, "FloatDomain"),
        ("string_domain", sub, "StringDomain"),
        ("image_domain", sub, "ImageDomain"),
        ("bool_domain", sub, "BoolDomain"),
    )
    message(
        "Schema",
        ("feature", sub, "Feature"),
        ("string_domain", sub, "StringDomain"),
        ("int_domain", sub, "IntDomain"),
        ("float_domain", sub, "FloatDomain"),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("millrace.schema.Schema"))
