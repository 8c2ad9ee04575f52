"""Distributions of features, out of the statistics that TFDV leaves."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from runners.history.tfx_files import parsed

MOST_FEATURES = 200
_MOST_VALUES = 12


@dataclass
class Feature:
    """The distribution of a feature in a split.

    Attributes:
      missing: share of rows without a value.
      edges: of numbers, ascending points of the value axis.
      cumulative: share of the values up to each edge.
      top: of text, the most frequent values, each with its share.
    """

    missing: float | None
    edges: list[float] = field(default_factory=list)
    cumulative: list[float] = field(default_factory=list)
    top: list[list[Any]] = field(default_factory=list)


def distributions(content: bytes) -> dict[str, Feature]:
    """The features of one split, from a `FeatureStats.pb`; nothing where it is none."""
    statistics = parsed("Statistics", content)
    if statistics is None or not statistics.datasets:
        return {}
    dataset = statistics.datasets[0]
    found = {}
    for feature in dataset.features[:MOST_FEATURES]:
        name = ".".join(feature.path.step) or feature.name
        kind = next((each for each in ("num_stats", "string_stats", "bytes_stats") if feature.HasField(each)), "")
        if not kind:
            continue
        values = getattr(feature, kind)
        there, rows = values.common_stats.num_non_missing, dataset.num_examples
        made = Feature(missing=rounded(1 - there / rows) if rows else None)
        if kind == "num_stats":
            made.edges, made.cumulative = _cumulative(values.histograms)
        elif kind == "string_stats" and values.common_stats.tot_num_values:
            made.top = [
                [
                    each.value.decode("utf-8", "replace")[:80],
                    rounded(each.frequency / values.common_stats.tot_num_values),
                ]
                for each in values.top_values[:_MOST_VALUES]
            ]
        found[name] = made
    return found


def _cumulative(histograms: Iterable[Any]) -> tuple[list[float], list[float]]:
    """The distribution function: the knots of the equal-width and of the quantile histogram, merged.

    The first is fine where values are spread evenly, the second where they crowd; together they serve both.
    """
    knots: dict[float, float] = {}
    for histogram in histograms:
        buckets = [each for each in histogram.buckets if math.isfinite(each.low_value + each.high_value)]
        total, below = sum(each.sample_count for each in buckets), 0.0
        if not total:
            continue
        knots.setdefault(buckets[0].low_value, 0.0)
        for bucket in buckets:
            below += bucket.sample_count
            knots[bucket.high_value] = max(knots.get(bucket.high_value, 0.0), below / total)
    edges, shares, highest = [], [], 0.0
    for edge in sorted(knots):
        highest = max(highest, knots[edge])
        edges.append(rounded(edge))
        shares.append(rounded(min(highest, 1.0)))
    return edges, shares


def rounded(number: float) -> float:
    """Six digits, which no drawing shows more of."""
    return float(f"{number:.6g}")
