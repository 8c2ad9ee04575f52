"""A metric of a rare class: how much more often it is met among the highest scores than among all examples.

In an EvalConfig: `metrics { class_name: "TopLift" module: "components.evaluate.metrics" config: '"share": 0.1' }`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
from tensorflow_model_analysis.metrics import metric_types, metric_util

NAME = "top_lift"
_BUCKETS = 10_000
"""Scores that differ by less than a part in so many are taken for equal."""

_Counts = npt.NDArray[np.float64]
"""[2, buckets]: weight of all examples, and of the positive ones, by bucket of their score."""


class TopLift(metric_types.Metric):
    """Share of positives among the examples with the highest scores, over their share among all.

    1 is what chance reaches, and exactly what any constant answer does: examples of equal score count in proportion.
    Labels are 0 or 1, predictions probabilities of 1. A NaN among the predictions makes the metric NaN, as does a lack
    of positives.
    """

    def __init__(self, share: float = 0.1, name: str = NAME) -> None:
        """Makes the metric.

        Args:
          share: of all examples that count as those with the highest scores, above 0, at most 1.
          name: its name in results and thresholds.

        Raises:
          ValueError: share is out of its range.
        """
        if not 0 < share <= 1:
            raise ValueError(f"TopLift has share {share}: give it a number above 0, at most 1")
        super().__init__(metric_util.merge_per_key_computations(_computations), share=share, name=name)


def _computations(
    share: float,
    name: str,
    eval_config: Any = None,
    model_name: str = "",
    output_name: str = "",
    sub_key: metric_types.SubKey | None = None,
    aggregation_type: metric_types.AggregationType | None = None,
    class_weights: dict[int, float] | None = None,
    example_weighted: bool = False,
) -> metric_types.MetricComputations:
    key = metric_types.MetricKey(
        name=name,
        model_name=model_name,
        output_name=output_name,
        sub_key=sub_key,
        example_weighted=example_weighted,
    )
    combiner = TopLiftCombiner(key, eval_config, share)
    return [metric_types.MetricComputation(keys=[key], preprocessors=None, combiner=combiner)]


class TopLiftCombiner(beam.CombineFn):
    """Counts examples by their score."""

    def __init__(self, key: metric_types.MetricKey, eval_config: Any, share: float) -> None:
        self._key = key
        self._eval_config = eval_config
        self._share = share

    def create_accumulator(self) -> _Counts:
        """Nothing counted yet."""
        return np.zeros((2, _BUCKETS))

    def add_input(self, accumulator: _Counts, element: Any) -> _Counts:
        """Adds one example."""
        for label, prediction, weight in metric_util.to_label_prediction_example_weight(
            element,
            eval_config=self._eval_config,
            model_name=self._key.model_name,
            output_name=self._key.output_name,
            sub_key=self._key.sub_key,
            example_weighted=self._key.example_weighted,
        ):
            accumulator = self._add(
                accumulator, label.reshape(-1), prediction.reshape(-1), float(weight.reshape(-1)[0])
            )
        return accumulator

    def add_batch(self, accumulator: _Counts, labels: np.ndarray, predictions: np.ndarray) -> _Counts:
        """`add_input` for rows of equal weight.

        Args:
          accumulator: what was counted so far.
          labels: [rows, 1], 0 or 1.
          predictions: [rows, 1] probabilities.
        """
        return self._add(accumulator, labels[:, 0], predictions[:, 0], 1.0)

    def _add(self, accumulator: _Counts, labels: np.ndarray, scores: np.ndarray, weight: float) -> _Counts:
        if np.isnan(scores).any():
            return np.full_like(accumulator, math.nan)
        buckets = np.clip((scores * _BUCKETS).astype(np.int64), 0, _BUCKETS - 1)
        rows = np.bincount(buckets, minlength=_BUCKETS), np.bincount(buckets, weights=labels, minlength=_BUCKETS)
        return accumulator + weight * np.stack(rows)

    def merge_accumulators(self, accumulators: Iterable[_Counts]) -> _Counts:
        """Adds up counts."""
        return np.sum(list(accumulators), axis=0)

    def extract_output(self, accumulator: _Counts) -> dict[metric_types.MetricKey, float]:
        """The lift; NaN without positives."""
        rows, positives = accumulator
        if not positives.sum() > 0:
            return {self._key: math.nan}
        wanted = self._share * rows.sum()
        # From the highest scores down; of the bucket in which the share ends a part counts.
        before = np.cumsum(rows[::-1]) - rows[::-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.where(rows[::-1] > 0, np.clip((wanted - before) / rows[::-1], 0.0, 1.0), 0.0)
        found = float((part * positives[::-1]).sum())
        return {self._key: found / wanted / float(positives.sum() / rows.sum())}
