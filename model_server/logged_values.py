"""Values of requests and answers as the log of predictions has them: a column of Arrow for each feature and output."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from components.runtime import missing as missing_values
from components.runtime.data import examples
from model_server.signature import Tensor

Array = np.ndarray[Any, Any]


def column(arrays: Sequence[Array], *, missing: bool) -> pa.Array:
    """The values of several requests, one below the other.

    Args:
      arrays: of shape [B, ...] each, of one type and one number of dimensions.
      missing: whether NaN, an empty text and the smallest integer stand for a missing value, as they do in requests.

    Returns:
      a value for each row, or a list of them, of lists where there are more dimensions; null where it is missing.
    """
    values = _flat([array.reshape(-1) for array in arrays], missing)
    for axis in range(arrays[0].ndim - 1, 0, -1):
        lengths = np.concatenate([np.full(math.prod(array.shape[:axis]), array.shape[axis]) for array in arrays])
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        values = pa.ListArray.from_arrays(pa.array(offsets), values)
    return values


def _flat(arrays: Sequence[Array], missing: bool) -> pa.Array:
    if arrays[0].dtype.kind in "OSU":
        return _texts([value for array in arrays for value in array.tolist()], missing)
    values = np.concatenate(arrays)
    # Parquet has floats of 32 and 64 bits.
    values = values if values.dtype.kind in "biu" or values.dtype == np.float64 else values.astype(np.float32)
    return pa.array(values, mask=missing_values.where(values) if missing else None)


def _texts(values: list[Any], missing: bool) -> pa.Array:
    """Text where all of it is, else bytes."""
    given = [None if missing and not value else value for value in values]
    try:
        return pa.array(given, pa.string())
    except pa.ArrowInvalid:
        return pa.array(given, pa.binary())


def of_examples(records: Sequence[bytes], inputs: Mapping[str, Tensor] | None) -> dict[str, pa.Array]:
    """The features of serialised tf.Examples, as plain values of them would be logged.

    Args:
      records: N of them.
      inputs: the features that a model takes; where nobody knows, all that the examples have.

    Returns:
      N values by feature.

    Raises:
      ValueError: one is no tf.Example, or has values of another type than the model takes.
    """
    rows = [examples.decode(record) for record in records]
    names = list(inputs) if inputs is not None else sorted({name for row in rows for name in row})
    try:
        return {name: _feature([row.get(name, []) for row in rows], (inputs or {}).get(name)) for name in names}
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None


def _feature(values: list[list[Any]], tensor: Tensor | None) -> pa.Array:
    shape = tensor.shape if tensor else None
    if len(shape) == 1 if shape is not None else all(len(each) <= 1 for each in values):
        return _typed([each[0] if each else None for each in values], tensor)
    lengths = np.array([len(each) for each in values])
    flat = _typed(list(itertools.chain.from_iterable(values)), tensor)
    lists = pa.ListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)), flat)
    for size in reversed((shape or ())[2:]):
        # An example has a matrix as its values one behind the other.
        if size is None or not size or (lengths % size).any():
            return lists
        inner = pa.ListArray.from_arrays(pa.array(np.arange(0, len(flat) + 1, size, dtype=np.int32)), flat)
        lengths, flat = lengths // size, inner
        lists = pa.ListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)), flat)
    return lists


def _typed(values: list[Any], tensor: Tensor | None) -> pa.Array:
    present = [value for value in values if value is not None]
    if (tensor.dtype == tf.string) if tensor else any(isinstance(value, bytes) for value in present):
        return _texts(values, missing=True)
    if (tensor.dtype.is_floating) if tensor else any(isinstance(value, float) for value in present):
        return pa.array([None if value is None or value != value else value for value in values], pa.float32())
    return pa.array([None if value == missing_values.INTEGER else value for value in values], pa.int64())
