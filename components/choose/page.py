"""The page of the choice: every candidate beside the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from components.choose.candidates import INTERVAL, Candidate, Choice
from components.runtime.stage.report import COLORS, Html, escape, page, paragraph, section, table, text

_LABELS, _WIDTH, _VALUES, _LINE = 150, 420, 90, 30
"""Of the drawing, in pixels: room for the names, for the scale, for the numbers, and the height of a candidate."""


def render(candidates: Sequence[Candidate], choice: Choice) -> str:
    """The page as HTML."""
    return page(
        "Candidates",
        section("Which one", paragraph(_headline(choice)), _summary(candidates, choice), _dots(candidates, choice)),
        section("Metrics over all examples", _metrics(candidates, choice)),
        section("Thresholds", _thresholds(candidates)),
    )


def _headline(choice: Choice) -> Html:
    return text(choice.why, "good" if choice.best.blessed else "bad")


def _summary(candidates: Sequence[Candidate], choice: Choice) -> Html:
    rows = [
        [
            each.name,
            each.metrics.get(choice.metric),
            text("yes", "good") if each.blessed else text("no", "bad"),
            text("chosen", "good") if each is choice.best and each.blessed else "",
            _reason(each.reason),
        ]
        for each in candidates
    ]
    return table(["candidate", f"{choice.metric} ({choice.better} is better)", "blessed", "", "why"], rows)


def _reason(reason: str) -> Html:
    """Keeps lines of some length in a narrow window, where the table scrolls."""
    return Html(f'<div style="min-width: 16em">{escape(reason)}</div>')


def _dots(candidates: Sequence[Candidate], choice: Choice) -> Html:
    """The metric that decided, with its interval where there is one, on one scale; nothing where there is no scale."""
    spans = {each.name: _span(each, choice.metric) for each in candidates if choice.metric in each.metrics}
    ends = [end for low, _, high in spans.values() for end in (low, high)]
    if not ends or min(ends) == max(ends):
        return Html("")
    first, room = min(ends), max(ends) - min(ends)
    place: Callable[[float], float] = lambda value: _LABELS + 10 + (value - first) / room * (_WIDTH - 20)  # noqa: E731
    drawn = []
    for line, (name, (low, value, high)) in enumerate(spans.items()):
        y = line * _LINE + _LINE / 2
        color = COLORS[2] if name == choice.best.name and choice.best.blessed else COLORS[0]
        drawn.append(
            f'<text x="{_LABELS - 10}" y="{y + 4}" text-anchor="end">{escape(name)}</text>'
            f'<line x1="{_LABELS}" x2="{_LABELS + _WIDTH}" y1="{y}" y2="{y}" stroke="#e5e7eb"/>'
            f'<line x1="{place(low):.1f}" x2="{place(high):.1f}" y1="{y}" y2="{y}" stroke="{color}" stroke-width="3" '
            f'opacity="0.4"/><circle cx="{place(value):.1f}" cy="{y}" r="5" fill="{color}"/>'
            f'<text x="{_LABELS + _WIDTH + 10}" y="{y + 4}">{value:.4g}</text>'
        )
    told = "; ".join(f"{name} {value:.4g}" for name, (_, value, _) in spans.items())
    wide, high = _LABELS + _WIDTH + _VALUES, _LINE * len(spans)
    has_intervals = any(low < high for low, _, high in spans.values())
    about = paragraph(text(f"{choice.metric}, with its 95% interval", "muted")) if has_intervals else ""
    return Html(
        f'<h3>{escape(choice.metric)}</h3><svg role="img" aria-label="{escape(choice.metric)}: {escape(told)}" '
        f'viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" font-size="13" fill="currentColor">'
        f"{''.join(drawn)}</svg>{about}"
    )


def _span(candidate: Candidate, metric: str) -> tuple[float, float, float]:
    """Lower end, value and upper end of a metric."""
    value = candidate.metrics[metric]
    low, high = (candidate.metrics.get(f"{metric}{end}", value) for end in INTERVAL)
    return low, value, high


def _metrics(candidates: Sequence[Candidate], choice: Choice) -> Html:
    names = dict.fromkeys(name for each in candidates for name in each.metrics if not name.endswith(INTERVAL))
    better = {name: way for each in reversed(candidates) for name, way in each.better.items()}
    better[choice.metric] = choice.better
    rows = [[name, *_row(candidates, name, better.get(name, ""))] for name in names]
    return table(["metric", *(each.name for each in candidates)], rows)


def _row(candidates: Sequence[Candidate], name: str, better: str) -> Iterator[object]:
    """A metric of every candidate; the best stands out where a threshold says which way it is better."""
    values = [each.metrics[name] for each in candidates if name in each.metrics]
    best = {"higher": max, "lower": min}[better](values) if better and len(set(values)) > 1 else None
    for each in candidates:
        value = each.metrics.get(name)
        shown = escape(value)
        # (Where some cells of a column are marked, none is set as a number.)
        yield text(shown, "good") if value is not None and value == best else shown


def _thresholds(candidates: Sequence[Candidate]) -> Html:
    lines: dict[tuple[str, str, str], dict[str, dict[str, Any]]] = {}
    for each in candidates:
        for outcome in each.thresholds:
            key = (str(outcome.get("metric")), str(outcome.get("slice")), str(outcome.get("bound")))
            lines.setdefault(key, {})[each.name] = outcome
    if not lines:
        return paragraph(text("No evaluation sets a threshold.", "muted"))
    rows = [[*key, *(_outcome(found.get(each.name)) for each in candidates)] for key, found in lines.items()]
    return table(["metric", "slice", "threshold", *(each.name for each in candidates)], rows)


def _outcome(outcome: dict[str, Any] | None) -> Html:
    """What came of a threshold for one candidate."""
    if outcome is None:
        return text("none", "muted")
    if outcome.get("passed") is None:
        return text("not applied", "muted")
    value = outcome.get("value")
    shown = "not computed" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text(f"{shown}, {'holds' if outcome['passed'] else 'fails'}", "good" if outcome["passed"] else "bad")
