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
    binary_confusion_matrices,
    calibration_histogram,
    example_count,
    metric_types,
    metric_util,
    multi_class_confusion_matrix_metrics,
)

from components.evaluate.metrics.lift import LiftCombiner
from components.evaluate.metrics.regression import RegressionCombiner
from components.evaluate.metrics.segmentation import PixelCombiner
from components.evaluate.metrics.tfma_repairs import KerasCombiner
from components.evaluate.metrics.top_lift import TopLiftCombiner

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
    chosen = rows.get(_model_name(combiner))
    # Labels that are texts are looked up in a vocabulary, which the combiners' own way does.
    if (
        fast is not None
        and chosen is not None
        and _plain(combiner)
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


def _plain(combiner: Any) -> bool:
    key = getattr(combiner, "_key", None)
    special = [
        getattr(combiner, name, None)
        for name in ("_aggregation_type", "_class_weights", "_example_weighted", "_sub_key")
    ]
    default = metric_util.to_label_prediction_example_weight
    extract = getattr(combiner, "_extract_label_prediction_and_weight", default)
    special.append(extract is not default)
    names = [name for name in getattr(combiner, "_output_names", []) if name]
    of_key = [key.sub_key, key.output_name, key.example_weighted] if key is not None else []
    return not any([*special, *names, *of_key])


def _model_name(combiner: Any) -> str:
    key = getattr(combiner, "_key", None)
    return str(key.model_name if key is not None else getattr(combiner, "_model_name", "") or "")


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
    if rows is None or not combiner._prediction_based_bucketing:
        return None
    truth, scores = rows
    buckets = combiner._num_buckets
    index = ((scores - combiner._left) / combiner._range * buckets) + 1
    index = np.clip(index, 0, buckets + 1).astype(np.int64)
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
    if rows is None or combiner._example_id_key:
        return None
    truth, scores = rows
    counter = combiner._binary_confusion_matrices
    for threshold in counter._thresholds:
        positive = truth == 1.0 if combiner._enable_fractional_labels else truth > threshold
        yes = scores > threshold
        tp, fp = float(np.count_nonzero(positive & yes)), float(np.count_nonzero(~positive & yes))
        fn, tn = float(np.count_nonzero(positive & ~yes)), float(np.count_nonzero(~positive & ~yes))
        entry = matrices._ThresholdEntry(matrices.Matrix(tp=tp, tn=tn, fp=fp, fn=fn), [], [], [], [])
        accumulator[threshold] = counter._merge_entry(accumulator, threshold, entry)
    return accumulator


def _classes(combiner: Any, accumulator: Any, labels: np.ndarray, predictions: np.ndarray) -> Any:
    if predictions.ndim != 2 or predictions.shape[1] < 2 or labels.ndim != 2 or len(combiner._thresholds) != 1:
        return None
    threshold = combiner._thresholds[0]
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


def _keras(combiner: Any, accumulator: Any, labels: np.ndarray, predictions: np.ndarray) -> Any:
    if len(combiner._output_names) != 1:
        return None
    for number, metric in enumerate(combiner._metrics[combiner._output_names[0]]):
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
    example_count._ExampleCountCombiner: _count,
    calibration_histogram._CalibrationHistogramCombiner: _histogram,
    binary_confusion_matrices._BinaryConfusionMatrixCombiner: _confusion,
    multi_class_confusion_matrix_metrics._MultiClassConfusionMatrixCombiner: _classes,
    KerasCombiner: _keras,
    LiftCombiner: _lift,
    RegressionCombiner: _regression,
    TopLiftCombiner: _top_lift,
    PixelCombiner: _pixels,
}
