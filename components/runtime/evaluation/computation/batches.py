"""Runs models over tf.Examples batch by batch, and tells which slices each example belongs to."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.proto import config_pb2

from components.runtime.data.ahead import in_order
from components.runtime.errors import InputError
from components.runtime.evaluation.computation import fitting
from components.runtime.evaluation.computation.counts import SliceKey
from components.runtime.evaluation.computation.results import candidate_name
from components.runtime.evaluation.computation.slicing import Slicer
from components.runtime.evaluation.configuration.names import THE_BASELINE
from components.runtime.evaluation.configuration.saved_model import SavedModelFacts

_BATCH_ROWS = 1024
_BATCH_BYTES = 8 << 20
_BATCHES = 8
_WAITING = 4
_WAITING_BYTES = 32 << 20


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


def read(files: Iterable[str], models: Mapping[str, Answering], slicer: Slicer) -> Iterator[Answered]:
    """Yields the examples of gzip TFRecords in their order, some batches at a time of what one machine can hold.

    Raises:
      InputError: a model cannot read them, or its labels or predictions have several shapes.
    """
    # Two groups are made at a time, since a signature parses its examples on one core for half of its time. So many
    # wait that the models have something to do while the metrics of thousands of rows are computed.
    threads, files = min(model.threads for model in models.values()), list(files)
    size = _largest_row(files, models.values())
    rows = _rows_of(size)
    # To find the slices of several batches takes little longer than those of one.
    several = max(1, min(_BATCHES, _BATCH_BYTES // (size * rows)))
    waiting = max(threads + 1, min(_WAITING, _WAITING_BYTES // (size * rows * several)))

    def answered(group: list[tf.Tensor]) -> Answered:
        labels: dict[str, np.ndarray] = {}
        predictions: dict[str, np.ndarray] = {}
        features: list[dict[str, np.ndarray]] = []
        for name, model in models.items():
            said = []
            for batch in group:
                label, prediction, transformed = answers(name, model, batch)
                said.append((label, prediction))
                # Of the candidate's features alone: a slice must hold the same examples for both models.
                if name == candidate_name(models):
                    features.append({each: transformed[each] for each in slicer.names if each in transformed})
            labels[name] = joined("labels", [label for label, _ in said])
            predictions[name] = joined("predictions", [prediction for _, prediction in said])
        return Answered(labels, predictions, slicer(tf.concat(group, 0), features))

    with ThreadPoolExecutor(threads) as pool:
        yield from in_order(pool, answered, _grouped(_batched(files, rows), several), waiting)


def _grouped(batches: Iterable[tf.Tensor], most: int) -> Iterator[list[tf.Tensor]]:
    """Some batches at a time, fewer where their examples are large."""
    group: list[tf.Tensor] = []
    size = 0
    for batch in batches:
        own = int(tf.reduce_sum(tf.strings.length(batch)))
        if group and (len(group) == most or size + own > _BATCH_BYTES):
            yield group
            group, size = [], 0
        group.append(batch)
        size += own
    if group:
        yield group


def joined(what: str, parts: list[np.ndarray]) -> np.ndarray:
    """What a model says of some examples after the other, each [rows, ...].

    Raises:
      InputError: they have several shapes.
    """
    shapes = sorted({part.shape[1:] for part in parts})
    if len(shapes) > 1:
        raise InputError(
            f"the model's {what} have several shapes, {' and '.join(str(list(shape)) for shape in shapes[:2])} among "
            "them: metrics need one; pad lists to one length in preprocessing_fn"
        )
    return np.concatenate(parts)


def answers(name: str, model: Answering, examples: tf.Tensor) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """What a model says, as `Model` has it.

    Raises:
      InputError: as of `reading_by`.
    """
    with reading_by(name):
        return model(examples)


@contextmanager
def reading_by(name: str) -> Iterator[None]:
    """Says which model, by its name in the configuration, it is that cannot read the examples.

    Raises:
      InputError: it cannot.
    """
    try:
        yield
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
