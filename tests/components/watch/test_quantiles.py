"""The distance of numbers by quantiles: never more than the true one, and near it where values are many."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.runtime.data.statistics import Collector
from components.watch import quantiles
from components.watch.windows import QUANTILES, lists

KINDS = {
    "fares": lambda random, count: random.gamma(4, 3, count),
    "long tail": lambda random, count: np.append(random.gamma(4, 3, count - 1), 1e6),
    "whole minutes": lambda random, count: np.round(random.gamma(2, 4, count)),
    "mostly nothing": lambda random, count: np.where(random.random(count) < 0.36, 0, random.gamma(4, 3, count)),
    "few numbers": lambda random, count: random.integers(0, 4, count).astype(float),
}


def found(values: np.ndarray, count: int) -> quantiles.Quantiles:
    result = quantiles.of(feature(pa.array(values.astype(np.float32)), count))
    assert result is not None
    return result


def feature(values: pa.Array, count: int = 10) -> statistics_pb2.FeatureNameStatistics:
    collected = Collector(quantiles=count)
    collected.add(lists({"x": values}, {}))
    return collected.result().datasets[0].features[0]


def true_distance(one: np.ndarray, other: np.ndarray) -> float:
    at = np.unique(np.concatenate([one, other]).astype(np.float32))
    first, second = (
        np.searchsorted(np.sort(each.astype(np.float32)), at, side="right") / len(each) for each in (one, other)
    )
    return float(np.abs(first - second).max())


@pytest.mark.parametrize("kind", KINDS)
def test_alike_is_near_0_and_apart_is_near_the_true_distance(kind: str) -> None:
    random = np.random.default_rng(3)
    training, same = (KINDS[kind](random, 4000) for _ in range(2))
    base = found(training, 10)
    # (Statistics have their quantiles to a hundredth.)
    assert quantiles.distance(base, found(same, QUANTILES)) <= true_distance(training, same) + 0.02
    dearer = same * 1.6 + 1
    distance, truth = quantiles.distance(base, found(dearer, QUANTILES)), true_distance(training, dearer)
    assert truth / 2 < distance <= truth + 0.02
    assert distance > 0.1


def test_nothing_of_infinite_values_and_of_none() -> None:
    for values in ([float("inf"), 1.0, 2.0], [float("nan")] * 3):
        assert quantiles.of(feature(pa.array(values, pa.float32()))) is None
