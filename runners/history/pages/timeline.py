"""Draws when each task of a run worked, its start-up apart from its work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from components.runtime.lineage.times import last_attempt
from components.runtime.stage.report import Html, escape
from runners.history.pages.task_graph import FILLS, depths
from runners.history.records import Run, Task
from runners.terminal import text

_LABEL, _CHART, _NOTE, _ROW = 165, 740, 95, 24
_START_UP = "#c4b5fd"
_LEGEND = (("work", "done"), ("failed", "failed"), ("stopped", "stopped"))


@dataclass(frozen=True)
class Span:
    """When a task worked, in seconds since the run's start.

    Attributes:
      begin: None where that is unknown, or it did not.
      seconds: how long; None where nobody knows, as while it still works.
      start_up: of these until it began with its own work.
    """

    task: Task
    begin: float | None = None
    seconds: float | None = None
    start_up: float = 0.0


def spans(run: Run) -> list[Span]:
    """When each task worked: first those from the cache, then the others as they began, then those that never did."""
    depth = depths(run.tasks)
    return sorted((_span(run, task) for task in run.tasks), key=lambda span: (*_order(span), depth[span.task.name]))


def timeline(rows: Sequence[Span]) -> Html:
    """A bar for each task as SVG."""
    end = max((span.begin + (span.seconds or 0.0) for span in rows if span.begin is not None), default=0.0) or 1.0
    step = _tick(end)
    ticks = [step * number for number in range(int(end / step) + 1)]
    height = _ROW * len(rows)
    width = _LABEL + _CHART + _NOTE
    drawn = []
    for tick in ticks:
        x = _x(tick, end)
        drawn.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}" stroke="#e5e7eb"/>'
            f'<text x="{x:.1f}" y="{height + 15}" text-anchor="middle" fill="#6b7280">{tick:g} s</text>'
        )
    drawn += [_bar(number, span, end) for number, span in enumerate(rows)]
    return Html(
        f'<svg role="img" aria-label="When each task worked" viewBox="0 -4 {width} {height + 26}" width="{width}" '
        f'xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" font-size="12">{"".join(drawn)}</svg>'
    )


def legend() -> Html:
    """What the colours mean."""
    entries = [("start-up", _START_UP), *((name, FILLS[state][1]) for name, state in _LEGEND)]
    return Html(
        '<p class="legend">'
        + "".join(f'<span><i style="background:{colour}"></i>{escape(name)}</span>' for name, colour in entries)
        + "</p>"
    )


def _span(run: Run, task: Task) -> Span:
    if task.state in ("cached", "skipped", "waiting") or run.started is None:
        return Span(task)
    execution = run.executions.get(task.name)
    begin, finish = task.started, None
    if execution and execution.run == run.id:
        begin, finish = execution.started, execution.finished
    if begin is None:
        begin, finish = last_attempt(run.root, run.id, task.name)
    if begin is None:
        return Span(task)
    # (Records of earlier versions have 0 for what nobody knows.)
    seconds = task.seconds or ((finish - begin).total_seconds() if finish else None)
    if seconds is not None:
        seconds = max(seconds, 0.0)
    start_up = min(task.start_up_seconds or 0.0, seconds or 0.0)
    # Nothing began before its run: where it says so, the clock was set back.
    return Span(task, max((begin - run.started).total_seconds(), 0.0), seconds, start_up)


def _order(span: Span) -> tuple[int, float]:
    if span.begin is not None:
        return 1, span.begin
    return (0 if span.task.state == "cached" else 2), 0.0


def _tick(end: float) -> float:
    """A round step that gives at most ten ticks."""
    power = 10.0 ** math.floor(math.log10(end / 10))
    return next(power * factor for factor in (1, 2, 5, 10) if end / (power * factor) <= 10)


def _x(seconds: float, end: float) -> float:
    return _LABEL + _CHART * seconds / end


def _bar(number: int, span: Span, end: float) -> str:
    y = number * _ROW
    middle = y + _ROW / 2 + 4
    faint = span.begin is None
    label = f'<text x="{_LABEL - 10}" y="{middle}" text-anchor="end" fill="{"#9ca3af" if faint else "#1f2937"}">'
    parts = [f"{label}{escape(span.task.name)}</text>"]
    if span.begin is None:
        parts.append(f'<text x="{_LABEL + 4}" y="{middle}" fill="#9ca3af">{escape(span.task.state)}</text>')
        return "".join(parts)
    colour = FILLS.get(span.task.state, FILLS["done"])[1]
    ends = (span.begin, span.begin + span.start_up, span.begin + (span.seconds or 0.0))
    left, between, right = (_x(at, end) for at in ends)
    parts.append(_rectangle(left, y, max(right - left, 1.5), colour))
    if between - left >= 0.5:
        parts.append(_rectangle(left, y, between - left, _START_UP))
    note = span.task.state if span.seconds is None else text.duration(span.seconds)
    parts.append(f'<text x="{max(right, left + 1.5) + 6:.1f}" y="{middle}" fill="#374151">{escape(note)}</text>')
    return "".join(parts)


def _rectangle(x: float, y: float, width: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y + 4}" width="{width:.1f}" height="{_ROW - 8}" rx="3" fill="{colour}"/>'
