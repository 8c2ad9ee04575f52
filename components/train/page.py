"""The report of a training: its curves and last values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from components.runtime.stage import report
from components.train.history import History

_COLUMNS = 2
_TRAIN, _EVAL, _KEPT = report.COLORS[:3]


def page(history: History, facts: Sequence[tuple[str, Any]], parameters: Mapping[str, Any]) -> str:
    """A self-contained page.

    Args:
      history: of the training.
      facts: names and values that sum it up.
      parameters: what it was started with.
    """
    curves = sorted(set(history.train) | set(history.eval), key=lambda name: (name != "loss", name))
    last = history.last_values()
    parts: list[report.Html] = []
    if curves:
        parts = [
            report.section(
                "Curves",
                _drawing(history, curves),
                report.paragraph(
                    report.text(
                        "Blue: training, each point the mean since its epoch began. "
                        "Orange: the split eval, at the end of the epochs.",
                        "muted",
                    )
                ),
            ),
            report.section(
                "Last values" if history.kept_step is None else f"Values at step {history.kept_step}",
                report.table(
                    ["metric", "train", "eval"],
                    [(name, last.get(f"train_{name}"), last.get(f"eval_{name}")) for name in curves],
                ),
            ),
        ]
    else:
        missing = report.paragraph("run_fn did not train with a Keras model's fit: no curves.")
        parts = [report.section("Curves", missing)]
    settings = [
        (name, json.dumps(value) if isinstance(value, Mapping) else str(value)) for name, value in parameters.items()
    ]
    return report.page(
        "Training",
        report.section("Summary", report.table(["", ""], facts)),
        *parts,
        report.section("Parameters", report.table(["parameter", "value"], settings)),
    )


def _drawing(history: History, curves: Sequence[str]) -> report.Html:
    columns = min(_COLUMNS, len(curves))
    rows = -(-len(curves) // columns)
    figure = report.figure(4.9 * columns, 3.1 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis, name in zip(axes, curves, strict=False):
        axis.set_title(name, loc="left", fontweight="bold")
        axis.set_xlabel("step")
        if train := history.train.get(name):
            axis.plot(*zip(*train, strict=True), color=_TRAIN, label="train", linewidth=1.6)
        if evaluated := history.eval.get(name):
            axis.plot(*zip(*evaluated, strict=True), color=_EVAL, label="eval", marker="o", markersize=4, linewidth=1.6)
        if history.kept_step is not None:
            axis.axvline(history.kept_step, color=_KEPT, linestyle="--", linewidth=1, label="weights kept")
        axis.legend(frameon=False)
    for axis in axes[len(curves) :]:
        axis.set_visible(False)
    return report.drawing(figure, f"Curves of {', '.join(curves)} over the steps, train and eval")
