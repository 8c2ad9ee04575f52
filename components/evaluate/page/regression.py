"""The part of the report on a regression: predictions against labels, residuals, and errors by decile."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from components.runtime.evaluation.metrics.residuals import Part, Regression
from components.runtime.stage import report
from components.runtime.stage.report import Html

_EXACT = 500
"""Dots of so many examples and fewer are single ones."""

Named = list[tuple[str, Regression]]
"""Of the candidate, then of the baseline where there is one."""


def section(output: str, named: Named) -> Html:
    """The section of one output of the models.

    Args:
      output: its name; empty where there is one only.
      named: by the model's role.
    """
    (_, found) = named[0]
    parts: list[Html] = [_errors(named)]
    if found.not_finite:
        parts.append(
            report.paragraph(
                report.text(f"left out: {found.not_finite:g} examples whose label or prediction is not finite", "bad")
            )
        )
    parts.append(_drawing(named))
    parts.append(report.heading("By decile of the prediction" + (f" ({named[0][0]})" if len(named) > 1 else "")))
    parts.append(_deciles(found.parts))
    return report.section("Regression" + (f": {output}" if output else ""), *parts)


def _errors(named: Named) -> Html:
    found = named[0][1]
    models = [entry for _, entry in named]
    rows: list[list[object]] = [
        ["RMSE, root mean squared error", *[entry.rmse for entry in models], found.constant_rmse],
        ["MAE, mean absolute error", *[entry.mae for entry in models], found.constant_mae],
        ["R²", *[entry.r2 for entry in models], None if found.r2 is None else 0.0],
        ["MAPE, mean absolute percentage error (%)", *[entry.mape for entry in models], None],
        ["mean of prediction less label", *[entry.bias for entry in models], 0.0],
    ]
    zeros = f"; MAPE without the {found.zeros:g} labels that are 0" if found.zeros else ""
    note = (
        f"Labels from {found.labels[0]:.6g} to {found.labels[1]:.6g}. The best constant answer is their mean, "
        f"{found.mean:.6g}, for the squared error, and their median, {found.median:.6g}, for the absolute one{zeros}."
    )
    headers = ["", *[label for label, _ in named], "best constant"]
    return Html(report.table(headers, rows) + report.paragraph(report.text(note, "muted")))


def _drawing(named: Named) -> Html:
    figure = report.figure(9.5, 7.6)
    (scatter, means), (residuals, deciles) = figure.subplots(2, 2)
    _scatter(scatter, named[0][1])
    scatter.set_title("predictions against labels" + (f" ({named[0][0]})" if len(named) > 1 else ""), fontsize=9)
    for (label, found), color in zip(named, report.COLORS, strict=False):
        means.plot(
            [part.prediction for part in found.parts],
            [part.label for part in found.parts],
            marker="o",
            markersize=4,
            linewidth=1,
            color=color,
            label=label,
        )
        edges, weights = found.residuals
        residuals.stairs(weights, edges, fill=found is named[0][1], alpha=0.8, color=color, label=label)
        places = np.arange(len(found.parts)) + 1
        deciles.plot(places, [part.rmse for part in found.parts], marker="o", markersize=4, color=color, label=label)
        deciles.plot(places, [part.mae for part in found.parts], marker="o", markersize=4, color=color, linestyle=":")
    _diagonal(means)
    means.set_xlabel("mean prediction of each decile")
    means.set_ylabel("mean label")
    means.set_title("calibration", fontsize=9)
    outside = named[0][1].outside
    residuals.axvline(0, color="#9ca3af", linestyle=":", linewidth=1)
    residuals.set_xlabel("residual: prediction less label" + (f" ({outside:g} lie beyond)" if outside else ""))
    residuals.set_ylabel("examples")
    residuals.set_title("residuals", fontsize=9)
    deciles.set_xlabel("decile of the prediction, lowest first (line: RMSE, dotted: MAE)")
    deciles.set_ylabel("error")
    deciles.set_ylim(0, 1.08 * max(part.rmse for _, found in named for part in found.parts) or 1)
    deciles.set_xticks(range(1, max(len(found.parts) for _, found in named) + 1))
    deciles.set_title("error by decile", fontsize=9)
    if len(named) > 1:
        for axes in (means, residuals, deciles):
            axes.legend(frameon=False, fontsize=8)
    return report.drawing(figure, "Predictions against labels, calibration, residuals, and error by decile")


def _scatter(axes: Any, found: Regression) -> None:
    points = np.array(found.points)
    single = found.examples <= _EXACT
    sizes = np.full(len(points), 9.0) if single else 4 + 60 * np.sqrt(points[:, 2] / points[:, 2].max())
    axes.scatter(points[:, 0], points[:, 1], s=sizes, color=report.COLORS[0], alpha=0.45, linewidth=0)
    _diagonal(axes)
    axes.set_xlabel("prediction" + ("" if single else " (larger dots: more examples)"))
    axes.set_ylabel("label")


def _diagonal(axes: Any) -> None:
    """Where prediction and label are equal, over what the axes show."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    ends = [max(left, bottom), min(right, top)]
    axes.plot(ends, ends, color="#9ca3af", linestyle=":", linewidth=1)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def _deciles(parts: list[Part]) -> Html:
    headers = ["", "predictions from", "to", "examples", "mean prediction", "mean label", "MAE", "RMSE"]
    rows = [
        [number, part.low, part.high, _count(part.examples), part.prediction, part.label, part.mae, part.rmse]
        for number, part in enumerate(parts, start=1)
    ]
    return report.table(headers, rows)


def _count(weight: float) -> float | int:
    return int(weight) if weight == math.floor(weight) else weight
