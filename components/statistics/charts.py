"""Small multiples of the distributions of features, the splits on top of each other, in one drawing.

All cells lie in a single Matplotlib axes that covers the figure: an axes per feature, with its ticks and its layout,
takes ten times as long to draw.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection

from components.runtime.stage import report
from components.statistics.summary import COUNTABLE_RANGE, Categories, Numbers, Summary

COLUMNS = 4
_CELL_WIDTH = 190.0
_CELL_HEIGHT = 122.0
_PLOT_WIDTH = 166.0
_PLOT_HEIGHT = 68.0
_LABEL_WIDTH = 78.0
_TITLE_HEIGHT = 22.0
_BINS = 10
_TOP_VALUES = 5
_LONG_NUMBER = 11
_HEAVY_TAIL = 6.0
_POINTS_PER_INCH = 72.0
_GREY = "#6b7280"
_INK = "#1f2937"

Feature = dict[str, Summary]
"""A feature's summaries by split."""


def small_multiples(features: Sequence[Feature], splits: Sequence[str], flagged: Sequence[bool]) -> report.Html:
    """Draws one cell per feature.

    Args:
      features: what to draw; a split may lack a feature.
      splits: names of splits; they give the colours.
      flagged: whether a feature's title is set in the colour of warnings.
    """
    rows = math.ceil(len(features) / COLUMNS)
    width, height = COLUMNS * _CELL_WIDTH, rows * _CELL_HEIGHT
    figure = report.figure(width / _POINTS_PER_INCH, height / _POINTS_PER_INCH)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0))
    canvas = _Canvas(axes, {split: report.COLORS[number % len(report.COLORS)] for number, split in enumerate(splits)})
    for number, (feature, warned) in enumerate(zip(features, flagged, strict=True)):
        left = number % COLUMNS * _CELL_WIDTH + 10
        top = number // COLUMNS * _CELL_HEIGHT + _TITLE_HEIGHT
        canvas.cell(left, top, feature, warned)
    canvas.finish()
    with warnings.catch_warnings():
        # Glyphs that the font lacks: the browser has them.
        warnings.simplefilter("ignore", UserWarning)
        return report.drawing(figure, f"Distributions of {len(features)} features in the splits {', '.join(splits)}")


def shorten(value: object, length: int) -> str:
    """A value on one line of at most `length` characters, without control characters."""
    text = str(value)
    text = "".join(character if character.isprintable() else "\N{MIDDLE DOT}" for character in text[: length + 1])
    return text if len(text) <= length else text[: length - 1] + "…"


