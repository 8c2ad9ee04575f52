"""Lift over the majority class: a constant answer cannot pass it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tensorflow_model_analysis.metrics import metric_types

from components.runtime.evaluation.metrics.lift import MajorityLift


def lift(labels: list, predictions: list, weights: list[float] | None = None, parts: int = 1) -> float:
    """The metric over rows, merged from `parts` accumulators as Beam would."""
    computations = MajorityLift().computations(example_weighted=weights is not None)
    combiner = computations[0].combiner
    accumulators = [combiner.create_accumulator() for _ in range(parts)]
    for index, (label, prediction) in enumerate(zip(labels, predictions, strict=True)):
        inputs = metric_types.StandardMetricInputs(
            labels=np.array([label]).reshape(-1),
            predictions=np.array([prediction], dtype=np.float64).reshape(-1),
            example_weights=np.array([1.0 if weights is None else weights[index]]),
        )
        accumulators[index % parts] = combiner.add_input(accumulators[index % parts], inputs)
    output = combiner.extract_output(combiner.merge_accumulators(accumulators))
    return float(output[metric_types.MetricKey("majority_lift", example_weighted=weights is not None)])


@pytest.mark.parametrize("answer", [0.0, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("positives", [0, 1, 3, 7, 10])
def test_constant_binary_answer_is_at_most_one(answer: float, positives: int) -> None:
    labels = [1] * positives + [0] * (10 - positives)
    assert lift(labels, [answer] * 10) <= 1.0


@pytest.mark.parametrize("answer", range(4))
def test_constant_class_is_at_most_one(answer: int) -> None:
    labels = [0, 1, 1, 2, 2, 2, 3]
    prediction = np.eye(4)[answer]
    value = lift(labels, [prediction] * len(labels))
    assert value <= 1.0
    assert (value == 1.0) == (answer == 2)


def test_perfect_answer_is_one_over_the_share() -> None:
    assert lift([0, 0, 0, 1], [0.1, 0.2, 0.3, 0.9]) == pytest.approx(4 / 3)
    labels = [0, 1, 2, 3, 3]
    assert lift(labels, [np.eye(4)[label] for label in labels]) == pytest.approx(5 / 2)


def test_half_right_parts_weights_and_one_hot_labels() -> None:
    assert lift([0, 1, 0, 1], [0.9, 0.9, 0.1, 0.1], parts=3) == pytest.approx(0.5 / 0.5)
    assert lift([0, 1], [0.1, 0.1], weights=[1.0, 3.0]) == pytest.approx(1 / 3)
    assert lift([np.eye(3)[2], np.eye(3)[0]], [np.eye(3)[2], np.eye(3)[2]]) == pytest.approx(1.0)


def test_nan_prediction_makes_it_nan() -> None:
    assert math.isnan(lift([0, 1, 1], [0.1, math.nan, 0.9]))
    assert math.isnan(lift([], []))
