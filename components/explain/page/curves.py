"""Partial dependence: how the answer goes by one feature, with how many rows there are of each value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from components.explain.findings import Findings
from components.explain.page.labels import short
from components.runtime.explaining.answers import CLASSES
from components.runtime.explaining.dependence import Dependence
from components.runtime.explaining.rows import NUMBER, told
from components.runtime.missing import where as missing
from components.runtime.stage.report import COLORS, Html, drawing, figure, paragraph, section, text

_COLUMNS = 3
_CLASSES = 4


def part(findings: Findings) -> Html:
    """The section."""
    answers = _answers(findings)
    note = (
        "Mean answer when one feature of all rows is set to the same value; band: what four of five rows are "
        "answered; bars: "
        "rows with these values. Each feature is varied as if it were independent of the others, which may make "
        "rows that never occur."
    )
    rows = math.ceil(len(findings.curves) / _COLUMNS)
    drawn = figure(10.5, 2.4 * rows)
    panels = drawn.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for panel, curve in zip(panels, findings.curves, strict=False):
        _panel(panel, curve, answers)
    for panel in panels[len(findings.curves) :]:
        panel.set_axis_off()
    if findings.subject.task == CLASSES:
        handles = [panels[0].plot([], [], color=color)[0] for color in COLORS[: len(answers)]]
        names = [short(findings.subject.classes[place]) for place in answers]
        drawn.legend(handles, names, loc="outside upper center", ncols=len(answers), frameon=False)
    told_names = ", ".join(curve.feature for curve in findings.curves)
    return section(
        "Partial dependence",
        paragraph(text(note, "muted")),
        drawing(drawn, f"Partial dependence of the answer on {told_names}"),
    )


def _answers(findings: Findings) -> list[int]:
    """Which of the answers are drawn: of classes those that are answered most often."""
    if findings.subject.task != CLASSES:
        return [0]
    counts = np.bincount(findings.subject.decisions(findings.answers), minlength=findings.answers.shape[1])
    return [int(place) for place in np.argsort(-counts, kind="stable")[:_CLASSES]]


def _panel(axes: Any, curve: Dependence, answers: list[int]) -> None:
    axes.set_title(short(curve.feature, 34), fontsize=9, loc="left", weight="bold")
    absent = missing(curve.grid)
    bars = axes.twinx()
    bars.set_zorder(0)
    axes.set_zorder(1)
    axes.patch.set_visible(False)
    bars.set_axis_off()
    if curve.kind == NUMBER:
        axes.locator_params(axis="x", nbins=4)
        axes.ticklabel_format(axis="x", useOffset=False)
        places = curve.grid.astype(np.float64)
        if absent.any():
            # Beside the numbers, where no line leads.
            there = places[~absent]
            places[absent] = there[-1] + (there[-1] - there[0]) * 0.12
        if len(curve.edges):
            bars.bar(curve.edges[:-1], curve.counts, np.diff(curve.edges), align="edge", color="#e5e7eb")
            bars.set_ylim(0, max(curve.counts.max(), 1) * 2.2)
    else:
        places = np.arange(len(curve.grid), dtype=np.float64)
        bars.bar(places, curve.counts, 0.8, color="#e5e7eb")
        bars.set_ylim(0, max(curve.counts.max(), 1) * 2.2)
        names = [short("missing" if told(each) is None else told(each), 12) for each in curve.grid]
        axes.set_xticks(places, names, rotation=30, ha="right", fontsize=7)
    for place, color in zip(answers, COLORS, strict=False):
        means = curve.mean[:, place]
        low, high = np.quantile(curve.answers[:, :, place], [0.1, 0.9], axis=1)
        if curve.kind == NUMBER:
            there = ~absent
            axes.plot(places[there], means[there], color=color, linewidth=1.6)
            if len(answers) == 1:
                axes.fill_between(places[there], low[there], high[there], color=color, alpha=0.15, linewidth=0)
        dots = absent if curve.kind == NUMBER else np.ones(len(places), bool)
        ends = np.abs(np.stack([means - low, high - means]))[:, dots] if len(answers) == 1 else None
        if dots.any():
            axes.errorbar(places[dots], means[dots], ends, fmt="o", color=color, markersize=4, linewidth=1, capsize=2)
    if curve.kind == NUMBER and absent.any():
        axes.text(
            places[absent][0],
            1.0,
            "missing",
            transform=axes.get_xaxis_transform(),
            fontsize=7,
            ha="center",
            va="top",
            color="#6b7280",
        )
