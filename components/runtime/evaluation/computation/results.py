"""What was measured, in plain Python: numbers by slice, curves and confusion matrices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tensorflow_model_analysis import constants
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.slicer import slicer_lib

from components.runtime.evaluation.computation.counts import SliceKey
from components.runtime.evaluation.metrics.residuals import Regression

EXAMPLE_COUNT = "example_count"

Confusion = tuple[float, float, float, float, float]
"""(threshold, true positives, false positives, true negatives, false negatives)."""


@dataclass(frozen=True)
class SliceMetrics:
    """The metrics of all models over one slice, or over one slice less another.

    Attributes:
      intervals: 95 % confidence intervals of those metrics for which they were computed.
      confusion: by model, (threshold, true positives, false positives, true negatives, false negatives) at the
        thresholds of `ConfusionMatrixAtThresholds`.
      examples: how many were read that are in the slice; None for a pair of slices.
      rarer: of them, those of the rarer of two classes; None of other tasks.
    """

    key: SliceKey
    values: dict[metric_types.MetricKey, float]
    intervals: dict[metric_types.MetricKey, tuple[float, float]] = field(default_factory=dict)
    confusion: dict[str, list[Confusion]] = field(default_factory=dict)
    examples: int | None = None
    rarer: int | None = None

    def defined(self, key: metric_types.MetricKey) -> float | None:
        """A metric's value, None where it has none."""
        value = self.values.get(key)
        return None if value is None or math.isnan(value) else value

    @property
    def is_cross(self) -> bool:
        """Whether it compares two slices."""
        return bool(slicer_lib.is_cross_slice_key(self.key))

    @property
    def name(self) -> str:
        """As people read it: `overall`, or `trip_start_hour=5`."""
        return slice_name(self.key)

    @property
    def features(self) -> tuple[str, ...]:
        """The features that the slice is cut by."""
        return tuple(feature for feature, _ in self.parts)

    @property
    def parts(self) -> list[tuple[str, str]]:
        """The features that the slice is cut by, each with its value; none where it compares two slices."""
        if self.is_cross:
            return []
        return [(str(part[0]), value_text(part[1]) if len(part) > 1 else "") for part in self.key]


@dataclass
class Plots:
    """Curves of one model over all examples."""

    confusion: list[Confusion] = field(default_factory=list)
    """(threshold, true positives, false positives, true negatives, false negatives) by rising threshold."""
    calibration: list[tuple[float, float, float]] = field(default_factory=list)
    """(mean prediction, mean label, examples) of each bucket that holds examples."""
    classes: dict[tuple[int, int], float] = field(default_factory=dict)
    """Examples by (actual class, predicted class)."""
    class_names: Sequence[str] = ()
    """By number, where the configuration has them."""
    pixels: bool = False
    """Whether `classes` counts pixels instead of examples."""
    regressions: dict[str, Regression] = field(default_factory=dict)
    """By output; of models whose labels are numbers and not just 0 and 1."""

    @property
    def beyond_probabilities(self) -> bool:
        """Whether labels lie beyond 0 and 1, which no threshold of a classification divides."""
        return any(min(found.labels) < 0 or max(found.labels) > 1 for found in self.regressions.values())

    def roc(self) -> list[tuple[float, float, float]]:
        """(threshold, false positive rate, recall) by falling threshold; empty where a class is missing."""
        if not self.confusion or self.beyond_probabilities:
            return []
        _, tp, fp, tn, fn = self.confusion[0]
        positives, negatives = tp + fn, fp + tn
        if not positives or not negatives:
            return []
        return [(row[0], row[2] / negatives, row[1] / positives) for row in reversed(self.confusion)]

    def matrix(self) -> tuple[list[str], list[list[float]]] | None:
        """Names of the classes and examples by actual (rows) and predicted class; binary ones at threshold 0.5."""
        if self.classes:
            names = sorted({number for pair in self.classes for number in pair})
            rows = [[self.classes.get((actual, predicted), 0.0) for predicted in names] for actual in names]
            return [self.class_name(number) for number in names], rows
        if self.confusion and not self.beyond_probabilities:
            _, tp, fp, tn, fn = min(self.confusion, key=lambda row: abs(row[0] - 0.5))
            return [self.class_name(0), self.class_name(1)], [[tn, fp], [fn, tp]]
        return None

    def class_name(self, number: int) -> str:
        """The name of a class; its number where that is not known."""
        return class_name(self.class_names, number)


@dataclass
class Results:
    """Everything that was measured."""

    slices: list[SliceMetrics]
    plots: dict[str, Plots]
    """By the model's name."""
    rows: int = 0
    """Examples that were read."""
    class_names: Sequence[str] = ()
    """The candidate's, by number, where they are known."""
    baseline_class_names: Sequence[str] = ()

    @property
    def renumbered(self) -> dict[int, tuple[str, str]]:
        """The candidate's name and the baseline's of the class numbers that stand for different classes.

        Vocabularies are ordered by frequency, so that new data may exchange two classes.
        """
        pairs = enumerate(zip(self.class_names, self.baseline_class_names, strict=False))
        return {number: pair for number, pair in pairs if pair[0] != pair[1] and not _lacks_name(number, pair)}

    def class_name(self, number: int) -> str:
        """The name of a class; its number where that is not known."""
        return class_name(self.class_names, number)

    @property
    def overall(self) -> SliceMetrics:
        """The metrics over all examples; empty where no slicing spec asks for them."""
        return next((entry for entry in self.slices if entry.key == ()), SliceMetrics((), {}))


def _lacks_name(number: int, names: tuple[str, str]) -> bool:
    """Whether one of two models has no name for a class: its number then stands beside a word, not another number."""
    return str(number) in names and not all(name.removeprefix("-").isdigit() for name in names)


def class_name(names: Sequence[str], number: int) -> str:
    """The name of a class; its number where `names` has none, and `none` for a prediction of no class."""
    if number < 0:
        return "none"
    return names[number] if number < len(names) else str(number)


def slice_name(key: SliceKey) -> str:
    """A slice as people read it."""
    if slicer_lib.is_cross_slice_key(key):
        return f"{slice_name(key[0])} against {slice_name(key[1])}"
    return ", ".join(f"{part[0]}={value_text(part[1])}" if len(part) > 1 else str(part[0]) for part in key) or "overall"


def metric_name(key: metric_types.MetricKey, class_name: Callable[[int], str] = str) -> str:
    """A metric as people read it, with its output, class, rank, average and weights where it has them.

    Args:
      key: of the metric.
      class_name: from a class's number.
    """
    parts = [f"{key.output_name}/{key.name}" if key.output_name else key.name]
    if key.sub_key:
        if key.sub_key.class_id is not None:
            parts.append(f"class {class_name(key.sub_key.class_id)}")
        if key.sub_key.k is not None:
            parts.append(f"rank {key.sub_key.k}")
        if key.sub_key.top_k is not None:
            parts.append(f"top {key.sub_key.top_k}")
    if key.aggregation_type:
        kinds = {"micro_average": "micro", "macro_average": "macro", "weighted_macro_average": "weighted macro"}
        parts += [name for field, name in kinds.items() if getattr(key.aggregation_type, field)]
    if key.example_weighted:
        parts.append("example-weighted")
    return " ".join(parts)


def candidate_name(models: Iterable[str]) -> str:
    """The name that the candidate has among the models of a result."""
    return constants.CANDIDATE_KEY if constants.CANDIDATE_KEY in set(models) else ""


def value_text(value: Any) -> str:
    """The value of a feature that a slice is cut by, as people read it."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
