"""Reads the result directory that TFMA, or `local` in its place, has written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import metrics_for_slice_pb2, validation_result_pb2
from tensorflow_model_analysis.slicer import slicer_lib

from components.runtime.evaluation.computation.counts import Counts, SliceKey, canonical
from components.runtime.evaluation.computation.results import Confusion, Plots, Results, SliceMetrics, value_text
from components.runtime.evaluation.metrics.regression import REGRESSION_PLOT
from components.runtime.evaluation.metrics.residuals import Regression
from components.runtime.evaluation.metrics.segmentation import PIXEL_MATRIX

_NOT_FOUND = "Metric not found"


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
        slices.append(SliceMetrics(key, numbers, intervals, confusion, counts.slices.get(key), counts.rarer(key)))
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


def _key(entry: Any) -> SliceKey:
    if entry.HasField("cross_slice_key"):
        return tuple(map(canonical, slicer_lib.deserialize_cross_slice_key(entry.cross_slice_key)))
    return canonical(slicer_lib.deserialize_slice_key(entry.slice_key))


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
    """Model, output and regression of each `components.runtime.evaluation.metrics.RegressionPlot`."""
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


def _confusion(pairs: Any) -> dict[str, list[Confusion]]:
    """Threshold and counts by model; several metrics of this kind are one list, each threshold in it once."""
    found: dict[str, dict[float, Confusion]] = {}
    for pair in pairs:
        # Those of one class out of many would be taken for each other, and a model less its baseline for the model.
        is_other = pair.key.HasField("sub_key") or pair.key.is_diff
        if pair.value.WhichOneof("type") == "confusion_matrix_at_thresholds" and not is_other:
            rows = found.setdefault(pair.key.model_name, {})
            for matrix in pair.value.confusion_matrix_at_thresholds.matrices:
                counts = (matrix.true_positives, matrix.false_positives, matrix.true_negatives, matrix.false_negatives)
                rows.setdefault(matrix.threshold, (matrix.threshold, *counts))
    return {model: [rows[threshold] for threshold in sorted(rows)] for model, rows in found.items()}


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
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, value_text(value))
