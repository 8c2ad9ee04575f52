"""Drawings of several evaluations over each other: ROC, precision and recall, calibration, predictions, residuals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.runtime.stage.report import COLORS, Html, drawing, figure
from runners.history.evaluations import Evaluation, Points

_KINDS = {
    "roc": ("ROC curves", "false positive rate", "recall"),
    "precision_recall": ("Precision and recall", "recall", "precision"),
    "calibration": ("Calibration", "mean prediction", "mean label"),
    "predictions": ("Predictions", "prediction", "share of the examples"),
    "residuals": ("Residuals", "prediction less label", "share of the examples"),
}
_LEGENDS = {"roc": "lower right", "precision_recall": "lower left", "calibration": "upper left"}
"""Where most often nothing else is."""
_BINNED = frozenset({"predictions", "residuals"})
_DIAGONAL = frozenset({"roc", "calibration"})


def curves(evaluated: Mapping[str, Evaluation]) -> Iterator[Html]:
    """A drawing of each kind that at least one evaluation has.

    Args:
      evaluated: evaluations, by what the legend calls them.
    """
    for kind, words in _KINDS.items():
        found = {name: points for name, each in evaluated.items() if (points := getattr(each, kind))}
        if found:
            yield _drawn(kind, found, words)


def _drawn(kind: str, found: Mapping[str, Points], words: tuple[str, str, str]) -> Html:
    title, across, up = words
    drawn = figure(4.6, 4.2)
    axes = drawn.add_subplot(xlabel=across, ylabel=up, title=title)
    for place, (name, points) in enumerate(found.items()):
        _line(axes, kind, points, color=COLORS[place % len(COLORS)], label=name)
    if kind in _DIAGONAL:
        numbers = [number for points in found.values() for point in points for number in point]
        # Probabilities and what came of them from 0 to 1, other answers as far as they reach.
        low, high = min(0.0, *numbers), max(1.0, *numbers)
        axes.plot([low, high], [low, high], color="#d1d5db", linestyle="--", linewidth=1, zorder=0)
        air = 0.02 * (high - low)
        axes.set(xlim=(low - air, high + air), ylim=(low - air, high + air))
    if kind not in _BINNED:
        axes.set_aspect("equal", adjustable="box")
    if kind == "precision_recall":
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.legend(loc=_LEGENDS.get(kind, "upper right"), frameon=False)
    return drawing(drawn, f"{title} of {', '.join(found)}, over each other")


def _line(axes: Any, kind: str, points: Points, **style: Any) -> None:
    across, up = zip(*points, strict=True)
    if kind in _BINNED:
        width = across[1] - across[0] if len(across) > 1 else 1.0
        axes.stairs(up, [*across, across[-1] + width], linewidth=1.5, **style)
    else:
        axes.plot(across, up, marker="o" if kind == "calibration" else None, markersize=3, **style)
