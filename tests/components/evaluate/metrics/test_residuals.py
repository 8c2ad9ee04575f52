"""Sums over errors in flat memory, against the same worked out from all rows at once."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from components.runtime.evaluation.metrics.histogram import Histogram
from components.runtime.evaluation.metrics.residuals import DISTINCT, Errors, Regression

RANDOM = np.random.default_rng(5)


def rows(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels from about 25 to 350, predictions near them, weights."""
    labels = np.clip(RANDOM.normal(170, 50, count), 25, 350)
    return labels, labels + RANDOM.normal(3, 12, count), RANDOM.uniform(0.5, 2.0, count)


def summed(*parts: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Errors:
    """Each part in an accumulator of its own, then merged."""
    total = Errors()
    for labels, predictions, weights in parts:
        one = Errors()
        for start in range(0, len(labels), 300):
            chosen = slice(start, start + 300)
            one.add(labels[chosen], predictions[chosen], weights[chosen])
        total.merge(pickle.loads(pickle.dumps(one)))
    return total


def found(errors: Errors) -> Regression:
    result = errors.regression()
    assert result is not None
    assert Regression.from_json(result.to_json()) == result
    return result


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    return float(values[order][np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)])


@pytest.mark.parametrize("count", [1000, 50_000])
def test_errors_against_all_rows(count: int) -> None:
    labels, predictions, weights = rows(count)
    residuals = predictions - labels
    result = found(summed((labels, predictions, weights)))
    mean = np.average(labels, weights=weights)
    variance = np.average((labels - mean) ** 2, weights=weights)
    expected = {
        "examples": weights.sum(),
        "mean": mean,
        "r2": 1 - np.average(residuals**2, weights=weights) / variance,
        "mae": np.average(np.abs(residuals), weights=weights),
        "rmse": math.sqrt(np.average(residuals**2, weights=weights)),
        "mape": 100 * np.average(np.abs(residuals) / labels, weights=weights),
        "bias": np.average(residuals, weights=weights),
        "constant_rmse": math.sqrt(variance),
    }
    assert {name: getattr(result, name) for name in expected} == pytest.approx(expected, rel=1e-12)
    assert result.labels == (labels.min(), labels.max())
    median = weighted_median(labels, weights)
    constant = np.average(np.abs(labels - median), weights=weights)
    # Exact where every label has a cell of its own.
    exact = count <= DISTINCT
    assert result.median == pytest.approx(median, rel=1e-12 if exact else 2e-3)
    assert result.constant_mae == pytest.approx(constant, rel=1e-12 if exact else 1e-4)


