"""What the model goes by on the whole: the mean size of attributions, and the attributions behind it."""

from __future__ import annotations

import numpy as np

from components.explain.findings import Findings
from components.explain.page.labels import shares, short, unit
from components.runtime.stage.report import COLORS, Html, drawing, figure, paragraph, section, table, text

_MOST = 20
_GREY = "#9ca3af"


def part(findings: Findings, facts: Html) -> Html:
    """The section."""
    found = findings.attributions
    mean, half = findings.importance
    order = findings.order[:_MOST]
    rows = [
        [found.features[place], float(mean[place]), None if np.isnan(half[place]) else float(half[place])]
        for place in order
    ]
    note = (
        f"Left: mean size of each feature's Shapley values to the {unit(findings)}, with 95 % intervals over rows. "
        "Right: the values "
        "themselves, a dot for each row; blue where the feature is low, orange where it is high, grey where it is "
        "no number."
    )
    parts: list[object] = [facts, _drawn(findings, order), paragraph(text(note, "muted"))]
    parts.append(table(["feature", "mean size", "± 95 %"], rows))
    if len(found.features) > _MOST:
        parts.append(paragraph(text(f"the {_MOST} largest of {len(found.features)} features", "muted")))
    return section("What it goes by", *parts)


def _drawn(findings: Findings, order: list[int]) -> Html:
    found, own = findings.attributions, findings.own
    mean, half = findings.importance
    drawn = figure(10, 1.0 + 0.32 * len(order))
    left, right = drawn.subplots(1, 2, sharey=True, width_ratios=[1, 1.6])
    lines = np.arange(len(order))
    left.barh(
        lines, mean[order], xerr=np.nan_to_num(half[order]), color=COLORS[0], ecolor="#1f2937", height=0.62, capsize=2
    )
    left.set_xlabel("mean size of attributions")
    left.set_yticks(lines, [short(found.features[place]) for place in order])
    left.invert_yaxis()
    random = np.random.default_rng(0)
    from matplotlib.colors import LinearSegmentedColormap

    scale = LinearSegmentedColormap.from_list("low to high", [COLORS[0], "#c4b5fd", COLORS[1]])
    for line, place in enumerate(order):
        values = own[:, place]
        high = shares(findings.rows[found.features[place]])
        color = [_GREY] * len(values)
        if high is not None:
            color = [_GREY if np.isnan(each) else scale(each) for each in high[findings.explained]]
        right.scatter(values, line + random.uniform(-0.28, 0.28, len(values)), s=7, c=color, linewidths=0, alpha=0.85)
    right.axvline(0, color="#6b7280", linewidth=0.8)
    right.set_xlabel(f"attribution to the {unit(findings)}")
    names = ", ".join(found.features[place] for place in order[:3])
    return drawing(drawn, f"Mean size of attributions by feature, and the attributions of each row; largest: {names}")
