"""What a reader wants to know of a feature in a split, taken out of TFDV's statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.runtime.data import tfdv

MOSTLY_MISSING = 0.5
MISSING_DIFFERENCE = 0.1
COUNTABLE_RANGE = 9
"""Whole numbers at most this far apart fall into buckets of their own in TFDV's ten buckets of equal width."""

_Floats: TypeAlias = npt.NDArray[np.float64]
_PLACEHOLDERS = {tfdv.NON_UTF8_PLACEHOLDER: "(not text)", tfdv.LARGE_BYTES_PLACEHOLDER: "(over 1 KiB)"}
_ROUNDING = 1e-6
_Proto: TypeAlias = statistics_pb2.FeatureNameStatistics
_KINDS: dict[int, str] = {_Proto.INT: "integer", _Proto.FLOAT: "float", _Proto.STRING: "text", _Proto.BYTES: "bytes"}


@dataclass(frozen=True)
class Numbers:
    """Distribution of a numeric feature; shares are of all its values.

    Attributes:
      edges: ascending points of the value axis, shape [n].
      cumulative: share of values up to each edge, shape [n].
      countable: whether these are few whole numbers, with an edge half way between each two.
    """

    mean: float
    deviation: float
    minimum: float
    median: float
    maximum: float
    zeros: float
    not_a_number: float
    edges: _Floats
    cumulative: _Floats
    countable: bool

    @property
    def finite(self) -> bool:
        """Whether there is anything to draw."""
        return math.isfinite(self.minimum) and math.isfinite(self.maximum) and self.edges.size > 0

    def shares(self, bins: _Floats) -> _Floats:
        """Share of the values in each bin, shape [len(bins) - 1]."""
        return np.diff(np.interp(bins, self.edges, self.cumulative, left=0.0, right=1.0))


@dataclass(frozen=True)
class Categories:
    """Distribution of a text feature; `top` has the most frequent values with their shares of all values."""

    unique: int
    average_length: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Summary:
    """One feature in one split; `missing` is the share of rows without a value."""

    name: str
    kind: str
    rows: int
    missing: float
    values_per_row: tuple[int, int]
    numbers: Numbers | None
    categories: Categories | None


def summarise(statistics: statistics_pb2.DatasetFeatureStatisticsList) -> dict[str, Summary]:
    """Summaries of the first dataset's features, by name."""
    dataset = statistics.datasets[0]
    summaries = (_summary(feature, dataset.num_examples) for feature in dataset.features)
    return {summary.name: summary for summary in summaries}


def warnings(splits: dict[str, Summary]) -> list[str]:
    """What is noteworthy about a feature, from its summaries in the splits that have it."""
    found: list[str] = []
    shares = {split: summary.missing for split, summary in splits.items()}
    if all(share == 1 for share in shares.values()):
        return ["no values at all"]
    if max(shares.values()) > MOSTLY_MISSING:
        found.append(f"{_percent(max(shares.values()))} missing")
    if max(shares.values()) - min(shares.values()) > MISSING_DIFFERENCE:
        found.append("missing more often in " + max(shares, key=lambda split: shares[split]))
    if len({summary.kind for summary in splits.values() if summary.missing < 1}) > 1:
        found.append("its type differs between splits")
    if all(_is_constant(summary) for summary in splits.values() if summary.missing < 1):
        found.append("constant")
    numbers = [summary.numbers for summary in splits.values() if summary.numbers]
    if any(entry.not_a_number for entry in numbers):
        found.append("has NaN")
    if any(math.isinf(entry.minimum) or math.isinf(entry.maximum) for entry in numbers):
        found.append("has infinite values")
    return found


def _percent(share: float) -> str:
    return f"{math.floor(share * 1000) / 10:g} %"


def _is_constant(summary: Summary) -> bool:
    if summary.numbers:
        return summary.numbers.minimum == summary.numbers.maximum
    return summary.categories is not None and summary.categories.unique == 1


