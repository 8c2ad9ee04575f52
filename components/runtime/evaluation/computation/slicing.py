"""Which slices examples belong to, found for thousands at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.slicer import slicer_lib

from components.runtime.evaluation.computation.counts import SliceKey, canonical
from components.runtime.evaluation.configuration.slices import slice_features

_TYPES = {schema_pb2.BYTES: tf.string, schema_pb2.INT: tf.int64, schema_pb2.FLOAT: tf.float32}


class Slicer:
    """Finds the slices of examples as TFMA does: by transformed features first, then by raw ones."""

    def __init__(self, config: config_pb2.EvalConfig, schema: schema_pb2.Schema) -> None:
        """Prepares to parse no more of the examples than the slices need."""
        self._specs = [slicer_lib.SingleSliceSpec(spec=spec) for spec in config.slicing_specs] or [
            slicer_lib.SingleSliceSpec()
        ]
        self.names = sorted(slice_features(config))
        # Raw features as TensorFlow parses them: whatever the schema says of their shape, any number of values.
        self._raw = {
            feature.name: tf.io.VarLenFeature(_TYPES[feature.type])
            for feature in schema.feature
            if feature.name in self.names and feature.type in _TYPES
        }
        self._known: dict[tuple[Any, ...], tuple[SliceKey, ...]] = {}

    def __call__(self, examples: tf.Tensor, transformed: list[dict[str, np.ndarray]]) -> dict[SliceKey, np.ndarray]:
        """Returns the rows of each slice, ascending.

        Args:
          examples: serialised tf.Examples.
          transformed: their transformed features [rows, ...], of some of them after the other.
        """
        names = [(True, name) for name in self.names if name in transformed[0]]
        columns = [_coded([features[name] for features in transformed]) for _, name in names]
        if self._raw:
            for name, values in tf.io.parse_example(examples, self._raw).items():
                names.append((False, name))
                columns.append(_coded_sparse(values, len(examples)))
        # Rows with the same values are a group, whose slices are found once.
        group = np.zeros(len(examples), np.int64)
        for codes, values in columns:
            group = np.unique(group * len(values) + codes, return_inverse=True)[1]
        _, first, sizes = np.unique(group, return_index=True, return_counts=True)
        rows = np.split(np.argsort(group, kind="stable"), np.cumsum(sizes)[:-1])
        found: dict[SliceKey, list[np.ndarray]] = {}
        for row, members in zip(first.tolist(), rows, strict=True):
            of_row = tuple((name, values[codes[row]]) for name, (codes, values) in zip(names, columns, strict=True))
            for key in self._keys(of_row):
                found.setdefault(key, []).append(members)
        return {key: np.sort(np.concatenate(members)) for key, members in found.items()}

    def _keys(self, values: tuple[Any, ...]) -> tuple[SliceKey, ...]:
        if values not in self._known:
            dicts: dict[bool, dict[str, np.ndarray]] = {True: {}, False: {}}
            for (is_transformed, name), value in values:
                if value is not None:
                    dicts[is_transformed][name] = np.array(value)
            found = slicer_lib.get_slices_for_features_dicts([dicts[True]], dicts[False], self._specs)
            self._known[values] = tuple(sorted({canonical(key) for key in found}, key=str))
        return self._known[values]


def _coded(parts: list[np.ndarray]) -> tuple[np.ndarray, list[tuple[Any, ...]]]:
    """A column, parts of [rows, ...]: the number of each row's values, and the values by their number."""
    if all(part.shape[1:] == (1,) and part.dtype.kind in "ifO" for part in parts):
        encoded = pa.array(np.concatenate(parts)[:, 0]).dictionary_encode()
        return encoded.indices.to_numpy(), [(value,) for value in encoded.dictionary.to_pylist()]
    return _numbered([tuple(row.reshape(-1).tolist()) for part in parts for row in part])


def _coded_sparse(values: tf.SparseTensor, rows: int) -> tuple[np.ndarray, list[Any]]:
    """As `_coded`, for any number of values in a row; None for those without."""
    places, flat = values.indices.numpy()[:, 0], values.values.numpy()
    sizes = np.bincount(places, minlength=rows)
    if sizes.max(initial=0) > 1:
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        return _numbered([tuple(part.tolist()) or None for part in parts])
    codes, known = _coded([flat[:, np.newaxis]])
    spread = np.full(rows, len(known))
    spread[places] = codes
    return spread, [*known, None]


def _numbered(values: list[Any]) -> tuple[np.ndarray, list[Any]]:
    known: dict[Any, int] = {}
    codes = [known.setdefault(value, len(known)) for value in values]
    return np.array(codes, np.int64), list(known)
