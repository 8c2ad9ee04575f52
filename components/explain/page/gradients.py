"""Integrated gradients on what the network is given: bars, or a picture beside an image."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.explain.findings import Findings
from components.explain.network import Gradients, is_image
from components.explain.page.labels import short, unit
from components.runtime.explaining.rows import Array
from components.runtime.stage.report import COLORS, Html, drawing, figure, paragraph, section, text

_PICTURES = 6
_MOST = 20


def part(findings: Findings, found: Gradients) -> Html:
    """The section."""
    held = f" Without a gradient, and kept as they are: {', '.join(found.held)}." if found.held else ""
    note = (
        f"Of {len(found.rows)} rows, along the line from a baseline (the mean of the features; of an image its "
        "darkest value) to the row. "
        f"The values of a row add up to the answer less that to the baseline, but for {found.missed:.2g} at most.{held}"
    )
    images = [name for name, values in found.given.items() if values.dtype.kind == "f" and is_image(values)]
    parts: list[object] = [paragraph(text(note, "muted"))]
    parts += [_pictures(findings, found, name) for name in images]
    if set(found.values[0]) - set(images):
        parts.append(_bars(findings, found, sorted(set(found.values[0]) - set(images))))
    return section("Integrated gradients on the transformed features", *parts)


def _bars(findings: Findings, found: Gradients, names: list[str]) -> Html:
    sizes = {name: np.array([np.abs(values[name]).sum() for values in found.values]) for name in names}
    order = sorted(names, key=lambda name: -sizes[name].mean())[:_MOST]
    drawn = figure(8, 0.9 + 0.3 * len(order))
    axes = drawn.subplots()
    half = [1.96 * sizes[name].std() / np.sqrt(len(sizes[name])) for name in order]
    axes.barh(
        range(len(order)), [sizes[name].mean() for name in order], xerr=half, color=COLORS[3], height=0.62, capsize=2
    )
    axes.set_yticks(range(len(order)), [short(name, 30) for name in order])
    axes.invert_yaxis()
    axes.set_xlabel(f"mean size of integrated gradients of the {unit(findings)}")
    return drawing(drawn, f"Mean size of integrated gradients of {', '.join(order[:3])} and others")


def _pictures(findings: Findings, found: Gradients, name: str) -> Html:
    number = min(_PICTURES, len(found.rows))
    drawn = figure(10.5, 3.7)
    panels = drawn.subplots(2, number, squeeze=False)
    for column in range(number):
        at = found.rows[column]
        _image(panels[0, column], found.given[name][column])
        panels[0, column].set_title(short(findings.subject.told(findings.answers[at]), 18), fontsize=8)
        values = found.values[column][name]
        flat = values.sum(-1) if values.ndim == 3 else values
        # A single pixel must not make all others pale.
        most = float(np.quantile(np.abs(flat), 0.995)) or 1.0
        panels[1, column].imshow(flat, cmap="PuOr_r", vmin=-most, vmax=most, interpolation="nearest")
        for axes in panels[:, column]:
            axes.set_xticks([])
            axes.set_yticks([])
            axes.grid(visible=False)
    said = f"Images of {name}, and below which pixels speak for the {unit(findings)} (orange) and against it (violet)"
    return Html(drawing(drawn, said) + paragraph(text(said, "muted")))


def _image(axes: Any, values: Array) -> None:
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) / ((high - low) or 1.0)
    if scaled.ndim == 3 and scaled.shape[-1] == 1:
        scaled = scaled[..., 0]
    axes.imshow(scaled, cmap=None if scaled.ndim == 3 else "gray", interpolation="nearest")