def _summary(feature: _Proto, rows: int) -> Summary:
    kind = _KINDS.get(feature.type, "struct")
    statistics = getattr(feature, feature.WhichOneof("stats") or "num_stats")
    common = statistics.common_stats
    # Files of older TFDV count only what is there; rows are what both have.
    missing = 1 - common.num_non_missing / rows if rows else 0.0
    categories, numbers = None, None
    if feature.HasField("num_stats") and common.tot_num_values:
        numbers = _numbers(feature.num_stats, common.tot_num_values, whole=feature.type == _Proto.INT)
    elif feature.HasField("string_stats") and common.tot_num_values:
        text = feature.string_stats
        top = tuple(
            (_PLACEHOLDERS.get(entry.value, entry.value), entry.frequency / common.tot_num_values)
            for entry in text.top_values
        )
        if all(value in _PLACEHOLDERS.values() for value, _ in top):
            kind, top = "bytes", ()
        categories = Categories(text.unique, text.avg_length, top)
    elif feature.HasField("bytes_stats"):
        categories = Categories(feature.bytes_stats.unique, feature.bytes_stats.avg_num_bytes, ())
    return Summary(
        name=".".join(feature.path.step) or feature.name,
        kind=kind,
        rows=rows,
        missing=missing,
        values_per_row=(common.min_num_values, common.max_num_values),
        numbers=numbers,
        categories=categories,
    )


def _numbers(statistics: statistics_pb2.NumericStatistics, values: int, *, whole: bool) -> Numbers:
    countable = whole and statistics.max - statistics.min <= COUNTABLE_RANGE
    edges, cumulative = _counts(statistics) if countable else _distribution(statistics)
    not_a_number = max((histogram.num_nan for histogram in statistics.histograms), default=0)
    return Numbers(
        mean=statistics.mean,
        deviation=statistics.std_dev,
        minimum=statistics.min,
        median=statistics.median,
        maximum=statistics.max,
        zeros=statistics.num_zeros / values,
        not_a_number=not_a_number / values,
        edges=edges,
        cumulative=cumulative,
        countable=countable,
    )


def _counts(statistics: statistics_pb2.NumericStatistics) -> tuple[_Floats, _Floats]:
    """The distribution function of few whole numbers, from the only number in each bucket of equal width."""
    low, high = int(statistics.min), int(statistics.max)
    counts = np.zeros(high - low + 1)
    for histogram in statistics.histograms:
        if histogram.type == statistics_pb2.Histogram.STANDARD:
            for bucket in histogram.buckets:
                # A bucket holds its low value and not its high one, but for the last.
                number = math.ceil(bucket.low_value - _ROUNDING)
                counts[min(number, high) - low] += bucket.sample_count
    edges = np.arange(low - 0.5, high + 1)
    total = counts.sum()
    return (edges, np.append(0.0, counts.cumsum() / total)) if total else (np.empty(0), np.empty(0))


def _distribution(statistics: statistics_pb2.NumericStatistics) -> tuple[_Floats, _Floats]:
    """Merges the knots of the equal-width and of the quantile histogram into one distribution function.

    The first is fine where values are spread evenly, the second where they crowd; together they serve both.
    """
    knots: list[tuple[float, float]] = []
    for histogram in statistics.histograms:
        buckets = [bucket for bucket in histogram.buckets if math.isfinite(bucket.low_value + bucket.high_value)]
        total = sum(bucket.sample_count for bucket in buckets)
        if not total:
            continue
        below = 0.0
        knots.append((buckets[0].low_value, 0.0))
        for bucket in buckets:
            below += bucket.sample_count
            knots.append((bucket.high_value, below / total))
    if not knots:
        return np.empty(0), np.empty(0)
    points = np.array(sorted(knots))
    edges, first = np.unique(points[:, 0], return_index=True)
    # Several quantiles on one value make a step there; the highest share belongs to the value itself.
    last = np.append(first[1:], len(points)) - 1
    cumulative = np.maximum.accumulate(points[last, 1])
    cumulative[0] = points[first[0], 1] if len(edges) > 1 else cumulative[0]
    return edges, np.minimum(cumulative, 1.0)
