"""What TFMA left in its result directory, in plain Python: numbers by slice, curves and confusion matrices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import metrics_for_slice_pb2, validation_result_pb2
from tensorflow_model_analysis.slicer import slicer_lib

from components.evaluate.computation.counts import Counts, SliceKey
from components.evaluate.metrics.regression import REGRESSION_PLOT
from components.evaluate.metrics.residuals import Regression
from components.evaluate.metrics.segmentation import PIXEL_MATRIX

EXAMPLE_COUNT = "example_count"

_NOT_FOUND = "Metric not found"
_Confusion = tuple[float, float, float, float, float]


@dataclass(frozen=True)
class SliceMetrics:
    """The metrics of all models over one slice, or over one slice less another.

    Attributes:
      intervals: 95 % confidence intervals of those metrics for which they were computed.
      confusion: by model, (threshold, true positives, false positives, true negatives, false negatives) at the
        thresholds of `ConfusionMatrixAtThresholds`.
      examples: how many were read that are in the slice; None for a pair of slices.
    """

    key: SliceKey
    values: dict[metric_types.MetricKey, float]
    intervals: dict[metric_types.MetricKey, tuple[float, float]] = field(default_factory=dict)
    confusion: dict[str, list[_Confusion]] = field(default_factory=dict)
    examples: int | None = None

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
        return [(str(part[0]), _text(part[1]) if len(part) > 1 else "") for part in self.key]


@dataclass
class Plots:
    """Curves of one model over all examples."""

    confusion: list[_Confusion] = field(default_factory=list)
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


def load(
    folder: Path, counts: Counts, class_names: Sequence[str] = (), baseline_class_names: Sequence[str] = ()
) -> Results:
    """Reads a result directory.

    Args:
      folder: of TFMA's results.
      counts: what was read for them.
      class_names: of the candidate's classes by number, where they are known.
      baseline_class_names: the same of the baseline.
    """
    by_slice: dict[SliceKey, dict[str, Plots]] = {}
    for entry in _messages(folder, "plots-*.tfrecord", metrics_for_slice_pb2.PlotsForSlice):
        plots = by_slice.setdefault(_key(entry), {})
        for pair in entry.plot_keys_and_values:
            # Per-class curves have a sub key; the page draws those over all classes.
            if not pair.key.HasField("sub_key"):
                model = plots.setdefault(pair.key.model_name, Plots(class_names=class_names))
                _add_plot(model, pair.value)
                model.pixels |= pair.key.name == PIXEL_MATRIX
    slices = []
    for entry in _messages(folder, "metrics-*.tfrecord", metrics_for_slice_pb2.MetricsForSlice):
        key = _key(entry)
        for name, output, regression in _regressions(entry.metric_keys_and_values) if key == () else ():
            if not regression.zero_or_one:
                by_model = by_slice.setdefault(key, {})
                by_model.setdefault(name, Plots(class_names=class_names)).regressions[output] = regression
        confusion = _confusion(entry.metric_keys_and_values)
        numbers = dict(_numbers(entry.metric_keys_and_values))
        intervals = _intervals(entry.metric_keys_and_values)
        slices.append(SliceMetrics(key, numbers, intervals, confusion, counts.slices.get(key)))
    ordered = sorted(slices, key=lambda entry: _order(entry.key))
    return Results(ordered, by_slice.get((), {}), counts.rows, class_names, baseline_class_names)


def load_validation(folder: Path) -> list[str]:
    """The comparisons that failed in TFMA's own validation, less those of a relative change, and of no metric at all.

    TFMA divides by the baseline with its sign, so that below zero the worse of two models has the larger change.

    Its `validation_ok` is not read: it also goes by slices that TFMA finds missing, among which it counts all pairs of
    slices, although it has compared them. Metrics that it does not find have a line of our own: it looks for those of
    the map `thresholds` of a metrics_specs under keys that none has.
    """
    (validation,) = _messages(folder, "validations.tfrecord", validation_result_pb2.ValidationResult)
    return [
        f"{failure.metric_key.name}: {failure.message.strip() or 'threshold does not hold'}"
        for entry in validation.metric_validations_per_slice
        for failure in entry.failures
        if not failure.metric_threshold.change_threshold.HasField("relative")
        if _NOT_FOUND not in failure.message
    ]


def _messages(folder: Path, pattern: str, kind: type) -> Iterator[Any]:
    # TFMA's own loaders go by a deprecated reader that warns in every log.
    for record in tf.data.TFRecordDataset(sorted(map(str, folder.glob(pattern)))).as_numpy_iterator():
        yield kind.FromString(record)  # type: ignore[attr-defined]


def class_name(names: Sequence[str], number: int) -> str:
    """The name of a class; its number where `names` has none, and `none` for a prediction of no class."""
    if number < 0:
        return "none"
    return names[number] if number < len(names) else str(number)


def slice_name(key: SliceKey) -> str:
    """A slice as people read it."""
    if slicer_lib.is_cross_slice_key(key):
        return f"{slice_name(key[0])} against {slice_name(key[1])}"
    return ", ".join(f"{part[0]}={_text(part[1])}" if len(part) > 1 else str(part[0]) for part in key) or "overall"


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


def _key(entry: Any) -> SliceKey:
    if entry.HasField("cross_slice_key"):
        return tuple(slicer_lib.deserialize_cross_slice_key(entry.cross_slice_key))
    return tuple(slicer_lib.deserialize_slice_key(entry.slice_key))


def _numbers(pairs: Any) -> Iterator[tuple[metric_types.MetricKey, float]]:
    for pair in pairs:
        kind = pair.value.WhichOneof("type")
        key = metric_types.MetricKey.from_proto(pair.key)
        if kind == "double_value":
            yield key, pair.value.double_value.value
        elif kind == "bounded_value":
            yield key, pair.value.bounded_value.value.value
        elif kind == "bytes_value" and pair.value.bytes_value == b"":
            yield key, math.nan


def _regressions(pairs: Any) -> Iterator[tuple[str, str, Regression]]:
    """Model, output and regression of each `components.evaluate.metrics.RegressionPlot`."""
    for pair in pairs:
        if pair.key.name == REGRESSION_PLOT and pair.value.WhichOneof("type") == "bytes_value":
            yield pair.key.model_name, pair.key.output_name, Regression.from_json(pair.value.bytes_value)


def _intervals(pairs: Any) -> dict[metric_types.MetricKey, tuple[float, float]]:
    found = {}
    for pair in pairs:
        ends = pair.confidence_interval.lower_bound, pair.confidence_interval.upper_bound
        low, high = (end.double_value.value if end.WhichOneof("type") == "double_value" else math.nan for end in ends)
        if math.isfinite(low) and math.isfinite(high):
            found[metric_types.MetricKey.from_proto(pair.key)] = low, high
    # TFMA computes intervals of the changes of counts, too, which have none themselves.
    return {key: ends for key, ends in found.items() if key._replace(is_diff=False) in found}


def _confusion(pairs: Any) -> dict[str, list[_Confusion]]:
    found: dict[str, list[_Confusion]] = {}
    for pair in pairs:
        # Those of one class out of many would be taken for each other.
        if pair.value.WhichOneof("type") == "confusion_matrix_at_thresholds" and not pair.key.HasField("sub_key"):
            rows = found.setdefault(pair.key.model_name, [])
            for matrix in pair.value.confusion_matrix_at_thresholds.matrices:
                counts = (matrix.true_positives, matrix.false_positives, matrix.true_negatives, matrix.false_negatives)
                rows.append((matrix.threshold, *counts))
    return found


def _add_plot(plots: Plots, data: Any) -> None:
    for matrix in data.confusion_matrix_at_thresholds.matrices:
        counts = (matrix.true_positives, matrix.false_positives, matrix.true_negatives, matrix.false_negatives)
        plots.confusion.append((min(max(matrix.threshold, 0.0), 1.0), *counts))
    for bucket in data.calibration_histogram_buckets.buckets:
        count = bucket.num_weighted_examples.value
        if count > 0:
            prediction = bucket.total_weighted_refined_prediction.value / count
            plots.calibration.append((prediction, bucket.total_weighted_label.value / count, count))
    for matrices in data.multi_class_confusion_matrix_at_thresholds.matrices[:1]:
        for cell in matrices.entries:
            plots.classes[(cell.actual_class_id, cell.predicted_class_id)] = cell.num_weighted_examples


def _order(key: SliceKey) -> tuple[Any, ...]:
    if slicer_lib.is_cross_slice_key(key):
        return (1, str(key))
    # Numbers in their own order and before texts, so that hour 10 does not come before hour 2.
    parts = [(str(part[0]), *_rank(part[1] if len(part) > 1 else "")) for part in key]
    return (0, len(key), parts)


def _rank(value: Any) -> tuple[int, float, str]:
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, _text(value))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
