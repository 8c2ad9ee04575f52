"""The page that puts two runs side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from components.runtime.stage.artifacts import write_whole
from components.runtime.stage.report import COLORS, Html, drawing, escape, figure, page, section
from runners.history.candidates import Candidate, candidates
from runners.history.comparison import Comparison, MetricRow, Row
from runners.history.evaluations import of_execution
from runners.history.pages import page_parts as parts
from runners.history.pages.embedding import embed
from runners.history.pages.evaluation_curves import curves
from runners.history.records import Run
from runners.terminal import text

_LEFT, _RIGHT = COLORS[0], COLORS[1]


def write(compared: Comparison, file: Path) -> Path:
    """Writes the page of a comparison and returns its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, render(compared))
    return file


def render(compared: Comparison) -> str:
    """The page as HTML."""
    left, right = compared.left, compared.right
    names = (left.id, right.id)
    sections = [
        _headline(compared),
        section("What came of them", _table(("", *names), compared.summary)),
        section("Metrics", _metric_table(compared.metrics, names), *_figures(compared)),
        section("Parameters", _differing(compared.parameters, names, "parameters")),
        section("Files", _differing(compared.files, names, "files")) if compared.files else Html(""),
        section("Artifacts", _differing(compared.artifacts, names, "artifacts")),
        section("Seconds of each task", _seconds_figure(compared)) if compared.seconds else Html(""),
        section("Work", _metric_table(compared.work, names)) if compared.work else Html(""),
    ]
    document = page(f"{left.id} and {right.id}", *(each for each in sections if each))
    # Figures of one page share ids; a browser would take the first one's clip path for all.
    head, body, tail = _parted(document)
    return parts.portable(f"{head}{parts.STYLE}{embed(body, 'c')}{tail}", left.root)


def _parted(document: str) -> tuple[str, str, str]:
    begin, end = document.index("<!--content-->"), document.index("<!--/content-->") + len("<!--/content-->")
    return document[:begin], document[begin:end], document[end:]


def _headline(compared: Comparison) -> Html:
    entries = []
    better = sum(row.is_better is True for row in compared.metrics)
    worse = sum(row.is_better is False for row in compared.metrics)
    entries.append(parts.fact(better, "metrics better"))
    entries.append(parts.fact(worse, "metrics worse"))
    entries.append(parts.fact(sum(row.differs for row in compared.parameters), "parameters differ"))
    if compared.files:
        entries.append(parts.fact(sum(row.differs for row in compared.files), "files differ"))
    changed = sum(row.differs for row in compared.artifacts)
    entries.append(parts.fact(f"{changed} of {len(compared.artifacts)}", "artifacts differ"))
    return Html(
        '<section><div class="hero"><div class="name">Comparison of two runs</div></div>'
        f"{_run_line(compared.left, _LEFT)}{_run_line(compared.right, _RIGHT)}{parts.facts(entries)}</section>"
    )


def _run_line(run: Run, colour: str) -> Html:
    return Html(
        f'<p class="legend"><i style="background:{colour}"></i><b>{escape(run.id)}</b> · {escape(run.pipeline)} · '
        f"{parts.time(run.started)} · {escape(text.duration(run.elapsed))} {parts.badge(run.state)}</p>"
    )


def _table(headers: Sequence[str], rows: Sequence[Row]) -> Html:
    head = "".join(f"<th>{escape(header)}</th>" for header in headers)
    body = "".join(
        f'<tr class="{"differs" if row.differs else ""}"><td>{escape(row.name)}</td><td>{_cell(row.left)}</td>'
        f"<td>{_cell(row.right)}</td></tr>"
        for row in rows
    )
    return Html(f'<table class="two"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>')


def _cell(value: str | None) -> Html:
    if value is None:
        return Html('<span class="muted">none</span>')
    if "sha256:" in value:
        return Html(f'<code title="{escape(value)}">{escape(text.short(value))}</code>')
    return escape(value)


def _differing(rows: Sequence[Row], names: tuple[str, str], what: str) -> Html:
    """The rows that differ; the others folded away."""
    unlike = [row for row in rows if row.differs]
    alike = [row for row in rows if not row.differs and not row.unknown]
    unknown = [row for row in rows if row.unknown]
    none = f"No {what} are known to differ." if unknown else f"All {what} are the same."
    shown = _table(("", *names), unlike) if unlike else Html(f'<p class="muted">{none}</p>')
    for folded, are in ((alike, "are the same"), (unknown, "are of tasks that have not finished in both runs")):
        if folded:
            table = _table(("", *names), folded)
            summary = f"<summary>{len(folded)} {what} {are}</summary>"
            shown = Html(f'{shown}<details class="plain">{summary}{table}</details>')
    return shown


def _metric_table(rows: Sequence[MetricRow], names: tuple[str, str]) -> Html:
    if not rows:
        return Html('<p class="muted">Neither run has metrics.</p>')
    head = "".join(f'<th class="number">{escape(name)}</th>' for name in (*names, "difference"))
    body = []
    for row in rows:
        tone = "" if row.is_better is None else "good" if row.is_better else "bad"
        difference = "" if row.difference is None else text.signed(row.difference) if row.differs else "0"
        cells = [_number(row.left), _number(row.right), Html(f'<span class="{tone}">{escape(difference)}</span>')]
        marked = "differs" if row.differs else ""
        body.append(
            f'<tr class="{marked}"><td>{escape(row.name)}</td>'
            + "".join(f'<td class="number">{escape(cell)}</td>' for cell in cells)
            + "</tr>"
        )
    return Html(f'<table class="two"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>')


def _number(value: float | None) -> Html:
    return Html('<span class="muted">none</span>') if value is None else escape(text.number(value))


def _figures(compared: Comparison) -> Iterator[Html]:
    evaluated = {}
    for run in (compared.left, compared.right):
        found = candidates(run)
        for each in found or [Candidate("", execution) for execution in run.of_stage("evaluate")]:
            evaluated[f"{run.id}/{each.name}".rstrip("/")] = of_execution(each.evaluation)
    yield from curves(evaluated)
    shares = [row for row in compared.metrics if _is_share(row.left) and _is_share(row.right)]
    if shares:
        drawn = figure(9.0, 0.9 + 0.42 * len(shares))
        axes = drawn.add_subplot()
        _bars(axes, [row.name for row in shares], [row.left for row in shares], [row.right for row in shares])
        axes.set_xlim(0, 1)
        yield drawing(drawn, "Metrics between 0 and 1 of both runs, side by side")


def _is_share(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and 0 <= value <= 1


def _seconds_figure(compared: Comparison) -> Html:
    drawn = figure(9.0, 0.9 + 0.42 * len(compared.seconds))
    axes = drawn.add_subplot(xlabel="seconds of the execution, also where it came from the cache")
    names = [name for name, *_ in compared.seconds]
    _bars(axes, names, [left for _, left, _ in compared.seconds], [right for *_, right in compared.seconds])
    return drawing(drawn, "Seconds of each task in both runs")


def _bars(axes: Any, names: Sequence[str], left: Sequence[float | None], right: Sequence[float | None]) -> None:
    places = range(len(names))
    axes.barh([place - 0.18 for place in places], [value or 0 for value in left], 0.32, color=_LEFT)
    axes.barh([place + 0.18 for place in places], [value or 0 for value in right], 0.32, color=_RIGHT)
    axes.set_yticks(list(places), names)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
