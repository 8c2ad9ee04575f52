"""A metric that a constant answer cannot pass: accuracy over the share of the most frequent class.

In an EvalConfig: `metrics { class_name: "MajorityLift" module: "components.evaluate.metrics" }`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types, metric_util

NAME = "majority_lift"


class MajorityLift(metric_types.Metric):
    """Accuracy divided by the share of the most frequent class among the labels.

    1 is what the best constant answer reaches, exactly; the perfect model reaches 1 / share. Labels are class numbers,
    or one-hot rows where predictions have a column per class. Predictions are the probability of class 1, with a
    threshold of 0.5, or one score per class. A NaN among the predictions makes the metric NaN.
    """

    def __init__(self, name: str = NAME) -> None:
        """Makes the metric.

        Args:
          name: its name in results and thresholds.
        """
        super().__init__(metric_util.merge_per_key_computations(_computations), name=name)


def _computations(
    name: str,
    eval_config: Any = None,
    model_name: str = "",
    output_name: str = "",
    sub_key: metric_types.SubKey | None = None,
    aggregation_type: metric_types.AggregationType | None = None,
    class_weights: dict[int, float] | None = None,
    example_weighted: bool = False,
) -> metric_types.MetricComputations:
    if sub_key or aggregation_type or class_weights:
        raise ValueError("MajorityLift is over all classes: it takes no binarize, aggregate or class weights")
    key = metric_types.MetricKey(
        name=name, model_name=model_name, output_name=output_name, example_weighted=example_weighted
    )
    return [metric_types.MetricComputation(keys=[key], preprocessors=None, combiner=LiftCombiner(key, eval_config))]


Accumulator = tuple[dict[int, float], float]
"""Weight of each class among the labels; weight of the examples that were answered rightly."""


class LiftCombiner(beam.CombineFn):
    """Counts classes and right answers."""

    def __init__(self, key: metric_types.MetricKey, eval_config: Any) -> None:
        self._key = key
        self._eval_config = eval_config

    def create_accumulator(self) -> Accumulator:
        """Nothing counted yet."""
        return {}, 0.0

    def add_input(self, accumulator: Accumulator, element: Any) -> Accumulator:
        """Adds one example."""
        weights, correct = accumulator
        for label, prediction, weight in metric_util.to_label_prediction_example_weight(
            element,
            eval_config=self._eval_config,
            model_name=self._key.model_name,
            output_name=self._key.output_name,
            example_weighted=self._key.example_weighted,
            flatten=False,
            allow_none=False,
        ):
            scale = float(weight.reshape(-1)[0])
            truth, answer = class_of_label(label), class_of_prediction(prediction)
            weights[truth] = weights.get(truth, 0.0) + scale
            correct += math.nan if answer is None else scale * (answer == truth)
        return weights, correct

    def add_batch(self, accumulator: Accumulator, labels: np.ndarray, predictions: np.ndarray) -> Accumulator:
        """`add_input` for rows of equal weight.

        Args:
          accumulator: what was counted so far.
          labels: [rows, 1] class numbers, or [rows, classes] one-hot.
          predictions: [rows, 1] probabilities, or [rows, classes] scores.
        """
        weights, correct = accumulator
        truth = (labels[:, 0] if labels.shape[1] == 1 else labels.argmax(axis=1)).astype(np.int64)
        answer = (predictions[:, 0] > 0.5) if predictions.shape[1] == 1 else predictions.argmax(axis=1)
        for label, count in zip(*np.unique(truth, return_counts=True), strict=True):
            weights[int(label)] = weights.get(int(label), 0.0) + float(count)
        correct += math.nan if np.isnan(predictions).any() else float(np.count_nonzero(answer == truth))
        return weights, correct

    def merge_accumulators(self, accumulators: Iterable[Accumulator]) -> Accumulator:
        """Adds up counts."""
        weights: dict[int, float] = {}
        correct = 0.0
        for other_weights, other_correct in accumulators:
            correct += other_correct
            for label, weight in other_weights.items():
                weights[label] = weights.get(label, 0.0) + weight
        return weights, correct

    def extract_output(self, accumulator: Accumulator) -> dict[metric_types.MetricKey, float]:
        """The lift; NaN without examples."""
        weights, correct = accumulator
        most = max(weights.values(), default=0.0)
        return {self._key: correct / most if most > 0 else math.nan}


def class_of_label(label: np.ndarray) -> int:
    """The class that a label names: a class number, or the column of a one-hot row."""
    values = label.reshape(-1)
    return int(values[0]) if values.size == 1 else int(values.argmax())


def class_of_prediction(prediction: np.ndarray) -> int | None:
    """The class that a prediction names; None where it holds NaN."""
    values = prediction.reshape(-1)
    if np.isnan(values).any():
        return None
    return int(values[0] > 0.5) if values.size == 1 else int(values.argmax())
