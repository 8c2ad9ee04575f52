"""How many examples were evaluated, over all and by slice, counted where they are read: no metric is needed for it.

TFMA's ExampleCount is a metric like any other: under example weights it is their sum, under a query key the number of
queries, and not every configuration asks for it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.evaluators import evaluator
from tensorflow_model_analysis.extractors import slice_key_extractor
from tensorflow_model_analysis.proto import metrics_for_slice_pb2
from tensorflow_model_analysis.slicer import slicer_lib

from components.runtime.stage.progress import advance

SliceKey = tuple[Any, ...]
_FILE = "counts.json"
_FIRST = np.array([0])


def canonical(key: SliceKey) -> SliceKey:
    """A slice's key by which it is called the same whatever value of it comes first.

    NaN is always the same object, for two of them are two slices to a dict; to a dict -0.0 is 0.0.
    """
    return tuple((part[0], *map(_canonical_value, part[1:])) for part in key)


def _canonical_value(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return math.nan if value != value else value + 0.0
    return value


@dataclass
class Counts:
    """What was read."""

    rows: int = 0
    slices: dict[SliceKey, int] = field(default_factory=dict)
    """Examples of each slice."""
    not_a_number: dict[str, int] = field(default_factory=dict)
    """By the model's name: in how many examples its prediction holds NaN."""
    unlabelled: int = 0
    """In how many examples the label holds NaN, some model's."""
    ones: dict[SliceKey, int] = field(default_factory=dict)
    """Examples of each slice whose label, the candidate's, is 1."""
    of_two_classes: bool = True
    """Whether every label is one number, 0 or 1."""

    def rarer(self, key: SliceKey) -> int | None:
        """Examples of the rarer of two classes in a slice; None where there are not two, or nobody counted."""
        if not self.of_two_classes or key not in self.ones:
            return None
        return min(self.ones[key], self.slices[key] - self.ones[key])

    def add_labels(self, labels: np.ndarray, slices: Mapping[SliceKey, np.ndarray]) -> None:
        """Counts the classes of examples.

        Args:
          labels: [rows, label size], the candidate's.
          slices: the numbers of each one's rows.
        """
        self.of_two_classes &= labels.shape[1:] == (1,) and labels.dtype.kind in "biuf"
        if self.of_two_classes:
            ones = labels[:, 0] == 1
            self.of_two_classes = bool((ones | (labels[:, 0] == 0)).all())
            for key, rows in slices.items():
                self.ones[key] = self.ones.get(key, 0) + int(np.count_nonzero(ones[rows]))

    def add(self, slices: Iterable[SliceKey], not_a_number: Mapping[str, int], rows: int = 1) -> None:
        """Counts examples that are in the same slices."""
        self.rows += rows
        for key in slices:
            self.slices[key] = self.slices.get(key, 0) + rows
        for name, count in not_a_number.items():
            self.not_a_number[name] = self.not_a_number.get(name, 0) + count

    def merge(self, other: Counts) -> None:
        """Adds what was counted elsewhere."""
        self.add((), other.not_a_number, other.rows)
        self.unlabelled += other.unlabelled
        self.of_two_classes &= other.of_two_classes
        for key, count in other.ones.items():
            self.ones[key] = self.ones.get(key, 0) + count
        for key, count in other.slices.items():
            self.slices[key] = self.slices.get(key, 0) + count


def rows_with_nan(*arrays: np.ndarray) -> int:
    """In how many rows of arrays [rows, ...] of equally many rows there is a NaN."""
    found = [np.isnan(array).reshape(len(array), -1).any(axis=1) for array in arrays if array.dtype.kind == "f"]
    return int(np.logical_or.reduce(found).sum()) if found else 0


def counter(models: list[str], folder: Path) -> evaluator.Evaluator:
    """A part of TFMA's Beam pipeline that counts; `read` gets its result from the same folder afterwards."""
    return evaluator.Evaluator(
        stage_name="CountExamples",
        run_after=slice_key_extractor.SLICE_KEY_EXTRACTOR_STAGE_NAME,
        ptransform=_Count(models, str(folder / _FILE)),
    )


def read(folder: Path) -> Counts:
    """Takes what `counter` left in a folder out of it."""
    path = folder / _FILE
    document = json.loads(path.read_text())
    path.unlink()
    return Counts(
        document["rows"],
        {_key(text): count for text, count in document["slices"]},
        document["not_a_number"],
        document["unlabelled"],
        {_key(text): count for text, count in document["ones"]},
        document["of_two_classes"],
    )


class _Count(beam.PTransform):
    def __init__(self, models: list[str], path: str) -> None:
        super().__init__()
        self._models = models
        self._path = path

    def expand(self, extracts: Any) -> dict[str, Any]:
        _ = (
            extracts
            | beam.CombineGlobally(_CountFn(self._models))
            | beam.Map(_document)
            | beam.io.WriteToText(self._path, num_shards=1, shard_name_template="")
        )
        return {}


class _CountFn(beam.CombineFn):
    """Counts TFMA's extracts of single examples."""

    def __init__(self, models: list[str]) -> None:
        self._models = models

    def create_accumulator(self) -> Counts:
        return Counts()

    def add_input(self, accumulator: Counts, element: Any) -> Counts:
        predictions = element.get(constants.PREDICTIONS_KEY)
        single = len(self._models) == 1
        broken = {
            name: int(_holds_nan(predictions if single else predictions[name]))
            for name in self._models
            if predictions is not None
        }
        slices, labels = element[constants.SLICE_KEY_TYPES_KEY], element.get(constants.LABELS_KEY)
        accumulator.add(slices, broken)
        accumulator.unlabelled += _holds_nan(labels)
        own = labels if single else labels[constants.CANDIDATE_KEY]
        # (Of a model with several outputs there are several labels.)
        own = np.full((1, 2), np.nan) if own is None or isinstance(own, Mapping) else np.asarray(own).reshape(1, -1)
        accumulator.add_labels(own, dict.fromkeys(slices, _FIRST))
        advance()
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Counts]) -> Counts:
        result = Counts()
        for accumulator in accumulators:
            result.merge(accumulator)
        return result

    def extract_output(self, accumulator: Counts) -> Counts:
        return accumulator


def _holds_nan(tensors: Any) -> bool:
    if isinstance(tensors, Mapping):
        return any(map(_holds_nan, tensors.values()))
    values = np.asarray(tensors)
    return values.dtype.kind == "f" and bool(np.isnan(values).any())


def _document(counts: Counts) -> str:
    document = {"rows": counts.rows, "not_a_number": counts.not_a_number, "unlabelled": counts.unlabelled}
    document |= {"of_two_classes": counts.of_two_classes}
    return json.dumps({**document, "slices": _by_text(counts.slices), "ones": _by_text(counts.ones)})


def _by_text(counts: Mapping[SliceKey, int]) -> list[tuple[str, int]]:
    return [(slicer_lib.serialize_slice_key(key).SerializeToString().hex(), count) for key, count in counts.items()]


def _key(text: str) -> SliceKey:
    key = metrics_for_slice_pb2.SliceKey.FromString(bytes.fromhex(text))
    return canonical(slicer_lib.deserialize_slice_key(key))