@pytest.mark.parametrize("count", [1000, 50_000])
def test_deciles_against_sorted_rows(count: int) -> None:
    labels, predictions, _ = rows(count)
    order = np.argsort(predictions)
    result = found(summed((labels, predictions, np.ones(count))))
    assert len(result.parts) == 10
    near = 1e-12 if count <= DISTINCT else 2e-2
    for number, part in enumerate(result.parts):
        chosen = order[count * number // 10 : count * (number + 1) // 10]
        errors = predictions[chosen] - labels[chosen]
        assert part.examples == pytest.approx(count / 10, rel=1e-9)
        assert part.low == pytest.approx(predictions[chosen].min(), rel=near)
        assert part.high == pytest.approx(predictions[chosen].max(), rel=near)
        assert part.prediction == pytest.approx(predictions[chosen].mean(), rel=near / 10)
        assert part.label == pytest.approx(labels[chosen].mean(), rel=near / 10)
        assert part.mae == pytest.approx(np.abs(errors).mean(), rel=near)
        assert part.rmse == pytest.approx(math.sqrt((errors**2).mean()), rel=near)


def test_bars_and_points_against_all_rows() -> None:
    labels, predictions, _ = rows(400)
    result = found(summed((labels, predictions, np.ones(400))))
    counted, edges = np.histogram(predictions - labels, bins=40)
    assert result.residuals == (pytest.approx(edges.tolist()), counted.tolist())
    assert result.outside == 0
    points = zip(predictions.tolist(), labels.tolist(), strict=True)
    assert sorted(result.points) == sorted((float(f"{x:.6g}"), float(f"{y:.6g}"), 1.0) for x, y in points)
    labels, predictions, _ = rows(20_000)
    predictions[0] = 1e9
    many = found(summed((labels, predictions, np.ones(20_000))))
    assert sum(many.residuals[1]) + many.outside == 20_000
    assert many.outside == pytest.approx(200, abs=20)
    assert many.residuals[0][-1] < 60
    assert len(many.points) <= 500
    assert sum(point[2] for point in many.points) == 20_000
    # One outlier leaves the others where they are.
    assert max(abs(point[0] - point[1]) for point in many.points[:-1]) < 80


def test_order_and_grouping_do_not_matter() -> None:
    labels, predictions, weights = rows(30_000)
    together = found(summed((labels, predictions, weights)))
    mixed = RANDOM.permutation(30_000)
    parts = np.split(mixed, [100, 2_000, 2_001, 20_000])
    divided = found(summed(*[(labels[part], predictions[part], weights[part]) for part in parts]))
    for name, value in vars(together).items():
        other = getattr(divided, name)
        if name in ("parts", "points", "residuals"):
            assert np.array(_numbers(other)) == pytest.approx(np.array(_numbers(value)), rel=1e-9), name
        else:
            assert other == pytest.approx(value, rel=1e-12), name


def _numbers(value: object) -> list[float]:
    if isinstance(value, list | tuple):
        return [number for entry in value for number in _numbers(entry)]
    return [float(value)] if isinstance(value, int | float) else _numbers(list(vars(value).values()))


def test_memory_is_flat() -> None:
    errors = Errors()
    sizes = []
    for _ in range(20):
        labels, predictions, weights = rows(20_000)
        errors.add(labels, predictions, weights)
        errors.merge(Errors())
        sizes.append(len(pickle.dumps(errors)))
    assert max(sizes) < 200_000


def test_labels_far_from_zero_keep_their_spread() -> None:
    """Years, or seconds since 1970, of which sums of squares would leave nothing."""
    labels = 1.7e9 + RANDOM.uniform(0, 100, 5_000)
    predictions = labels + RANDOM.normal(0, 10, 5_000)
    result = found(summed((labels, predictions, np.ones(5_000))))
    deviations = labels - labels.mean()
    assert result.r2 == pytest.approx(1 - ((predictions - labels) ** 2).sum() / (deviations**2).sum(), rel=1e-9)
    assert [part.high > part.low for part in result.parts] == [True] * 10


def test_ties_constants_and_what_is_no_number() -> None:
    labels = np.array([0.0, 0.0, 2.0, 4.0, math.nan, 5.0, 6.0])
    predictions = np.array([3.0, 3.0, 3.0, 3.0, 3.0, math.inf, math.nan])
    errors = summed((labels, predictions, np.ones(7)))
    result = found(errors)
    assert (errors.nan, errors.infinite, result.not_finite, result.examples) == (2, 1, 3, 4)
    assert (result.zeros, result.mape) == (2, pytest.approx(100 * (1 / 2 + 1 / 4) / 2))
    assert (result.mean, result.median, result.constant_mae) == (1.5, 0.0, 1.5)
    # Equal predictions cannot be told apart: one part.
    assert [(part.low, part.high, part.examples) for part in result.parts] == [(3.0, 3.0, 4.0)]
    same = found(summed((np.full(3, 7.0), np.array([1.0, 2.0, 3.0]), np.ones(3))))
    assert (same.r2, same.constant_mae, same.zero_or_one) == (None, 0.0, False)
    assert found(summed((np.array([0, 1, 1]), np.array([0.5, 0.1, 0.2]), np.ones(3)))).zero_or_one
    assert Errors().regression() is None
    assert math.isnan(Errors().median())


def test_cells_are_values_first_and_then_the_narrowest_that_fit() -> None:
    histogram = Histogram(4, axes=1, sums=1)
    histogram.add(np.array([[-3.0], [0.25], [0.5], [1000.0], [0.25]]), np.ones((5, 1)))
    assert histogram.sums()[:, 0].tolist() == [1, 2, 1, 1]
    histogram.add(np.array([[0.26]]), np.ones((1, 1)))
    # [0.25, 0.5) holds three of them now; nothing wider was needed.
    assert histogram.sums()[:, 0].tolist() == [1, 3, 1, 1]
    histogram.add(np.array([[2000.0]]), np.ones((1, 1)))
    assert histogram.sums()[:, 0].tolist() == [1, 4, 1, 1]
