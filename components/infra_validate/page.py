"""The page: what was asked of the model as it was served, and what it came to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.infra_validate.asking import Speed
from components.infra_validate.checks import Check, Measured
from components.runtime.stage.report import COLORS, Html, drawing, figure, page, paragraph, section, table, text

_TITLE = "Serving check"


def not_served(reason: str) -> str:
    """The page of a model that was not served."""
    return page(_TITLE, section("Not served", paragraph("The model is not blessed: ", reason)))


def render(server: str, checks: Sequence[Check], measured: Measured, reason: str) -> str:
    """The page as HTML.

    Args:
      server: as people call it.
      checks: all of them.
      measured: what serving costs.
      reason: the verdict in a line.
    """
    passed = all(each.holds is not False for each in checks)
    parts = [
        section(
            "Whether it is fit to be served",
            paragraph(text(("yes: " if passed else "no: ") + reason, "good" if passed else "bad")),
            table(["", "found", "has to be", "holds"], [[c.title, c.found, c.wanted, _sign(c)] for c in checks]),
        )
    ]
    if any(len(each.latencies) for each in measured.speeds):
        told = [
            [each.at_once, len(each.latencies), each.percentile(50), each.percentile(99), each.per_second]
            for each in measured.speeds
        ]
        parts.append(
            section(
                "How fast it answers",
                paragraph(
                    f"Requests of one row each by REST to {server}, from the same machine, whose processors who asks "
                    "and who answers share."
                ),
                _drawn(measured.speeds),
                table(["at once", "requests", "median, ms", "99 %, ms", "requests a second"], told),
            )
        )
    return page(_TITLE, *parts)


def _sign(check: Check) -> Html | str:
    if check.holds is None:
        return ""
    return text("yes", "good") if check.holds else text("no", "bad")


def _drawn(speeds: Sequence[Speed]) -> Html:
    answered = [each for each in speeds if len(each.latencies)]
    drawn = figure(9, 3.2)
    left, right = drawn.subplots(1, 2)
    for each, color in zip(answered, _colors(len(answered)), strict=True):
        values = np.sort(each.latencies)
        shares = np.arange(1, len(values) + 1) / len(values) * 100
        left.step(values, shares, where="post", color=color, label=f"{each.at_once} at once")
    left.set_xscale("log")
    left.set_xlabel("latency, ms")
    left.set_ylabel("% of requests below")
    left.set_ylim(0, 101)
    left.legend(frameon=False, loc="upper left")
    places = np.arange(len(answered))
    bars = right.bar(places, [each.per_second for each in answered], color=list(_colors(len(answered))), width=0.6)
    right.bar_label(bars, [f"{each.per_second:,.0f}" for each in answered], padding=2)
    right.set_xticks(places, [f"{each.at_once}" for each in answered])
    right.set_xlabel("requests at once")
    right.set_ylabel("requests a second")
    right.margins(y=0.15)
    return drawing(drawn, "Latencies of the requests, and how many were answered a second, by how many came at once")


def _colors(count: int) -> list[str]:
    return [COLORS[place % len(COLORS)] for place in range(count)]
