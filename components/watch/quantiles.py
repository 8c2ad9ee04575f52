"""How far two distributions of numbers are from each other, by their quantiles alone.

The statistics that a version carries have deciles of each number, and ten buckets of equal width, which say next to
nothing of a number with a long tail: one far value, and all others are in one bucket.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from tensorflow_metadata.proto.v0 import statistics_pb2

Quantiles: TypeAlias = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Values in their order, and the share of all that lies at each of them or below; both of shape [n]."""


def of(feature: statistics_pb2.FeatureNameStatistics) -> Quantiles | None:
    """The quantiles that statistics of a number have; None where they have none, or infinite ones."""
    for histogram in feature.num_stats.histograms:
        buckets = list(histogram.buckets)
        total = sum(bucket.sample_count for bucket in buckets)
        if histogram.type == statistics_pb2.Histogram.QUANTILES and total:
            values = np.array([buckets[0].low_value, *(bucket.high_value for bucket in buckets)])
            shares = np.cumsum([0.0, *(bucket.sample_count for bucket in buckets)]) / total
            return (values, shares) if np.isfinite(values).all() else None
    return None


def distance(base: Quantiles, other: Quantiles) -> float:
    """The least that the Kolmogorov-Smirnov distance can be: the largest difference of the distribution functions.

    At a quantile of the base, its function is at least the quantile's share, and just below it at most that share. In
    between nothing is known, and nothing is assumed: of values that many rows share, deciles would else seem to differ.
    """
    values, shares = base
    above = shares - _function(other, values, "right")
    below = _function(other, values, "left") - shares
    return float(max(above.max(), below.max(), 0.0))


def _function(quantiles: Quantiles, at: npt.NDArray[np.float64], side: str) -> npt.NDArray[np.float64]:
    """The distribution function, or on the left what it is just before, straight between quantiles."""
    values, shares = quantiles
    place = np.searchsorted(values, at, side=side)  # type: ignore[call-overload]
    before, after = np.clip(place - 1, 0, None), np.clip(place, None, len(values) - 1)
    width = values[after] - values[before]
    part = np.divide(at - values[before], width, out=np.zeros(len(at)), where=width > 0)
    between = shares[before] + part * (shares[after] - shares[before])
    return np.where(place == 0, 0.0, np.where(place == len(values), 1.0, between))
