"""What of TFMA's computations is put right by classes of ours in their places, on every way of computing.

- Keras's metrics of which the state has a shape that only the first batch tells (F1Score, FBetaScore): TFMA
  adds up states as if all their parts had one shape, and gives them to a metric that has seen no batch. They fail with
  the second thousand of examples, and wherever Beam reads the result in another process.
- Keras's metrics add up in float32, to which they round labels first: integers beyond 16,777,216 differ from others no
  more. Here they are float64, but for those that take no such numbers.
- Weighted macro averages go under the key of macro averages, where no threshold of theirs looks.
- CategoricalCrossEntropy divides the predictions by their sum where they lie, so that the metrics after it see others.
- Slices are cut by the transformed features of all models, so that an example is in several where these differ. Here
  it is by the candidate's.

The metrics of curves are in `components.runtime.evaluation.metrics.curves`.

Private names were read in version 0.52.0 (images/locks/ml.txt). In this order, tests/components/evaluate has for them
computation/test_fitting.py: test_every_metric_is_as_the_page_says, metrics/test_regression.py:
test_keras_tells_large_integers_apart, metrics/test_undefined.py: test_a_class_without_weight_may_be_absent,
computation/test_fitting.py: test_cross_entropy_leaves_the_predictions_to_other_metrics, and computation/test_local.py:
test_slices_by_a_transformed_feature_are_the_candidates. What the computation needs of TFMA's private names, without
replacing it, is in `components.runtime.evaluation.computation.tfma_private`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.extractors import slice_key_extractor
from tensorflow_model_analysis.metrics import (
    aggregation,
    cross_entropy_metrics,
    metric_types,
    tf_metric_accumulators,
    tf_metric_wrapper,
)

_IN_FLOAT32 = ("TopKCategoricalAccuracy", "SparseTopKCategoricalAccuracy", "FBetaScore")
"""Metrics that count classes and take no other numbers."""


def _in_float64(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "config": {**entry["config"], "dtype": "float64"}}


class Accumulator(tf_metric_accumulators.TFCompilableMetricsAccumulator):
    """States of metrics, and inputs that wait."""

    __slots__ = ()

    def add_weights(self, output_index: int, metric_index: int, weights: list[np.ndarray]) -> None:
        """Adds to the state of one metric, part by part."""
        before = self._weights[output_index][metric_index]
        added = weights if before is None else [np.add(*pair) for pair in zip(before, weights, strict=True)]
        self._weights[output_index][metric_index] = added


class KerasCombiner(tf_metric_wrapper._CompilableMetricsCombiner):
    """Adds up Keras's metrics of one model."""

    def __init__(self, metric_configs: dict[str, list[dict[str, Any]]], *rest: Any, **named: Any) -> None:
        exact = {
            output: [entry if entry["class_name"] in _IN_FLOAT32 else _in_float64(entry) for entry in entries]
            for output, entries in metric_configs.items()
        }
        super().__init__(exact, *rest, **named)

    def extract_output(self, accumulator: Accumulator) -> dict[Any, Any]:
        """The metrics' values."""
        self._process_batch(accumulator)
        for output, name in enumerate(self._output_names):
            for number, metric in enumerate(self._metrics[name]):
                weights = accumulator.get_weights(output, number)
                if weights is not None and len(weights) != len(metric.weights):
                    shape = (None, max(np.size(part) for part in weights))
                    metric.build(shape, shape)
        return dict(super().extract_output(accumulator))

    def metrics_of_one_output(self) -> list[Any] | None:
        """The Keras metrics, in the order of their states; None where the model has several outputs."""
        return self._metrics[self._output_names[0]] if len(self._output_names) == 1 else None


class CategoricalCrossEntropyCombiner(cross_entropy_metrics._CategoricalCrossEntropyCombiner):
    """Adds up cross entropies and leaves the predictions as they are."""

    def _cross_entropy(self, label: np.ndarray, prediction: np.ndarray) -> float:
        return float(super()._cross_entropy(label, prediction.copy()))


class SliceKeys(slice_key_extractor.ExtractSliceKeysFn):
    """Tells the slices of an example by the candidate's features."""

    def process(self, element: Any, slice_spec: Any) -> list[Any]:
        """The element with its slices."""
        transformed = element.get(constants.TRANSFORMED_FEATURES_KEY)
        baselines = {spec.name for spec in self._eval_config.model_specs if spec.is_baseline}
        if not transformed or not baselines:
            return list(super().process(element, slice_spec))
        of_candidate = {name: features for name, features in transformed.items() if name not in baselines}
        cut = super().process({**element, constants.TRANSFORMED_FEATURES_KEY: of_candidate}, slice_spec)
        return [{**found, constants.TRANSFORMED_FEATURES_KEY: transformed} for found in cut]


_weighted_macro_average = aggregation.weighted_macro_average


def weighted_macro_average(*arguments: Any, **named: Any) -> list[Any]:
    """An average over classes by their weights, under its own key."""
    *others, average = _weighted_macro_average(*arguments, **named)
    kind = metric_types.AggregationType(weighted_macro_average=True)
    key = average.keys[0]._replace(aggregation_type=kind)

    def result(metrics: dict[Any, Any]) -> dict[Any, Any]:
        (value,) = average.result(metrics).values()
        return {key: value}

    return [*others, metric_types.DerivedMetricComputation(keys=[key], result=result)]


aggregation.weighted_macro_average = weighted_macro_average
slice_key_extractor.ExtractSliceKeysFn = SliceKeys
cross_entropy_metrics._CategoricalCrossEntropyCombiner = CategoricalCrossEntropyCombiner
tf_metric_accumulators.TFCompilableMetricsAccumulator = Accumulator
tf_metric_wrapper._CompilableMetricsCombiner = KerasCombiner
