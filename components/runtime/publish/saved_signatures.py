"""Reads the signatures of a SavedModel without TensorFlow.

The format is tensorflow/core/protobuf/saved_model.proto and meta_graph.proto, of which only what is needed is described
here; entries of a protobuf map are messages with the fields 1 (key) and 2 (value).
"""

from __future__ import annotations

import functools
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError

SERVING_DEFAULT = "serving_default"
FROM_EXAMPLES = "from_examples"
_EXAMPLES = "examples"

_PACKAGE = "millrace.saved_model"
# message: [(field, number, kind, repeated)]
_MESSAGES: dict[str, list[tuple[str, int, str, bool]]] = {
    "SavedModel": [("meta_graphs", 2, "MetaGraph", True)],
    "MetaGraph": [("signatures", 5, "NamedSignature", True)],
    "NamedSignature": [("name", 1, "string", False), ("signature", 2, "Signature", False)],
    "Signature": [("inputs", 1, "NamedTensor", True), ("outputs", 2, "NamedTensor", True)],
    "NamedTensor": [("name", 1, "string", False), ("tensor", 2, "Tensor", False)],
    "Tensor": [("dtype", 2, "int32", False), ("shape", 3, "Shape", False)],
    "Shape": [("dim", 2, "Dim", True), ("unknown_rank", 3, "bool", False)],
    "Dim": [("size", 1, "int64", False)],
}
# tensorflow/core/framework/types.proto
_TYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string", 9: "int64", 10: "bool",
    14: "bfloat16", 17: "uint16", 19: "float16", 22: "uint32", 23: "uint64",
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """An input or an output of a signature; `shape` is None where the rank is unknown, -1 in it a size that is."""

    name: str
    dtype: str
    shape: tuple[int, ...] | None

    @property
    def form(self) -> str:
        """The shape for people: `[?, 3]`."""
        return "?" if self.shape is None else f"[{', '.join('?' if size < 0 else str(size) for size in self.shape)}]"


@dataclass(frozen=True)
class Signature:
    """What a model can be asked."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def read(folder: Path) -> tuple[Signature, ...]:
    """The signatures of a SavedModel, by name; TensorFlow's own are left out.

    Raises:
      InputError: `saved_model.pb` is none.
    """
    from google.protobuf.message import DecodeError

    file = folder / "saved_model.pb"
    saved = _message("SavedModel")()
    try:
        saved.ParseFromString(file.read_bytes())
    except DecodeError:
        raise InputError(f"{file}: not a SavedModel; train the model again") from None
    found = {entry.name: entry.signature for graph in saved.meta_graphs for entry in graph.signatures}
    return tuple(
        Signature(name, _tensors(signature.inputs), _tensors(signature.outputs))
        for name, signature in sorted(found.items())
        if not name.startswith("__")
    )


def takes_examples(default: Signature, names: Container[str]) -> bool:
    """Whether `serving_default` takes serialised tf.Examples, as TFX's module files have it.

    Args:
      default: that signature.
      names: of all signatures; a model that is exported here has one of its own for examples.
    """
    if FROM_EXAMPLES in names or len(default.inputs) != 1:
        return False
    [given] = default.inputs
    return given.dtype == "string" and _EXAMPLES in given.name and (given.shape is None or len(given.shape) == 1)


def _tensors(entries: Any) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(
            entry.name,
            _TYPES.get(entry.tensor.dtype, f"type {entry.tensor.dtype}"),
            None if entry.tensor.shape.unknown_rank else tuple(dim.size for dim in entry.tensor.shape.dim),
        )
        for entry in sorted(entries, key=lambda entry: entry.name)
    )


@functools.cache
def _message(name: str) -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="millrace/saved_model.proto", package=_PACKAGE, syntax="proto3")
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for field, number, kind, repeated in fields:
            added = described.field.add(
                name=field, number=number, label=kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            )
            if kind in _MESSAGES:
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                added.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
