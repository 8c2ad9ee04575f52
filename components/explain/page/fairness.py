"""Decision thresholds between the groups of a feature, for each goal, and what each costs."""

from __future__ import annotations

import math

import numpy as np

from components.explain.document import counts
from components.explain.findings import FEWEST, MOST_GROUPS, Fairness
from components.explain.page.labels import cut, short
from components.runtime.explaining.thresholds import CAVEAT, GOALS, ONE, THRESHOLDS
from components.runtime.stage.report import (
    COLORS,
    Html,
    adjustable,
    drawing,
    figure,
    heading,
    paragraph,
    section,
    table,
    text,
)

_RATES = {"positive": "positive rate", "true_positive": "true positive rate", "false_positive": "false positive rate"}


def part(found: Fairness) -> Html:
    """The section of one feature."""
    title = f"Decision thresholds by {found.feature}"
    if not found.chosen:
        return section(
            title,
            paragraph(
                f"None: fewer than two groups have {FEWEST} examples of which some have label 1 and some 0 "
                f"({len(found.rows)} values in all)."
            ),
        )
    one = next(each for each in found.chosen if each.goal == ONE)
    names = [group.name for group in found.groups]
    rows = [
        [
            each.goal,
            *[_threshold(each.thresholds[name]) for name in names],
            f"{each.accuracy:.4f}",
            "" if each is one else f"{each.accuracy - one.accuracy:+.4f}",
            f"{each.gap:.3f}" if GOALS[each.goal] else "",
        ]
        for each in found.chosen
    ]
    groups = ", ".join(f"{group.name} ({group.rows:,})" for group in found.groups)
    parts: list[object] = [
        paragraph(
            "From which answer on a row is decided to be positive, so that the share of positive decisions "
            "(demographic parity), the "
            "true positive rate (equal opportunity), or that and the false positive rate (equalised odds) of any "
            "two groups are alike, and "
            "the most decisions are right."
        ),
        paragraph(text(f"Groups: {groups}.", "muted")),
        _drawn(found),
        table(["goal", *[cut(name, 30) for name in names], "accuracy", "against one threshold", "largest gap"], rows),
        heading("At thresholds of your own"),
        adjustable(
            [float(each) if math.isfinite(each) else None for each in THRESHOLDS],
            [{"name": group.name, **counts(group)} for group in found.groups],
            {each.goal: [_place(each.thresholds[name]) for name in names] for each in found.chosen},
        ),
    ]
    if found.left_out:
        listed = ", ".join(f"{cut(name, 30) or '(missing)'} ({found.rows[name]:,})" for name in found.left_out[:20])
        more = f" and {len(found.left_out) - 20} more" if len(found.left_out) > 20 else ""
        compared = f"the {MOST_GROUPS} largest groups" if len(found.groups) == MOST_GROUPS else "all groups"
        rule = f"{compared} of {FEWEST} examples or more with both labels are compared"
        parts.append(paragraph(text(f"Left out, for {rule}: {listed}{more}.", "muted")))
    parts.append(paragraph(text(CAVEAT, "muted")))
    return section(title, *parts)


def _threshold(value: float) -> str:
    return "none positive" if math.isinf(value) else f"{value:.2f}"


def _place(threshold: float) -> int:
    return int(np.searchsorted(THRESHOLDS, threshold))


def _drawn(found: Fairness) -> Html:
    drawn = figure(10.5, 5.6)
    grid = drawn.subplots(2, 3)
    finite = np.isfinite(THRESHOLDS)
    for axes, (rate, title) in zip(grid[0], _RATES.items(), strict=True):
        for group, color in zip(found.groups, _colors(len(found.groups)), strict=True):
            axes.plot(THRESHOLDS[finite], getattr(group, rate)[finite], color=color, label=short(group.name, 20))
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_xlabel("threshold")
        axes.set_ylim(-0.03, 1.03)
    grid[0, 0].legend(frameon=False, fontsize=7)
    places = np.arange(len(found.chosen))
    goals = [each.goal for each in found.chosen]
    for axes, (rate, title) in zip(grid[1], _RATES.items(), strict=True):
        for group, color in zip(found.groups, _colors(len(found.groups)), strict=True):
            values = [each.rates[group.name][rate] for each in found.chosen]
            axes.scatter(values, places, color=color, s=26, zorder=3)
        for place, each in enumerate(found.chosen):
            ends = [each.rates[group.name][rate] for group in found.groups]
            axes.plot([min(ends), max(ends)], [place, place], color="#9ca3af", linewidth=2, zorder=2)
        axes.set_xlim(-0.03, 1.03)
        axes.set_xlabel(title)
        axes.set_yticks(places, goals if axes is grid[1, 0] else [""] * len(goals), fontsize=8)
        axes.invert_yaxis()
    return drawing(drawn, f"Rates of the groups of {found.feature} by threshold, and at the thresholds of each goal")


def _colors(count: int) -> list[str]:
    return [COLORS[place % len(COLORS)] for place in range(count)]
