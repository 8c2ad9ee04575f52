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


class _Pending(dict[Any, Any]):
    """A combiner's accumulator, and what whole batches have added since.

    That is in arrays until `output`: an object for each threshold and bucket of each slice takes longer than counting.
    """

    def __init__(
        self,
        accumulator: dict[Any, Any],
        keys: np.ndarray,
        numbers: int,
        settle: Callable[[dict[Any, Any], Any, list[float]], None],
    ) -> None:
        """Begins with nothing added.

        Args:
          accumulator: so far.
          keys: thresholds, or buckets.
          numbers: that are added up for each key.
          settle: adds these to what the accumulator has for the key.
        """
        super().__init__(accumulator)
        self.added = keys
        self.sums = np.zeros((numbers, len(keys)))
        self._settle = settle

    def settled(self) -> dict[Any, Any]:
        """The accumulator with all of it."""
        for key, numbers in zip(self.added.tolist(), self.sums.T.tolist(), strict=True):
            self._settle(self, key, numbers)
        self.sums = np.zeros_like(self.sums)
        return self


def output(combiner: Any, accumulator: Any) -> Any:
    """What a combiner says in the end of what `add` has added up."""
    return combiner.extract_output(accumulator.settled() if isinstance(accumulator, _Pending) else accumulator)


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
    sums = np.stack(
        [np.bincount(inverse, weights=values, minlength=len(found)) for values in (truth, scores, np.ones_like(scores))]
    )
    pending = accumulator if isinstance(accumulator, _Pending) else _Pending(accumulator, found, 3, _add_to_bucket)
    before = len(pending.added)
    known, places = np.unique(np.concatenate([pending.added, found]), return_inverse=True)
    total = np.zeros((3, len(known)))
    total[:, places[:before]] = pending.sums
    total[:, places[before:]] += sums
    pending.added, pending.sums = known, total
    return pending


def _add_to_bucket(accumulator: dict[Any, Any], bucket: int, numbers: list[float]) -> None:
    if bucket not in accumulator:
        accumulator[bucket] = calibration_histogram.Bucket(bucket, 0.0, 0.0, 0.0)
    entry = accumulator[bucket]
    label, prediction, count = numbers
    entry.weighted_labels += label
    entry.weighted_predictions += prediction
    entry.weighted_examples += count


def _confusion(
    combiner: Any, accumulator: dict[Any, Any], labels: np.ndarray, predictions: np.ndarray
) -> dict[Any, Any] | None:
    rows = _binary(labels, predictions)
    counts = tfma_private.threshold_counts(combiner)
    if rows is None or counts is None:
        return None
    truth, scores = rows
    thresholds = np.array(counts.thresholds, dtype=np.float64)
    ones, zeros = _above(scores[truth == 1.0], thresholds), _above(scores[truth == 0.0], thresholds)
    # A label is positive where it is above the threshold: one of 0 above those below 0, one of 1 above those below 1.
    one_is = np.full(len(thresholds), True) if counts.fractional_labels else thresholds < 1.0
    zero_is = np.full(len(thresholds), False) if counts.fractional_labels else thresholds < 0.0
    of_ones, of_zeros = np.count_nonzero(truth) - ones, np.count_nonzero(truth == 0.0) - zeros
    sums = np.stack(
        [
            ones * one_is + zeros * zero_is,
            of_ones * ~one_is + of_zeros * ~zero_is,
            ones * ~one_is + zeros * ~zero_is,
            of_ones * one_is + of_zeros * zero_is,
        ]
    ).astype(np.float64)

    def add_to_matrix(accumulator: dict[Any, Any], threshold: float, numbers: list[float]) -> None:
        entry = tfma_private.ThresholdEntry(matrices.Matrix(*numbers), [], [], [], [])
        accumulator[threshold] = counts.merge(accumulator, threshold, entry)

    pending = accumulator if isinstance(accumulator, _Pending) else _Pending(accumulator, thresholds, 4, add_to_matrix)
    pending.sums += sums
    return pending


def _above(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """How many scores are above each threshold."""
    return len(scores) - np.searchsorted(np.sort(scores), thresholds, side="right")


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
