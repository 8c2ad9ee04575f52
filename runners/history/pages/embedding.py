"""Puts the pages that stages made into a run's page."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from components.runtime.records.facts import which
from components.runtime.stage.report import Html, content, escape
from runners.history.executions import Execution
from runners.history.records import Run

BUDGET_BYTES = 4_000_000
"""What all pages together may take; the largest ones stay outside beyond it."""

HTML_TYPE = "system.HTML"

_SVG = re.compile(r"<svg\b.*?</svg>", re.DOTALL)
_ID = re.compile(r"""(?P<before>\sid=["'])(?P<id>[^"']+)(?P<after>["'])""")
_REFERENCE = re.compile(r"""(?P<before>(?:\b(?:xlink:)?href=["']#|url\(["']?#))(?P<id>[^"')]+)""")
_NAMED = re.compile(r"""(?P<before>\s(?:aria-labelledby|aria-describedby|for)=["'])(?P<id>[^"']+)(?P<after>["'])""")
_TITLES = {
    "ingest": "Sample of the raw data",
    "statistics": "Statistics of the data",
    "transformed-statistics": "Statistics of the transformed data",
    "validate": "Anomalies",
    "transform": "Transformed data",
    "tune": "Hyperparameters",
    "train": "Training",
    "evaluate": "Evaluation and blessing",
    "choose": "The choice between the candidates",
    "explain": "Explanations",
    "feedback": "Labels that came later",
    "watch": "What is asked and answered in service",
    "bulk-infer": "Predictions",
}
_OTHER = {"transformed-statistics": "statistics", "bulk-infer": "bulk_infer"}
"""Of the kinds of pages that are not called as their stage is."""
_ACTIVE = re.compile(r"<\s*(?:script|iframe|object|embed|link|base|meta|form)\b|\son\w+\s*=|javascript:", re.IGNORECASE)


@dataclass(frozen=True)
class StagePage:
    """A page that a stage made, ready to be part of another page."""

    task: str
    stage: str
    title: str
    body: Html

    @property
    def anchor(self) -> str:
        """Where the contents of the run's page point."""
        return f"task-{self.task}"


def stage_pages(run: Run) -> list[StagePage]:
    """The pages that the tasks of a run made, in the order of the tasks; beyond the budget only named."""
    found = []
    for task, execution in run.executions.items():
        for output, artifact in execution.outputs.items():
            if artifact.type == HTML_TYPE and (text := _read(execution.path(output))) is not None:
                found.append((task, execution, output, execution.scrub(text)))
    sizes = sorted((len(text.encode()) for *_, text in found), reverse=True)
    largest = BUDGET_BYTES
    while sizes and sum(sizes) > BUDGET_BYTES:
        largest = sizes.pop(0) - 1
    pages = []
    for number, (task, execution, output, text) in enumerate(found):
        fits = len(text.encode()) <= largest
        body = embed(text, f"p{number}") if fits else _outside(run, execution, output)
        title = _title(task, execution.stage)
        pages.append(StagePage(task, execution.stage, title, body))
    return pages


def _title(task: str, stage: str) -> str:
    """What a task's page is called; that of one of several models names it."""
    # (transformed-statistics is a task of statistics with a title of its own.)
    kind = max((known for known in _TITLES if task == known or task.startswith(f"{known}-")), key=len, default="")
    if not kind or stage not in (kind, _OTHER.get(kind)):
        return task.replace("-", " ").capitalize()
    name = which(task, kind)
    return f"{_TITLES[kind]}: {name}" if name else _TITLES[kind]


def embed(document: str, prefix: str) -> Html:
    """A page's content with ids of its own, so that pages and figures in one document do not disturb each other.

    Args:
      document: a page of `runtime.stage.report`. Any other page, and one with scripts, is shown in a closed frame.
      prefix: of its ids; different for every page.
    """
    try:
        body = content(document)
    except ValueError:
        return _framed(document)
    if _ACTIVE.search(_tags(body)):
        return _framed(document)
    figures: list[str] = []

    def take(found: re.Match[str]) -> str:
        figures.append(_renamed(found[0], f"{prefix}f{len(figures)}-", keep_unused=False))
        return f"\0{len(figures) - 1}\0"

    rest = _renamed(_SVG.sub(take, body.replace("\0", "")), f"{prefix}-", keep_unused=True)
    return Html(re.sub("\0(\\d+)\0", lambda found: figures[int(found[1])], rest))


def _renamed(markup: str, prefix: str, *, keep_unused: bool) -> str:
    """Puts a prefix before every id and every reference to one; drops the ids that nothing refers to where asked."""
    used = {found["id"] for found in _REFERENCE.finditer(markup)}
    used |= {each for found in _NAMED.finditer(markup) for each in found["id"].split()}
    known = {found["id"] for found in _ID.finditer(markup)}

    def rename(found: re.Match[str]) -> str:
        if found["id"] not in used and not keep_unused:
            return ""
        return f"{found['before']}{prefix}{found['id']}{found['after']}"

    refer: Callable[[re.Match[str]], str] = lambda found: (  # noqa: E731
        f"{found['before']}{prefix if found['id'] in known else ''}{found['id']}"
    )
    return _NAMED.sub(lambda found: f"{refer(found)}{found['after']}", _REFERENCE.sub(refer, _ID.sub(rename, markup)))


def _tags(markup: str) -> str:
    """The tags of a page without its text, where `<` is escaped but an attribute's name may well occur."""
    return " ".join(re.findall(r"<[^>]*>", markup))


def _framed(document: str) -> Html:
    return Html(f'<section><iframe class="foreign" sandbox srcdoc="{html.escape(document)}"></iframe></section>')


def _outside(run: Run, execution: Execution, output: str) -> Html:
    place = execution.path(output)
    shown = place.relative_to(run.root) if place.is_relative_to(run.root) else place
    return Html(f"<section><p>Too large for this page; it lies at <code>{escape(shown)}</code>.</p></section>")


def _read(path: Path) -> str | None:
    try:
        return (path / "index.html" if path.is_dir() else path).read_text(errors="replace")
    except (OSError, ValueError):
        # (No path holds a NUL.)
        return None
