"""Single rows: what added up to the answer, and the nearest example that is answered otherwise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from components.explain.findings import Findings
from components.explain.page.labels import is_plain, short, value
from components.runtime.stage.report import COLORS, Html, drawing, figure, heading, paragraph, section, table, text

_FEATURES = 8
_DIFFERING = 8
_UP, _DOWN = COLORS[1], COLORS[0]


def part(findings: Findings) -> Html:
    """The rows that are shown, from the highest answer to the lowest."""
    note = (
        "From the mean answer to the background rows (dotted) to the answer to the row: each feature's part in it, "
        "the largest first. "
        "The parts add up; the lines on the bars are the standard error that comes of which background rows and "
        "orders were drawn."
    )
    number = len(findings.shown)
    columns = 2
    lines = min(len(findings.attributions.features), _FEATURES + 1)
    drawn = figure(10.5, (1.05 + 0.24 * lines) * math.ceil(number / columns))
    panels = drawn.subplots(math.ceil(number / columns), columns, squeeze=False).ravel()
    for panel, place in zip(panels, findings.shown, strict=False):
        _waterfall(panel, findings, place)
    for panel in panels[number:]:
        panel.set_axis_off()
    return section(
        "Single rows",
        paragraph(text(note, "muted")),
        drawing(drawn, f"Attributions of {number} rows, feature by feature"),
    )


def _waterfall(axes: Any, findings: Findings, place: int) -> None:
    found, at, target = findings.attributions, findings.explained[place], int(findings.targets[place])
    values, errors = found.values[place, :, target], found.errors[place, :, target]
    order = np.argsort(-np.abs(values), kind="stable")
    largest, rest = order[:_FEATURES], order[_FEATURES:]
    parts = [float(values[each]) for each in largest]
    spread = [float(np.nan_to_num(errors[each])) for each in largest]
    names = []
    for each in largest:
        feature = found.features[each]
        said = value(findings.rows[feature], at, 16)
        names.append(f"{short(feature, 26)} = {short(said)}" if said else short(feature, 30))
    if len(rest):
        parts.append(float(values[rest].sum()))
        spread.append(0.0)
        names.append(f"{len(rest)} others")
    start = float(found.baseline[target])
    begun = start + np.cumsum([0.0, *parts[:-1]])
    lines = np.arange(len(parts))
    colors = [_UP if each >= 0 else _DOWN for each in parts]
    axes.barh(
        lines, parts, left=begun, xerr=spread, color=colors, ecolor="#374151", error_kw={"linewidth": 0.8}, height=0.66
    )
    axes.axvline(start, color="#6b7280", linewidth=0.8, linestyle=":")
    axes.axvline(float(found.answers[place, target]), color="#1f2937", linewidth=0.8)
    axes.set_yticks(lines, names, fontsize=7.5)
    axes.invert_yaxis()
    axes.use_sticky_edges = False
    axes.margins(x=0.08)
    answered = short(f"answer {findings.subject.told(found.answers[place])}", 40)
    axes.set_title(f"{answered}{_label(findings, at)}", fontsize=8.5, loc="left", weight="bold")


def _label(findings: Findings, at: int) -> str:
    """The label of an example, in a line of its own; nothing where it is not known."""
    if findings.labels is None:
        return ""
    label, classes = findings.labels[at], findings.subject.classes
    is_class = findings.labels.dtype.kind in "iu" and 0 <= label < len(classes)
    return f"\nlabel {short(classes[int(label)], 34) if is_class else f'{label:g}'}"


def others(findings: Findings) -> Html:
    """Of each row shown the nearest example with another answer."""
    note = (
        "Of the examples that there are, the nearest with another answer, and in what the two differ, the most "
        "distant first. "
        "Distance: the mean over features; of numbers the share of examples between them, of texts the share of "
        "words that one of them "
        "alone has."
    )
    pairs: list[str] = []
    for place, other in zip(findings.shown, findings.others, strict=True):
        at = findings.explained[place]
        told = findings.subject.told
        if other is None:
            continue
        differs = [name for name in other.differs if is_plain(findings.rows[name])]
        rows = [
            [name, value(findings.rows[name], at, 80), value(findings.rows[name], other.row, 80)]
            for name in differs[:_DIFFERING]
        ]
        rows.append([text("answer", "muted"), told(findings.answers[at]), told(findings.answers[other.row])])
        more = f"; {len(differs) - _DIFFERING} more features differ" if len(differs) > _DIFFERING else ""
        title = heading(f"Answer {told(findings.answers[at])}: distance {other.distance:.3f}{more}")
        pair = table(["feature", "this row", "nearest other answer"], rows)
        pairs.append(f'<div style="min-width: 0; overflow-x: auto">{title}{pair}</div>')
    beside = "display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 420px), 1fr)); gap: 0 24px"
    return section(
        "Nearest other answers", paragraph(text(note, "muted")), Html(f'<div style="{beside}">{"".join(pairs)}</div>')
    )
