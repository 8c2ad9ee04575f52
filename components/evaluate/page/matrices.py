"""Drawings of confusion matrices."""

from __future__ import annotations

import numpy as np

from components.evaluate.page import ticks
from components.runtime.evaluation.computation.results import Plots
from components.runtime.evaluation.metrics import segmentation
from components.runtime.stage import report
from components.runtime.stage.report import Html


def iou_drawing(named: list[tuple[str, Plots]]) -> Html:
    """Bars of each class: the best constant answer, then the models."""
    figure = report.figure(9.5, 2.9)
    axes = figure.subplots()
    matrices = [(label, matrix) for label, plots in named if (matrix := plots.matrix()) is not None]
    classes = matrices[0][1][0]
    tables = [(label, np.array(rows)) for label, (_, rows) in matrices]
    bars = [("constant answer", segmentation.constant(tables[0][1]), "#9ca3af")]
    bars += [(label, table, color) for (label, table), color in zip(tables, report.COLORS, strict=False)]
    width = 0.8 / len(bars)
    for number, (label, table, color) in enumerate(bars):
        values = segmentation.class_iou(table)
        places = [place + (number - (len(bars) - 1) / 2) * width for place in range(len(classes))]
        drawn = axes.bar(
            places, values, width=width, color=color, label=f"{label}, mean {segmentation.mean_iou(table):.3f}"
        )
        axes.bar_label(drawn, fmt="%.2f", fontsize=8, color="#6b7280")
    ticks.put(axes.xaxis, range(len(classes)), classes)
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("intersection over union")
    axes.grid(axis="x", visible=False)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return report.drawing(
        figure, "Intersection over union of each class, of the models and of the best constant answer"
    )


def matrix_drawing(names: list[str], rows: list[list[float]], unit: str = "examples") -> Html:
    """A confusion matrix, coloured by the share of the actual class.

    Args:
      names: of the classes.
      rows: what was counted, by actual (rows) and predicted class.
      unit: what was counted: examples or pixels.
    """
    size = 1.2 + (0.6 if unit == "pixels" else 0.42) * len(names)
    beside = ticks.LETTER * max(len(ticks.shortened(name)) for name in names)
    figure = report.figure(size + 0.4 + beside, size + ticks.room_below(names))
    axes = figure.subplots()
    totals = [sum(row) or 1.0 for row in rows]
    shares = [[cell / total for cell in row] for row, total in zip(rows, totals, strict=True)]
    axes.grid(visible=False)
    axes.pcolormesh(shares, cmap="Blues", vmin=0.0, vmax=1.0, edgecolors="#e5e7eb", linewidth=0.5)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    for down, row in enumerate(rows):
        for across, cell in enumerate(row):
            color = "white" if shares[down][across] > 0.5 else "#1f2937"
            if cell:
                # Of pixels there are millions, which no cell has room for.
                text = f"{shares[down][across]:.1%}" if unit == "pixels" else f"{cell:.6g}"
                axes.text(across + 0.5, down + 0.5, text, ha="center", va="center", color=color, fontsize=8)
    places = [number + 0.5 for number in range(len(names))]
    ticks.put(axes.xaxis, places, names)
    ticks.put(axes.yaxis, places, names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    return report.drawing(
        figure, f"{unit.capitalize()} by actual and predicted class; colour: share of the actual class"
    )
