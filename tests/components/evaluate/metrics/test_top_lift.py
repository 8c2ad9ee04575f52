"""Lift of the highest scores: what chance reaches is 1."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tensorflow_model_analysis.metrics import metric_types

from components.runtime.evaluation.metrics.top_lift import TopLift


def lift(labels: list[int], scores: list[float], share: float = 0.1, parts: int = 1, batch: bool = False) -> float:
    """The metric over rows, merged from `parts` accumulators as Beam would, or over whole batches."""
    combiner = TopLift(share).computations()[0].combiner
    accumulators = [combiner.create_accumulator() for _ in range(parts)]
    for index in range(parts):
        rows, answers = labels[index::parts], scores[index::parts]
        if batch:
            columns = np.array(rows)[:, np.newaxis], np.array(answers)[:, np.newaxis]
            accumulators[index] = combiner.add_batch(accumulators[index], *columns)
            continue
        for label, score in zip(rows, answers, strict=True):
            inputs = metric_types.StandardMetricInputs(labels=np.array([label]), predictions=np.array([score]))
            accumulators[index] = combiner.add_input(accumulators[index], inputs)
    (value,) = combiner.extract_output(combiner.merge_accumulators(accumulators)).values()
    return float(value)


@pytest.mark.parametrize("answer", [0.0, 0.3, 1.0])
def test_a_constant_answer_is_one(answer: float) -> None:
    labels = [1] * 18 + [0] * 82
    assert lift(labels, [answer] * 100) == pytest.approx(1.0)
    assert lift(labels, [answer] * 100, batch=True) == pytest.approx(1.0)


def test_worked_out_by_hand() -> None:
    # 20 rows, 5 positive; of the highest 4 scores 3 belong to positives: 3/4 over 1/4.
    labels = [1, 1, 0, 1, *[0] * 14, 1, 1]
    scores = [1 - index / 20 for index in range(20)]
    assert lift(labels, scores, share=0.2) == pytest.approx(3.0)
    assert lift(labels, scores, share=0.2, parts=3) == pytest.approx(3.0)
    assert lift(labels, scores, share=0.2, parts=3, batch=True) == pytest.approx(3.0)
    assert lift(labels, scores, share=1.0) == pytest.approx(1.0)


def test_scores_that_are_equal_count_in_proportion() -> None:
    # The highest 2 of 10: one of 0.9, positive, and one of the three at 0.8, of which one is positive.
    labels = [1, 1, 0, 0, *[0] * 5, 1]
    scores = [0.9, 0.8, 0.8, 0.8, *[0.1] * 6]
    assert lift(labels, scores, share=0.2) == pytest.approx(((1 + 1 / 3) / 2) / 0.3)


def test_what_has_no_value_is_nan() -> None:
    assert math.isnan(lift([0, 0], [0.1, 0.2]))
    assert math.isnan(lift([1, 0], [math.nan, 0.2]))
    assert math.isnan(lift([1, 0], [math.nan, 0.2], batch=True))


def test_share_is_checked() -> None:
    with pytest.raises(ValueError, match="above 0, at most 1"):
        TopLift(1.5)
