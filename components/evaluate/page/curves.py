"""The sections with drawings over all examples: regressions, ROC curve and calibration, confusion matrices."""

from __future__ import annotations

import math
from typing import Any

from tensorflow_model_analysis import constants

from components.evaluate.page import matrices
from components.evaluate.page import regression as regression_page
from components.runtime.evaluation.computation.results import Plots, Results
from components.runtime.stage import report
from components.runtime.stage.report import Html

_MAX_CLASSES = 40
_FEWEST = 3


def sections(results: Results) -> list[Html]:
    """What there is to draw of the models; nothing where a configuration has no plots."""
    found = []
    models = sorted(results.plots, key=lambda name: name == constants.BASELINE_KEY)
    labels = {name: "baseline" if name == constants.BASELINE_KEY else "candidate" for name in models}
    named = [(labels[name], results.plots[name]) for name in models]
    for output in named[0][1].regressions if named else ():
        both = [(label, plots.regressions[output]) for label, plots in named if output in plots.regressions]
        found.append(regression_page.section(output, both))
    drawn = [
        title
        for title, shown in [
            ("ROC curve", any(plots.roc() for _, plots in named)),
            ("calibration", any(_calibrated(plots) for _, plots in named)),
        ]
        if shown
    ]
    if drawn:
        title = " and ".join(drawn)
        found.append(report.section(title[0].upper() + title[1:], _curve_drawing(named)))
    if any(plots.pixels for _, plots in named):
        found.append(report.section("Intersection over union by class", matrices.iou_drawing(named)))
    for label, plots in named[:1]:
        matrix = plots.matrix()
        if matrix is not None and plots.pixels:
            found.append(report.section(f"Pixels by class ({label})", matrices.matrix_drawing(*matrix, "pixels")))
        elif matrix is not None and len(matrix[0]) <= _MAX_CLASSES:
            note = "" if plots.classes else ", threshold 0.5"
            found.append(report.section(f"Confusion matrix ({label}{note})", matrices.matrix_drawing(*matrix)))
    return found


def _curve_drawing(named: list[tuple[str, Plots]]) -> Html:
    """The ROC curve and the calibration, or that of the two which there is."""
    has_roc, has_calibration = (
        any(plots.roc() for _, plots in named),
        any(_calibrated(plots) for _, plots in named),
    )
    figure = report.figure(9.5 if has_roc and has_calibration else 4.9, 4.2)
    panels = list(figure.subplots(1, has_roc + has_calibration, squeeze=False)[0])
    if has_roc:
        _roc(panels[0], named)
    if has_calibration:
        _calibration(panels[-1], named)
    what = " and ".join(["ROC curve"] * has_roc + ["calibration"] * has_calibration)
    return report.drawing(figure, f"{what} of the models")


def _roc(axes: Any, named: list[tuple[str, Plots]]) -> None:
    for (label, plots), color in zip(named, report.COLORS, strict=False):
        curve = plots.roc()
        if curve:
            points = [(0.0, 0.0), *[(rate, recall) for _, rate, recall in curve]]
            axes.plot(*zip(*points, strict=True), label=label, color=color)
    _square(axes, (0.0, 1.0))
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("recall")


def _calibration(axes: Any, named: list[tuple[str, Plots]]) -> None:
    """In the range of labels and predictions, from 0 to 1 at least where these are probabilities."""
    values = []
    for (label, plots), color in zip(named, report.COLORS, strict=False):
        points = _calibrated(plots)
        if points:
            predictions, labels, counts = zip(*points, strict=True)
            values += [*predictions, *labels]
            axes.plot(predictions, labels, color=color, linewidth=1)
            sizes = [8 + 60 * count / max(counts) for count in counts]
            axes.scatter(predictions, labels, s=sizes, color=color, label=label)
    low, high = min(values, default=0.0), max(values, default=1.0)
    _square(axes, (low, high) if low < 0 or high > 1 else (0.0, 1.0))
    axes.set_xlabel("mean prediction (dots: more examples are larger)")
    axes.set_ylabel("mean label")


def _calibrated(plots: Plots) -> list[tuple[float, float, float]]:
    """What of the calibration can be drawn."""
    # A bucket of infinite predictions has no place.
    points = [point for point in plots.calibration if all(map(math.isfinite, point))]
    # Of a regression all may lie beyond 0 and 1, TFMA's range where the configuration has none: that says nothing.
    return [] if plots.regressions and len(points) < _FEWEST else points


def _square(axes: Any, ends: tuple[float, float]) -> None:
    """The same range along both axes, with the diagonal."""
    margin = 0.02 * (ends[1] - ends[0] or 1.0)
    axes.plot(ends, ends, color="#9ca3af", linestyle=":", linewidth=1)
    axes.set_xlim(ends[0] - margin, ends[1] + margin)
    axes.set_ylim(ends[0] - margin, ends[1] + margin)
    axes.set_aspect("equal")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc="lower right")
