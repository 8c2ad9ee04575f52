"""Self-contained HTML pages: no network, every value escaped. KFP's dashboard shows them, browsers too.

They have no script but that of `adjustable`, which stands behind the content: a page that shows the content of others
brings its own, and runs nothing that came with them.
"""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.runtime.text.visible import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = ("#2563eb", "#ea580c", "#059669", "#7c3aed", "#dc2626", "#0891b2")
"""Colours of series, in order; the first is train, the second eval."""

_WIDE = 8.0
"""Inches from which on a figure keeps its size in narrow windows."""

STYLE = """
:root { color-scheme: light;
  --ink: #1f2937; --ink-soft: #374151; --muted: #6b7280; --faint: #9ca3af; --ground: #f3f4f6; --paper: #fff;
  --inset: #f9fafb; --line: #e5e7eb; --good: #047857; --good-ground: #d1fae5; --good-line: #059669;
  --good-box: #ecfdf5; --bad: #b91c1c; --bad-ground: #fee2e2; --bad-line: #dc2626; --bad-box: #fef2f2;
  --cached: #1d4ed8; --cached-ground: #dbeafe; --warn: #b45309; --warn-ground: #fef3c7; --mark: #fffbeb;
  --accent: #2563eb; --open: #eef2ff; --open-line: #c7d2fe; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); margin: 0; }
main { max-width: 1080px; margin: 0 auto; padding: 24px; }
h1 { font-size: 26px; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 0 0 12px; }
h3 { font-size: 15px; margin: 16px 0 6px; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 20px 24px; }
section { margin: 16px 0; overflow-x: auto; }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--muted); font-weight: 600; } td.number, th.number { text-align: right; }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; }
.muted { color: var(--muted); }
svg, img { max-width: 100%; height: auto; }
svg.wide { min-width: 640px; }
code { font-size: 13px; background: var(--ground); padding: 1px 4px; border-radius: 4px; }
"""
"""Of every page: the colours by what they are for, and what is made of them. Figures are drawn for light ones."""

_ADJUSTABLE = "data-adjustable"
_ADJUSTING = Path(__file__).with_name("adjustable.js")

_BODY = re.compile(r"<!--content-->(.*)<!--/content-->", re.DOTALL)


class Html(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


def escape(value: object) -> Html:
    """Returns `value` as HTML text; `Html` passes unchanged, floats get six significant digits, None is a dash.

    Characters that nobody sees, or that would turn the text around them, are shown as escapes.
    """
    if isinstance(value, Html):
        return value
    if value is None:
        return Html("–")
    if isinstance(value, float):
        return Html(f"{value:.6g}")
    return Html(html.escape(visible(str(value))))


def text(value: object, css_class: str) -> Html:
    """A span in one of the page's styles: good, bad, muted."""
    return Html(f'<span class="{css_class}">{escape(value)}</span>')


def paragraph(*parts: object) -> Html:
    """A paragraph of parts, each escaped."""
    return Html(f"<p>{''.join(escape(part) for part in parts)}</p>")


def heading(title: object) -> Html:
    """A heading inside a section."""
    return Html(f"<h3>{escape(title)}</h3>")


def table(headers: Sequence[object], rows: Iterable[Sequence[object]]) -> Html:
    """A table; numbers are set right."""
    materialised = [list(row) for row in rows]
    numeric = [
        bool(materialised) and all(isinstance(row[column], int | float) or row[column] is None for row in materialised)
        for column in range(len(headers))
    ]
    marks = [' class="number"' if right else "" for right in numeric]
    head = "".join(f"<th{mark}>{escape(cell)}</th>" for mark, cell in zip(marks, headers, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{mark}>{escape(cell)}</td>" for mark, cell in zip(marks, row, strict=True)) + "</tr>"
        for row in materialised
    )
    return Html(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def figure(width: float, height: float) -> Figure:
    """A Matplotlib figure, size in inches, in the page's style; `drawing` turns it into HTML."""
    import matplotlib
    from cycler import cycler
    from matplotlib.figure import Figure

    matplotlib.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "millrace",
            "font.size": 9,
            "font.family": "sans-serif",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "#9ca3af",
            "axes.grid": True,
            "grid.color": "#e5e7eb",
            "axes.axisbelow": True,
            "xtick.color": "#6b7280",
            "ytick.color": "#6b7280",
            "axes.prop_cycle": cycler(color=COLORS),
        }
    )
    return Figure(figsize=(width, height), layout="constrained")


def drawing(figure: Figure, description: str) -> Html:
    """A figure as inline SVG, the same bytes for the same drawing.

    Args:
      figure: what `figure` returned.
      description: what a person who cannot see it should know.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    svg = visible(buffer.getvalue())
    # In a narrow window a section scrolls: a wide figure made to fit could not be read.
    size = ' class="wide"' if figure.get_figwidth() > _WIDE else ""
    marks = f'<svg role="img"{size} aria-label="{escape(description)}" '
    svg = svg[svg.index("<svg") :].replace("<svg ", marks, 1)
    return Html(svg)


def section(title: object, *parts: object) -> Html:
    """A titled part of a page."""
    return Html(f"<section><h2>{escape(title)}</h2>{''.join(escape(part) for part in parts)}</section>")


def adjustable(
    at: Sequence[float | None], groups: Sequence[Mapping[str, Any]], chosen: Mapping[str, Sequence[int]]
) -> Html:
    """A table of what decisions about groups come to, at thresholds that a person moves.

    Args:
      at: the thresholds; None is above all.
      groups: of each `name`, `rows`, `labelled` (rows whose label is 1), and by threshold `right` and `wrong`: rows
        that are decided to be positive, and are labelled so or not.
      chosen: places in `at`, by group, under a name that says what they are for; the first is shown.
    """
    told = json.dumps({"at": at, "groups": groups, "chosen": chosen})
    # Who puts this into another page looks for attributes that do something, and for links that do.
    told = told.replace("=", r"\u003d").replace("script:", r"script\u003a")
    without = paragraph(text("Thresholds can be moved here where scripts may run: open the page itself.", "muted"))
    return Html(f'<div {_ADJUSTABLE}="{escape(told)}"><noscript>{without}</noscript></div>')


def page(title: object, *sections: Html) -> str:
    """A whole HTML document."""
    joined = "".join(sections)
    script = f"<script>{_ADJUSTING.read_text()}</script>" if _ADJUSTABLE in joined else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main><h1>{escape(title)}</h1>"
        f"<!--content-->{joined}<!--/content--></main>{script}</body></html>\n"
    )


def content(document: str) -> Html:
    """The sections of a document that `page` made, to be put into another page."""
    found = _BODY.search(document)
    if found is None:
        raise ValueError("not a page of components.runtime.stage.report")
    return Html(found[1])
