"""The page: what became of each export, and what it costs beside the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from components.export.made import Made
from components.export.measuring import BATCH, Cost
from components.runtime.publish.export_formats import TRANSFORMED
from components.runtime.stage.report import COLORS, Html, drawing, figure, page, paragraph, section, table, text

_TITLE = "Exports"
_MODEL = "the model"
_GREY = "#9ca3af"
_MB = 1e6
_HELD = {"loss": "loss", "size_mb": "MB", "p50_ms": "ms for a row"}


def not_exported(reason: str) -> str:
    """The page of a model that has no blessing."""
    return page(_TITLE, section("Nothing was exported", paragraph("The model is not blessed: ", reason)))


def render(made: Sequence[Made], model: Cost, bounds: Mapping[str, float], location: str) -> str:
    """The page as HTML.

    Args:
      made: what became of each export.
      model: what the model itself costs.
      bounds: that every export is held to.
      location: the splits that they were evaluated on.
    """
    held = [f"{bounds['loss']:.3g} of a metric's value lost"]
    held += [f"{bounds[name]:g} {_HELD[name]}" for name in ("size_mb", "p50_ms") if bounds[name] < float("inf")]
    parts = [
        section(
            "What is handed on",
            paragraph(
                f"Each export is evaluated again on {location}, by the thresholds of the model; change thresholds hold "
                f"against the model itself. And it is held to at most {', '.join(held)}."
            ),
            table(["export", "", "takes", "handed on"], [_row(each) for each in made]),
        ),
    ]
    measured = [each for each in made if each.cost is not None]
    if measured:
        parts.append(
            section(
                "What it costs",
                paragraph(
                    "Sizes are those of all files, and of the same compressed as apps and web servers hand them over. "
                    "Times are medians in this stage's process, on one thread; TensorFlow.js is timed by TensorFlow, "
                    "which runs its files here. The model takes raw features and transforms them in this time; an "
                    "export on transformed features does not."
                ),
                _drawn(measured, model),
                table(
                    ["export", "bytes", "compressed", "of the model's", "1 row, ms", f"{BATCH} rows, ms"],
                    [_costs(_MODEL, model, model), *(_costs(each.asked.name, each.cost, model) for each in measured)],
                ),
            )
        )
    evaluated = [each for each in made if each.kept is not None and each.kept.metrics]
    if evaluated:
        parts.append(section("What it loses", *_metrics(evaluated)))
    return page(_TITLE, *parts)


def _row(made: Made) -> list[object]:
    takes = made.inputs and f"{made.inputs} features"
    if made.inputs == TRANSFORMED and made.why_transformed:
        takes += f", since for raw ones {made.why_transformed}"
    verdict = text(f"no: {made.refused}", "bad") if made.refused else text("yes", "good")
    return [made.asked.name, made.asked.title, takes, verdict]


def _costs(name: str, cost: Cost | None, model: Cost) -> list[object]:
    if cost is None:
        return [name, None, None, None, None, None]
    share = "" if cost is model else f"{cost.packed / model.packed:.0%}"
    return [name, f"{cost.size:,}", f"{cost.packed:,}", share, round(cost.single, 3), round(cost.batch, 3)]


def _metrics(made: Sequence[Made]) -> list[Html]:
    judged = list(dict.fromkeys(name for each in made if each.kept for name in each.kept.losses))
    others = list(dict.fromkeys(name for each in made if each.kept for name in each.kept.metrics if name not in judged))
    first = made[0].kept
    rows: list[list[object]] = [[_MODEL, "", *((first.model.get(name) if first else None) for name in judged + others)]]
    for each in made:
        if each.kept is not None:
            loss = "" if each.kept.loss is None else f"{each.kept.loss:.2%}"
            rows.append([each.asked.name, loss, *(each.kept.metrics.get(name) for name in judged + others)])
    note = "The largest loss is that of a metric with a threshold, as a share of the model's value; below 0 is a gain."
    return [paragraph(note), table(["export", "largest loss", *judged, *others], rows)]


def _drawn(made: Sequence[Made], model: Cost) -> Html:
    names = [_MODEL, *(each.asked.name for each in made)]
    costs = [model, *(each.cost for each in made if each.cost is not None)]
    refused = [False, *(bool(each.refused) for each in made)]
    # Where no threshold says which way a metric is better, nobody knows what is lost.
    known = any(each.kept is not None and each.kept.loss is not None for each in made)
    losses = [0.0, *((each.kept.loss or 0.0) * 100 if each.kept else 0.0 for each in made)]
    places = np.arange(len(names))
    colors = [_GREY, *(COLORS[4] if bad else COLORS[0] for bad in refused[1:])]
    drawn = figure(11, 1.3 + 0.36 * len(names))
    panels = drawn.subplots(1, 3 if known else 2, sharey=True)
    told = [
        ([each.packed / _MB for each in costs], "MB, compressed"),
        ([each.single for each in costs], "ms for a row"),
        (losses, "largest loss, %"),
    ]
    for axes, (values, label) in zip(panels, told, strict=False):
        bars = axes.barh(places, values, color=colors, height=0.62)
        axes.bar_label(bars, [f"{value:.3g}" for value in values], padding=3)
        axes.set_xlabel(label)
        axes.margins(x=0.2)
        axes.grid(visible=False, axis="y")
    panels[0].set_yticks(places, names)
    panels[0].invert_yaxis()
    return drawing(drawn, "Size, latency and loss of the model (grey) and its exports; those not handed on are red")
