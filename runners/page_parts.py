"""Pieces that the run's page and the comparison's page share."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from components.runtime.report import Html, escape
from runners import text
from runners.outcome import Outcome
from runners.records import Artifact, Run

STYLE = Html(
    """<style>
html { scroll-behavior: smooth; }
h1 { display: none; }
section { scroll-margin-top: 12px; }
.hero { display: flex; justify-content: space-between; gap: 24px; align-items: flex-start; flex-wrap: wrap; }
.hero .name { font-size: 28px; font-weight: 700; line-height: 1.2; } .hero .id { color: #6b7280; font-size: 13.5px; }
.badge { display: inline-block; border-radius: 999px; padding: 2px 12px; font-size: 13px; font-weight: 600; white-space: nowrap; }
.badge.done { background: #d1fae5; color: #047857; } .badge.failed { background: #fee2e2; color: #b91c1c; }
.badge.cached { background: #dbeafe; color: #1d4ed8; } .badge.running, .badge.interrupted { background: #fef3c7; color: #b45309; }
.badge.skipped, .badge.waiting { background: #f3f4f6; color: #6b7280; }
.facts { display: flex; flex-wrap: wrap; gap: 12px; margin: 18px 0 0; }
.facts div { background: #f9fafb; border: 1px solid #e5e7eb; border-radius: 8px; padding: 8px 16px; min-width: 92px; }
.facts b { display: block; font-size: 20px; font-weight: 650; font-variant-numeric: tabular-nums; }
.facts small { color: #6b7280; font-size: 12.5px; }
.verdict { margin: 18px 0 0; padding: 12px 16px; border-radius: 8px; border-left: 4px solid #9ca3af; background: #f9fafb; }
.verdict.good-box { border-color: #059669; background: #ecfdf5; } .verdict.bad-box { border-color: #dc2626; background: #fef2f2; }
.verdict b { display: block; } .verdict { overflow-wrap: anywhere; } td { max-width: 460px; overflow-wrap: break-word; } th { white-space: nowrap; }
.contents { display: flex; flex-wrap: wrap; gap: 6px; margin: 16px 0 0; }
.contents a { color: #374151; text-decoration: none; background: #fff; border: 1px solid #e5e7eb; border-radius: 999px;
  padding: 3px 12px; font-size: 13.5px; } .contents a:hover { border-color: #2563eb; color: #2563eb; }
details.stage > summary { cursor: pointer; font-size: 19px; font-weight: 600; padding: 14px 24px; background: #fff;
  border: 1px solid #e5e7eb; border-radius: 10px; margin: 16px 0 0; }
details.stage > summary small { font-weight: 400; font-size: 13.5px; color: #6b7280; margin-left: 10px; }
details.stage[open] > summary { background: #eef2ff; border-color: #c7d2fe; } details.stage > div { scroll-margin-top: 76px; }
details.plain > summary { cursor: pointer; color: #374151; font-weight: 600; } ul.artifacts { margin: 0; padding: 0; list-style: none; }
.legend { color: #6b7280; font-size: 13px; margin: 10px 0 0; } .legend span { margin-right: 16px; }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; }
iframe.foreign { width: 100%; height: 640px; border: 0; } tr.differs td { background: #fffbeb; } .two td:first-child { white-space: nowrap; }
@media print { body { background: #fff; } .contents { display: none; } }
</style>"""
)


def badge(state: str) -> Html:
    """A state in its colour."""
    return Html(f'<span class="badge {escape(state)}">{escape(state)}</span>')


def fact(value: object, name: object) -> Html:
    """A number and what it is."""
    return Html(f"<div><b>{escape(value)}</b><small>{escape(name)}</small></div>")


def facts(entries: Iterable[Html]) -> Html:
    """Facts side by side."""
    return Html(f'<div class="facts">{"".join(entries)}</div>')


def time(moment: datetime | None) -> Html:
    """A time for people, exact in its tooltip."""
    if moment is None:
        return escape(None)
    return Html(f'<time datetime="{moment.isoformat()}">{moment:%-d %B %Y, %H:%M:%S} UTC</time>')


def digest(artifact: Artifact) -> Html:
    """The beginning of a digest, the whole of it in the tooltip."""
    if not artifact.digest:
        return Html('<span class="muted">no digest</span>')
    return Html(f'<code title="{escape(artifact.digest)}">{escape(text.short(artifact.digest))}</code>')


def verdict(run: Run, made: Outcome) -> tuple[str, str, str]:
    """What became of the model: `good`, `bad` or nothing, a headline, and the reason."""
    if made.blessed:
        if made.version:
            where = f" to {made.destination}" if made.destination else ""
            before = " (the same model was there already)" if made.already_there else ""
            return "good", f"Blessed, and pushed as version {made.version}{where}{before}", made.reason
        return "good", "Blessed, but not pushed", made.reason
    if made.blessed is False:
        return "bad", "Not blessed, so not pushed", made.reason
    if made.version:
        return "good", f"Pushed as version {made.version}", made.reason
    reached = {task.stage for task in run.tasks if task.state in ("done", "cached")}
    why = "the model was not evaluated" if "train" in reached else "no model was trained"
    return "", f"No blessing: {why}", ""
