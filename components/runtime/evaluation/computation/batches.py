"""Runs models over tf.Examples batch by batch, and tells which slices each example belongs to."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.slicer import slicer_lib

from components.runtime.data.ahead import in_order
from components.runtime.errors import InputError
from components.runtime.evaluation.computation import fitting
from components.runtime.evaluation.computation.counts import SliceKey, canonical
from components.runtime.evaluation.computation.results import candidate_name
from components.runtime.evaluation.configuration.names import THE_BASELINE
from components.runtime.evaluation.configuration.saved_model import SavedModelFacts
from components.runtime.evaluation.configuration.slices import slice_features

_BATCH_ROWS = 1024
_BATCH_BYTES = 8 << 20
_BATCHES = 8
_WAITING = 4
_WAITING_BYTES = 32 << 20
_TYPES = {schema_pb2.BYTES: tf.string, schema_pb2.INT: tf.int64, schema_pb2.FLOAT: tf.float32}


@dataclass(frozen=True)
class Answered:
    """Some examples, with what the models say about them."""

    labels: dict[str, np.ndarray]
    """By model: [rows, label size]."""
    predictions: dict[str, np.ndarray]
    """By model: [rows, prediction shape]."""
    slices: dict[SliceKey, np.ndarray]
    """By slice: the numbers of its rows, ascending."""

    @property
    def rows(self) -> int:
        """How many examples these are."""
        return len(next(iter(self.labels.values())))


class Answering(Protocol):
    """What an evaluation asks of a model, whatever form that has."""

    threads: int
    """From how many threads it may be asked at a time."""

    def __call__(self, examples: tf.Tensor) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Labels, predictions, and all transformed features of serialised tf.Examples."""

    def row_bytes(self) -> int:
        """Size of what the model says about one example, as far as that is known."""


