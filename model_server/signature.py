"""The signatures of a SavedModel: what they take and answer, by the names that clients use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from model_server.errors import BadRequestError

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


@dataclass(frozen=True)
class Tensor:
    """An input or an output of a signature.

    Attributes:
      node: its name in the graph.
      dtype: of its values.
      shape: None where a size is open, and None as a whole where the number of dimensions is.
    """

    node: str
    dtype: tf.DType
    shape: tuple[int | None, ...] | None

    @property
    def told(self) -> str:
        """Type and shape, as a person reads them."""
        sizes = "any shape" if self.shape is None else str(["?" if size is None else size for size in self.shape])
        return f"{self.dtype.name} of shape {sizes}".replace("'", "")

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of that shape can be fed."""
        if self.shape is None:
            return True
        return len(shape) == len(self.shape) and all(
            wanted is None or wanted == size for wanted, size in zip(self.shape, shape, strict=True)
        )


@dataclass(frozen=True)
class Signature:
    """A signature by its name.

    Attributes:
      method: `tensorflow/serving/predict`, `/classify` or `/regress`.
    """

    name: str
    method: str
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]

    def arrays(self, given: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Makes arrays of what a request names, and holds them to the signature.

        Args:
          given: arrays, or nested lists, by the names of inputs; the first dimension is that of the examples.

        Raises:
          BadRequestError: an input that there is not, one that is missing, or values of another type or shape.
        """
        if unknown := sorted(set(given) - set(self.inputs)):
            raise BadRequestError(
                f"signature {self.name!r} has no input {unknown[0]!r}; it takes {', '.join(sorted(self.inputs))}"
            )
        if missing := sorted(set(self.inputs) - set(given)):
            raise BadRequestError(f"input {missing[0]!r} of signature {self.name!r} is missing")
        arrays = {name: _array(name, given[name], tensor) for name, tensor in self.inputs.items()}
        sizes = {name: len(array) for name, array in arrays.items() if array.ndim and self.inputs[name].shape != ()}
        if len(set(sizes.values())) > 1:
            counts = ", ".join(f"{name}: {size}" for name, size in sorted(sizes.items()))
            raise BadRequestError(f"the inputs have different numbers of examples ({counts})")
        return arrays

    def wanted(self, outputs: tuple[str, ...]) -> tuple[str, ...]:
        """The outputs that a request names; all where it names none.

        Raises:
          BadRequestError: there is no such output.
        """
        if unknown := sorted(set(outputs) - set(self.outputs)):
            raise BadRequestError(
                f"signature {self.name!r} has no output {unknown[0]!r}; it answers {', '.join(sorted(self.outputs))}"
            )
        return outputs or tuple(sorted(self.outputs))


def read(meta_graph: Any) -> dict[str, Signature]:
    """The signatures of a MetaGraphDef that a client can ask; the graph's own, such as its initialisation, are none."""
    found = {}
    for name, signature in meta_graph.signature_def.items():
        if name.startswith("__saved_model"):
            continue
        found[name] = Signature(
            name, signature.method_name or PREDICT, _tensors(signature.inputs), _tensors(signature.outputs)
        )
    return found


def _tensors(infos: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        name: Tensor(
            info.name,
            tf.dtypes.as_dtype(info.dtype),
            None
            if info.tensor_shape.unknown_rank
            else tuple(size.size if size.size >= 0 else None for size in info.tensor_shape.dim),
        )
        for name, info in infos.items()
    }


def _array(name: str, value: Any, tensor: Tensor) -> np.ndarray[Any, Any]:
    try:
        array = _texts(value) if tensor.dtype == tf.string else _numbers(value, tensor.dtype)
    except (ValueError, TypeError, OverflowError):
        raise BadRequestError(f"input {name!r} has to be {tensor.told}; the values given are not") from None
    if not tensor.fits(array.shape):
        raise BadRequestError(f"input {name!r} has to be {tensor.told}, not of shape {list(array.shape)}")
    return array


def _numbers(value: Any, dtype: tf.DType) -> np.ndarray[Any, Any]:
    found = np.asarray(value)
    wanted = dtype.as_numpy_dtype
    if found.dtype == wanted:
        return found
    if not found.size:
        return found.astype(wanted)
    # Nothing of a number may be lost; a text, a missing value or a fraction for an integer is a fault.
    if found.dtype.kind not in "biuf" or (found.dtype.kind == "b") != dtype.is_bool:
        raise ValueError(found.dtype)
    if dtype.is_integer:
        if found.dtype.kind == "f":
            raise ValueError(found.dtype)
        limits = np.iinfo(wanted)
        if found.min() < limits.min or found.max() > limits.max:
            raise ValueError("out of range")
    return found.astype(wanted)


def _texts(value: Any) -> np.ndarray[Any, Any]:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "OSU":
            raise ValueError(value.dtype)
        return value
    shape = _shape(value)
    flat: list[bytes] = []
    _flatten(value, len(shape), flat)
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array.reshape(shape)


def _shape(value: Any) -> tuple[int, ...]:
    shape: tuple[int, ...] = ()
    while isinstance(value, list):
        shape += (len(value),)
        if not value:
            break
        value = value[0]
    return shape


def _flatten(value: Any, depth: int, into: list[bytes]) -> None:
    if depth == 0:
        if isinstance(value, str):
            value = value.encode()
        if not isinstance(value, bytes):
            raise TypeError(type(value))
        into.append(value)
        return
    if not isinstance(value, list):
        raise TypeError(type(value))
    sizes = {len(each) if isinstance(each, list) else -1 for each in value}
    if len(sizes) > 1:
        raise ValueError("rows of different lengths")
    for each in value:
        _flatten(each, depth - 1, into)
