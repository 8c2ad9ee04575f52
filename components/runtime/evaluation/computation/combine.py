"""Feeds TFMA's combiners with whole batches.

TFMA's combiners take one example at a time, some 50 microseconds each. Those of the usual metrics are sums over
examples: here they get the sum over a batch, computed by NumPy, in their own accumulators. All else goes their own
way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.contrib.aggregates import binary_confusion_matrices as matrices
from tensorflow_model_analysis.metrics import (
    calibration_histogram,
    metric_types,
    multi_class_confusion_matrix_metrics,
)

from components.runtime.evaluation.computation import tfma_private
from components.runtime.evaluation.metrics.lift import LiftCombiner
from components.runtime.evaluation.metrics.regression import RegressionCombiner
from components.runtime.evaluation.metrics.segmentation import PixelCombiner
from components.runtime.evaluation.metrics.tfma_repairs import KerasCombiner
from components.runtime.evaluation.metrics.top_lift import TopLiftCombiner

Rows = tuple[np.ndarray, np.ndarray]
"""Labels [rows, label size] and predictions [rows, prediction shape] of one model."""


def supported(computation: metric_types.MetricComputation) -> bool:
    """Whether a computation needs nothing but labels and predictions."""
    for preprocessor in computation.preprocessors or []:
        if type(preprocessor) is not metric_types.StandardMetricInputsPreprocessor:
            return False
        allowed = {constants.LABELS_KEY, constants.PREDICTIONS_KEY, constants.EXAMPLE_WEIGHTS_KEY}
        if not set(preprocessor.include_filter) <= allowed:
            return False
    return True


def add(combiner: Any, accumulator: Any, rows: dict[str, Rows]) -> Any:
    """Adds a batch to a combiner's accumulator.

    Args:
      combiner: of a `MetricComputation`.
      accumulator: what `combiner` made.
      rows: by model.

    Returns:
      The accumulator, as the combiner would have left it after all `add_input`.
    """
    fast = _FAST.get(type(combiner))
    chosen = rows.get(tfma_private.model_name(combiner))
    # Labels that are texts are looked up in a vocabulary, which the combiners' own way does.
    if (
        fast is not None
        and chosen is not None
        and tfma_private.is_plain(combiner)
        and all(array.dtype.kind in "biuf" for array in chosen)
    ):
        result = fast(combiner, accumulator, *chosen)
        if result is not None:
            return result
    single = len(rows) == 1
    count = len(next(iter(rows.values()))[0])
    for index in range(count):
        labels = {name: pair[0][index] for name, pair in rows.items()}
        predictions = {name: pair[1][index] for name, pair in rows.items()}
        inputs = metric_types.StandardMetricInputs(
            labels=next(iter(labels.values())) if single else labels,
            predictions=next(iter(predictions.values())) if single else predictions,
        )
        accumulator = combiner.add_input(accumulator, inputs)
    return accumulator


def _binary(labels: np.ndarray, predictions: np.ndarray) -> Rows | None:
    """Labels and predictions as vectors, where all labels are 0 or 1 and every prediction is one number."""
    if labels.shape[1:] != (1,) or predictions.shape[1:] != (1,):
        return None
    truth, scores = labels[:, 0].astype(np.float64), predictions[:, 0].astype(np.float64)
    if not np.isin(truth, (0.0, 1.0)).all() or np.isnan(scores).any():
        return None
    return truth, scores


def _count(combiner: Any, accumulator: float, labels: np.ndarray, predictions: np.ndarray) -> float:
    return accumulator + float(len(labels))


def _histogram(
    combiner: Any, accumulator: dict[Any, Any], labels: np.ndarray, predictions: np.ndarray
) -> dict[Any, Any] | None:
    rows = _binary(labels, predictions)
    buckets = tfma_private.buckets(combiner)
    if rows is None or buckets is None:
        return None
    truth, scores = rows
    index = ((scores - buckets.left) / buckets.width * buckets.number) + 1
    index = np.clip(index, 0, buckets.number + 1).astype(np.int64)
    found, inverse = np.unique(index, return_inverse=True)
    sums = [
        np.bincount(inverse, weights=values, minlength=len(found)) for values in (truth, scores, np.ones_like(scores))
    ]
    for bucket, label, prediction, count in zip(found.tolist(), *(entry.tolist() for entry in sums), strict=True):
        if bucket not in accumulator:
            accumulator[bucket] = calibration_histogram.Bucket(bucket, 0.0, 0.0, 0.0)
        entry = accumulator[bucket]
        entry.weighted_labels += label
        entry.weighted_predictions += prediction
        entry.weighted_examples += count
    return accumulator


def _confusion(
    combiner: Any, accumulator: dict[Any, Any], labels: np.ndarray, predictions: np.ndarray
) -> dict[Any, Any] | None:
    rows = _binary(labels, predictions)
    counts = tfma_private.threshold_counts(combiner)
    if rows is None or counts is None:
        return None
    truth, scores = rows
    for threshold in counts.thresholds:
        positive = truth == 1.0 if counts.fractional_labels else truth > threshold
        yes = scores > threshold
        tp, fp = float(np.count_nonzero(positive & yes)), float(np.count_nonzero(~positive & yes))
        fn, tn = float(np.count_nonzero(positive & ~yes)), float(np.count_nonzero(~positive & ~yes))
        entry = tfma_private.ThresholdEntry(matrices.Matrix(tp=tp, tn=tn, fp=fp, fn=fn), [], [], [], [])
        accumulator[threshold] = counts.merge(accumulator, threshold, entry)
    return accumulator


def _classes(combiner: Any, accumulator: Any, labels: np.ndarray, predictions: np.ndarray) -> Any:
    thresholds = tfma_private.class_thresholds(combiner)
    if predictions.ndim != 2 or predictions.shape[1] < 2 or labels.ndim != 2 or len(thresholds) != 1:
        return None
    threshold = thresholds[0]
    truth = (labels.argmax(axis=1) if labels.shape[1] > 1 else labels[:, 0]).astype(np.int64)
    answer = predictions.argmax(axis=1)
    unsure = predictions[np.arange(len(answer)), answer] <= threshold
    answer = np.where(unsure, multi_class_confusion_matrix_metrics.NO_PREDICTED_CLASS_ID, answer)
    cells = accumulator.setdefault(threshold, {})
    pairs, counts = np.unique(np.stack([truth, answer], axis=1), axis=0, return_counts=True)
    for (actual, predicted), count in zip(pairs.tolist(), counts.tolist(), strict=True):
        key = multi_class_confusion_matrix_metrics.MatrixEntryKey(actual, predicted)
        cells[key] = cells.get(key, 0.0) + float(count)
    return accumulator


def _keras(combiner: KerasCombiner, accumulator: Any, labels: np.ndarray, predictions: np.ndarray) -> Any:
    metrics = combiner.metrics_of_one_output()
    if metrics is None:
        return None
    for number, metric in enumerate(metrics):
        metric.reset_states()
        metric.update_state(labels, predictions, np.ones((len(labels), 1)))
        accumulator.add_weights(0, number, metric.get_weights())
    return accumulator


def _top_lift(combiner: TopLiftCombiner, accumulator: Any, labels: np.ndarray, predictions: np.ndarray) -> Any:
    return combiner.add_batch(accumulator, labels, predictions) if _binary(labels, predictions) else None


def _lift(combiner: LiftCombiner, accumulator: Any, labels: np.ndarray, predictions: np.ndarray) -> Any:
    return combiner.add_batch(accumulator, labels, predictions) if labels.ndim == predictions.ndim == 2 else None


def _regression(combiner: RegressionCombiner, accumulator: Any, labels: np.ndarray, predictions: np.ndarray) -> Any:
    return combiner.add_batch(accumulator, labels, predictions)


def _pixels(combiner: PixelCombiner, accumulator: Any, labels: np.ndarray, predictions: np.ndarray) -> Any:
    return combiner.add_batch(accumulator, labels, predictions)


_FAST: dict[type, Callable[[Any, Any, np.ndarray, np.ndarray], Any]] = {
    tfma_private.ExampleCount: _count,
    tfma_private.CalibrationHistogram: _histogram,
    tfma_private.BinaryConfusionMatrices: _confusion,
    tfma_private.MultiClassConfusionMatrix: _classes,
    KerasCombiner: _keras,
    LiftCombiner: _lift,
    RegressionCombiner: _regression,
    TopLiftCombiner: _top_lift,
    PixelCombiner: _pixels,
}