class _Canvas:
    """Collects shapes by colour, so that each colour is one artist."""

    def __init__(self, axes: Axes, colors: dict[str, str]) -> None:
        self._axes = axes
        self._colors = colors
        self._areas: dict[tuple[str, float], list[npt.NDArray[np.float64]]] = {}
        self._lines: dict[str, list[npt.NDArray[np.float64]]] = {}

    def cell(self, left: float, top: float, feature: Feature, warned: bool) -> None:
        """Draws one feature."""
        name = next(iter(feature.values())).name
        self._text(left, top - 8, shorten(name, 24), color="#b91c1c" if warned else _INK, weight="bold")
        numbers = {split: entry.numbers for split, entry in feature.items() if entry.numbers and entry.numbers.finite}
        categories = {split: entry.categories for split, entry in feature.items() if entry.categories}
        text = {split: entry for split, entry in categories.items() if entry.top}
        if numbers:
            self._histogram(left, top, numbers)
        elif text:
            self._top_values(left, top, text)
        else:
            why = "binary" if categories else "no values"
            self._baseline(left, top + _PLOT_HEIGHT)
            self._text(left + _PLOT_WIDTH / 2, top + _PLOT_HEIGHT / 2, why, align="center")

    def _histogram(self, left: float, top: float, numbers: dict[str, Numbers]) -> None:
        bottom = top + _PLOT_HEIGHT
        bins = _bins(list(numbers.values()))
        shares = {split: entry.shares(bins) for split, entry in numbers.items()}
        highest = max(float(part.max()) for part in shares.values()) or 1.0
        x = left + (bins - bins[0]) / (bins[-1] - bins[0]) * _PLOT_WIDTH
        for position, (split, part) in enumerate(shares.items()):
            y = bottom - part / highest * (_PLOT_HEIGHT - 4)
            outline = np.column_stack((np.repeat(x, 2), np.concatenate(([bottom], np.repeat(y, 2), [bottom]))))
            if position == 0:
                self._areas.setdefault((self._colors[split], 0.22), []).append(outline)
            self._lines.setdefault(self._colors[split], []).append(outline)
        self._baseline(left, bottom)
        minimum = min(entry.minimum for entry in numbers.values())
        maximum = max(entry.maximum for entry in numbers.values())
        low, high = max(float(bins[0]), minimum), min(float(bins[-1]), maximum)
        self._text(left, bottom + 10, ("… " if low > minimum else "") + _number(low))
        if high > low and len(_number(high)) < _LONG_NUMBER:
            self._text(left + _PLOT_WIDTH / 2, bottom + 10, _number((low + high) / 2), align="center")
        self._text(left + _PLOT_WIDTH, bottom + 10, _number(high) + (" …" if high < maximum else ""), align="right")
        self._text(left + _PLOT_WIDTH, top - 8, f"to {highest:.0%}", align="right")

    def _top_values(self, left: float, top: float, text: dict[str, Categories]) -> None:
        shares = {split: dict(entry.top) for split, entry in text.items()}
        # The largest share in any split, so that what is frequent in a later one alone is seen.
        largest: dict[str, float] = {}
        for part in shares.values():
            for value, share in part.items():
                largest[value] = max(share, largest.get(value, 0.0))
        values = sorted(largest, key=lambda value: -largest[value])[:_TOP_VALUES]
        highest = max(largest.values(), default=1.0) or 1.0
        step = _PLOT_HEIGHT / _TOP_VALUES
        thickness = min((step - 2) / len(shares), 5.0)
        start, full = left + _LABEL_WIDTH, _PLOT_WIDTH - _LABEL_WIDTH
        for row, value in enumerate(values):
            y = top + row * step
            self._text(start - 4, y + 1 + thickness * len(shares) / 2, shorten(value, 16), align="right")
            for number, (split, part) in enumerate(shares.items()):
                self._bar(start, y + 1 + number * thickness, part.get(value, 0.0) / highest * full, thickness, split)
        self._text(left + _PLOT_WIDTH, top - 8, f"to {highest:.0%}", align="right")
        rest = max(len(largest), *(entry.unique for entry in text.values())) - len(values)
        if rest > 0:
            self._text(start, top + _PLOT_HEIGHT + 10, f"and {rest:,} more value{'' if rest == 1 else 's'}")

    def finish(self) -> None:
        """Puts the collected shapes into the axes."""
        for (color, opacity), shapes in self._areas.items():
            areas = PolyCollection(shapes, facecolors=color, edgecolors="none", alpha=opacity)
            self._axes.add_collection(areas, autolim=False)
        for color, lines in self._lines.items():
            self._axes.add_collection(LineCollection(lines, colors=color, linewidths=1.2), autolim=False)

    def _bar(self, left: float, top: float, length: float, thickness: float, split: str) -> None:
        corners = [(left, top), (left + length, top), (left + length, top + thickness), (left, top + thickness)]
        self._areas.setdefault((self._colors[split], 0.8), []).append(np.array(corners))

    def _baseline(self, left: float, bottom: float) -> None:
        self._lines.setdefault("#9ca3af", []).append(np.array([(left, bottom), (left + _PLOT_WIDTH, bottom)]))

    def _text(
        self, x: float, y: float, text: str, *, align: str = "left", color: str = _GREY, weight: str = "normal"
    ) -> None:
        size = 8.5 if weight == "bold" else 7.5
        self._axes.text(x, y, text, ha=align, va="center", fontsize=size, color=color, weight=weight, parse_math=False)


def _bins(entries: Sequence[Numbers]) -> npt.NDArray[np.float64]:
    """Equal bins over all values, or over most of them when the tails are long; few whole numbers have one each."""
    low, high = min(entry.minimum for entry in entries), max(entry.maximum for entry in entries)
    if high - low <= COUNTABLE_RANGE and all(entry.countable for entry in entries):
        return np.arange(low - 0.5, high + 1)
    tenth = min(float(np.interp(0.1, entry.cumulative, entry.edges)) for entry in entries)
    ninetieth = max(float(np.interp(0.9, entry.cumulative, entry.edges)) for entry in entries)
    bulk = ninetieth - tenth
    if bulk > 0 and high - low > _HEAVY_TAIL * bulk:
        low, high = max(low, tenth - bulk), min(high, ninetieth + bulk)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, _BINS + 1)


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e12 else f"{value:.4g}"