class Model:
    """A loaded SavedModel of which the signatures are fed with serialised tf.Examples."""

    threads = 2
    """More gain nothing beside TensorFlow's own: Python's lock is between them."""

    def __init__(self, folder: Path, spec: config_pb2.ModelSpec) -> None:
        """Loads the model.

        Args:
          folder: of the SavedModel.
          spec: names its signatures and its label.
        """
        self.folder = folder
        self._loaded = _loaded(str(folder))
        self._spec = spec

    def labels(self, examples: tf.Tensor) -> np.ndarray:
        """The labels alone."""
        for name in self._spec.preprocessing_function_names:
            transformed = self._call(name, examples)
            if self._spec.label_key in transformed:
                return transformed[self._spec.label_key]
        raise KeyError(self._spec.label_key)

    def __call__(self, examples: tf.Tensor) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Returns labels, predictions, and all transformed features."""
        transformed: dict[str, np.ndarray] = {}
        for name in self._spec.preprocessing_function_names:
            transformed |= self._call(name, examples)
        outputs = self._call(self._spec.signature_name, examples)
        key = self._spec.prediction_key if len(outputs) > 1 else next(iter(outputs))
        return transformed[self._spec.label_key], outputs[key], transformed

    def row_bytes(self) -> int:
        """Size of what the model says about one example, as far as its signatures tell."""
        names = [self._spec.signature_name, *self._spec.preprocessing_function_names]
        specs = [spec for name in names for spec in self._loaded.signatures[name].structured_outputs.values()]
        return sum(_row_bytes(spec) for spec in specs if isinstance(spec, tf.TensorSpec))

    def _call(self, name: str, examples: tf.Tensor) -> dict[str, np.ndarray]:
        signature = self._loaded.signatures[name]
        (argument,) = signature.structured_input_signature[1]
        outputs = signature(**{argument: examples})
        return {key: _with_column(value.numpy()) for key, value in outputs.items() if isinstance(value, tf.Tensor)}


@functools.lru_cache(maxsize=2)
def _loaded(folder: str) -> Any:
    # Candidate and baseline: whoever asks for one of them again in this process gets it without loading it anew.
    return tf.saved_model.load(folder, tags=["serve"])


def fits(spec: config_pb2.ModelSpec, facts: SavedModelFacts) -> bool:
    """Whether `Model` gives all that is evaluated of this model: it `runs`, and examples have no weights."""
    return runs(spec, facts) and not (
        spec.example_weight_key or spec.example_weight_keys or spec.HasField("padding_options")
    )


def runs(spec: config_pb2.ModelSpec, facts: SavedModelFacts) -> bool:
    """Whether `Model` can run this model: signatures of serialised examples, and one label among their outputs."""
    if not spec.signature_name or not spec.label_key or spec.label_keys or spec.prediction_keys:
        return False
    names = [spec.signature_name, *spec.preprocessing_function_names]
    if not all(name in facts.outputs and facts.takes_examples(name) for name in names):
        return False
    if len(facts.outputs[spec.signature_name]) > 1 and not spec.prediction_key:
        return False
    return spec.label_key in (facts.transformed(spec.preprocessing_function_names) or ())


class Slicer:
    """Finds the slices of examples as TFMA does: by transformed features first, then by raw ones."""

    def __init__(self, config: config_pb2.EvalConfig, schema: schema_pb2.Schema) -> None:
        """Prepares to parse no more of the examples than the slices need."""
        self._specs = [slicer_lib.SingleSliceSpec(spec=spec) for spec in config.slicing_specs] or [
            slicer_lib.SingleSliceSpec()
        ]
        self._names = sorted(slice_features(config))
        # Raw features as TensorFlow parses them: whatever the schema says of their shape, any number of values.
        self._raw = {
            feature.name: tf.io.VarLenFeature(_TYPES[feature.type])
            for feature in schema.feature
            if feature.name in self._names and feature.type in _TYPES
        }
        self._known: dict[tuple[Any, ...], tuple[SliceKey, ...]] = {}

    def __call__(self, examples: tf.Tensor, transformed: list[dict[str, np.ndarray]]) -> dict[SliceKey, np.ndarray]:
        """Returns the rows of each slice, ascending.

        Args:
          examples: serialised tf.Examples.
          transformed: their transformed features [rows, ...], of some of them after the other.
        """
        names = [(True, name) for name in self._names if name in transformed[0]]
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


def read(files: Iterable[str], models: Mapping[str, Answering], slicer: Slicer) -> Iterator[Answered]:
    """Yields the examples of gzip TFRecords in their order, some batches at a time of what one machine can hold."""
    # Two are made at a time, since a signature parses its examples on one core for half of its time. So many wait that
    # the models have something to do while the metrics of thousands of rows are computed.
    threads, files = min(model.threads for model in models.values()), list(files)
    size = _largest_row(files, models.values())
    rows = _rows_of(size)
    # To find the slices of several batches takes little longer than those of one.
    several = rows * max(1, min(_BATCHES, _BATCH_BYTES // (size * rows)))
    waiting = max(threads + 1, min(_WAITING, _WAITING_BYTES // (size * several)))

    def answered(examples: tf.Tensor) -> Answered:
        batches = [examples[first : first + rows] for first in range(0, len(examples), rows)]
        results = {name: [answers(name, model, batch) for batch in batches] for name, model in models.items()}
        # Of the candidate's features alone: a slice must hold the same examples for both models.
        slices = slicer(examples, [features for _, _, features in results[candidate_name(results)]])
        labels, predictions = (
            {name: np.concatenate([result[place] for result in of_batches]) for name, of_batches in results.items()}
            for place in (0, 1)
        )
        return Answered(labels, predictions, slices)

    with ThreadPoolExecutor(threads) as pool:
        yield from in_order(pool, answered, _batched(files, several), waiting)


def answers(name: str, model: Answering, examples: tf.Tensor) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """What a model says, as `Model` has it.

    Raises:
      InputError: it cannot read the examples; says which model, by its name in the configuration.
    """
    try:
        return model(examples)
    except tf.errors.InvalidArgumentError as error:
        who = f"{THE_BASELINE}," if name == constants.BASELINE_KEY else "the model"
        raise InputError(
            f"{who} cannot read the examples: {fitting.reason(error)}; rows that lack what it needs are left out by "
            "ingest's leave_out_without"
        ) from None


def serialised(files: Iterable[str], models: Iterable[Answering]) -> tf.data.Dataset:
    """The examples of gzip TFRecords as they are, in batches of which neither input nor output is large."""
    files = list(files)
    return _batched(files, batch_rows(files, models))


def _batched(files: list[str], rows: int) -> tf.data.Dataset:
    options = tf.data.Options()
    # Nothing here is to be tuned or rewritten: to try it takes a fifth of the reading.
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return tf.data.TFRecordDataset(files, "GZIP").batch(rows).prefetch(2).with_options(options)


def batch_rows(files: list[str], models: Iterable[Answering]) -> int:
    """How many of these examples a model on one machine can hold at once, and what it says about them."""
    return _rows_of(_largest_row(files, models))


def _rows_of(size: int) -> int:
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // size))


def _largest_row(files: list[str], models: Iterable[Answering]) -> int:
    """The size of an example, of the first ones or of what is said about it, whichever is more."""
    first = tf.data.TFRecordDataset(files, compression_type="GZIP").take(16).as_numpy_iterator()
    return max([1, *map(len, first), *(model.row_bytes() for model in models)])


def _row_bytes(spec: tf.TensorSpec) -> int:
    """Bytes of one row of an output; 0 where its shape is open or its values have no fixed size."""
    shape = spec.shape.as_list()[1:] if spec.shape.rank else [None]
    return 0 if None in shape else math.prod(shape) * spec.dtype.size


def _with_column(values: np.ndarray) -> np.ndarray:
    return values[:, np.newaxis] if values.ndim == 1 else values


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
