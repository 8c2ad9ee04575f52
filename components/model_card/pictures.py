"""The drawings of a card."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from components.runtime.stage.report import COLORS, Html, drawing, figure

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList, FeatureNameStatistics

_FEATURES = 12
_COLUMNS = 4
_TEXTS = 6
_GREY = "#9ca3af"


def by_slice(
    title: str,
    metric: str,
    names: Sequence[str],
    values: Sequence[float | None],
    counts: Sequence[int | None],
    overall: float | None,
) -> Html:
    """A metric of some slices, beside how many examples each has.

    Args:
      title: what the slices are cut by.
      metric: its name.
      names: of the slices.
      values: of the metric; None where it has none.
      counts: examples; None where nobody counted.
      overall: its value over all examples.
    """
    drawn = figure(9.5, 0.9 + 0.27 * len(names))
    left, right = drawn.subplots(1, 2, sharey=True, width_ratios=[2, 1])
    lines = np.arange(len(names))
    left.scatter([math.nan if value is None else value for value in values], lines, color=COLORS[0], zorder=3)
    if overall is not None:
        left.axvline(overall, color=COLORS[1], linewidth=1.2)
        left.set_title(f"line: all examples, {overall:.4g}", loc="right", fontsize=8, color="#6b7280")
    left.set_yticks(lines, [short(name) for name in names])
    left.invert_yaxis()
    left.set_xlabel(metric)
    right.barh(lines, [math.nan if number is None else number for number in counts], color=_GREY, height=0.6)
    right.set_xlabel("examples")
    return drawing(drawn, f"{metric} and number of examples by {title}")


def importance(found: Sequence[Mapping[str, Any]]) -> Html:
    """The mean size of attributions by feature."""
    drawn = figure(7.5, 0.9 + 0.28 * len(found))
    axes = drawn.subplots()
    half = [each["half_interval"] or 0.0 for each in found]
    axes.barh(range(len(found)), [each["mean"] for each in found], xerr=half, color=COLORS[0], height=0.62, capsize=2)
    axes.set_yticks(range(len(found)), [short(each["feature"]) for each in found])
    axes.invert_yaxis()
    axes.set_xlabel("mean size of attributions")
    return drawing(drawn, f"What the model goes by: {', '.join(str(each['feature']) for each in found[:3])} most")


def distributions(
    statistics: Mapping[str, DatasetFeatureStatisticsList], first: Sequence[str]
) -> tuple[Html | None, int]:
    """Distributions of features, one color for each split.

    Args:
      statistics: by split.
      first: names of features that are drawn before others.

    Returns:
      the drawing, None where no feature can be drawn; and how many features could be.
    """
    found: dict[str, dict[str, FeatureNameStatistics]] = {}
    for split, each in statistics.items():
        for feature in each.datasets[0].features:
            name = ".".join(feature.path.step) or feature.name
            if _is_drawn(feature):
                found.setdefault(name, {})[split] = feature
    names = [name for name in first if name in found] + sorted(set(found) - set(first))
    if not names:
        return None, 0
    shown = names[:_FEATURES]
    rows = math.ceil(len(shown) / _COLUMNS)
    drawn = figure(10.5, 1.75 * rows + 0.3)
    panels = drawn.subplots(rows, _COLUMNS, squeeze=False).ravel()
    colors = {split: COLORS[place % len(COLORS)] for place, split in enumerate(statistics)}
    for axes, name in zip(panels, shown, strict=False):
        axes.set_title(short(name), fontsize=8.5, loc="left", weight="bold")
        _draw(axes, found[name], colors)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    handles = [panels[0].plot([], [], color=color)[0] for color in colors.values()]
    drawn.legend(handles, list(colors), loc="outside upper right", ncols=len(colors), frameon=False)
    return drawing(drawn, f"Distributions of {len(shown)} features by split"), len(names)


def _is_drawn(feature: FeatureNameStatistics) -> bool:
    if feature.HasField("num_stats"):
        return any(histogram.buckets for histogram in feature.num_stats.histograms)
    return feature.HasField("string_stats") and bool(_frequent(feature))


def _frequent(feature: FeatureNameStatistics) -> list[tuple[str, float]]:
    """Texts that at least every hundredth value is: others may be of single people."""
    total = feature.string_stats.common_stats.tot_num_values
    top = [(each.value, each.frequency / total) for each in feature.string_stats.top_values] if total else []
    return [(value, share) for value, share in top if share >= 0.01][:_TEXTS]


def _draw(axes: Any, features: Mapping[str, FeatureNameStatistics], colors: Mapping[str, str]) -> None:
    """Of one feature by split: of numbers the histogram, the first split filled, of texts a bar for each."""
    first = next(iter(features.values()))
    if first.HasField("num_stats"):
        for place, (split, feature) in enumerate(features.items()):
            if feature.HasField("num_stats"):
                _histogram(axes, feature, colors[split], filled=place == 0)
        axes.set_yticks([])
        axes.locator_params(axis="x", nbins=3)
        axes.ticklabel_format(axis="x", useOffset=False)
        return
    values = [value for value, _ in _frequent(first)]
    height = 0.8 / len(features)
    for place, (split, feature) in enumerate(features.items()):
        shares = dict(_frequent(feature))
        lines = [line - 0.4 + height * (place + 0.5) for line in range(len(values))]
        axes.barh(lines, [shares.get(value, 0.0) for value in values], height, color=colors[split], alpha=0.8)
    axes.set_yticks(range(len(values)), [short(value, 14) for value in values], fontsize=7)
    axes.set_ylim(_TEXTS - 0.4, -0.6)


def _histogram(axes: Any, feature: FeatureNameStatistics, color: str, *, filled: bool) -> None:
    found = next((each for each in feature.num_stats.histograms if each.buckets), None)
    buckets = [each for each in (found.buckets if found else ()) if math.isfinite(each.low_value + each.high_value)]
    if len(buckets) > 1:
        buckets = [each for each in buckets if each.low_value < each.high_value]
    if not buckets:
        return
    edges = [*(each.low_value for each in buckets), buckets[-1].high_value]
    if edges[0] == edges[-1]:
        axes.axvline(edges[0], color=color)
        return
    total = sum(each.sample_count for each in buckets) or 1.0
    # The buckets of two splits are not of the same width.
    density = [each.sample_count / total / (each.high_value - each.low_value) for each in buckets]
    axes.stairs(density, edges, color=color, fill=filled, alpha=0.35 if filled else 1.0)


def short(value: object, length: int = 28) -> str:
    """A text of so many letters, in which a dollar is no formula."""
    line = " ".join(str(value).split())
    return (line if len(line) <= length else line[: length - 1] + "…").replace("$", r"\$")
