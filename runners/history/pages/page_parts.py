"""Pieces that the run's page and the comparison's page share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from components.runtime.records.facts import counted
from components.runtime.stage.report import Html, escape
from runners import PROJECT
from runners.history.executions import Artifact, Execution
from runners.history.outcome import Outcome
from runners.history.records import Run
from runners.terminal import text

PAGE_STYLE = (Path(__file__).parent / "templates" / "page.css").read_text()
STYLE = Html(f"<style>{PAGE_STYLE}</style>")


def portable(document: str, root: Path) -> str:
    """A page that can be sent to somebody: without the paths of this machine.

    What lies in the pipeline root is named from there, what lies in the project from there, and the home folder is `~`.
    """
    places = {str(PROJECT): "", str(root.absolute()): "", str(root.resolve()): "", str(Path.home()): "~/"}
    for place, name in sorted(places.items(), key=lambda entry: -len(entry[0])):
        if place != "/":
            document = re.sub(rf"(?<![\w.~/-]){re.escape(escape(place))}/(?=\w|\.\w)", name, document)
    return document


def badge(state: str, alert: str = "") -> Html:
    """A state in its colour, or in that of what was found wrong (`components.runtime.records.facts.alert`)."""
    return Html(f'<span class="badge {escape(alert or state)}">{escape(state)}</span>')


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
    return Html(
        f'<code title="{escape(artifact.digest)}">{escape(text.content(artifact.digest, artifact.type))}</code>'
    )


def _answered(execution: Execution) -> tuple[str, str, str]:
    """What became of a run that has a model answer data."""
    facts = execution.outputs["predictions"].metadata
    if facts.get("predicted") is False:
        return "bad", "Nothing predicted", str(facts.get("reason") or "")
    odd = f"; NaN in {facts['not_a_number']:,.0f} of them" if facts.get("not_a_number") else ""
    by = f"version {facts['version']:.0f}" if facts.get("version") else "the model of this run"
    return ("bad" if odd else "good"), f"{counted(facts['rows'], 'row')} answered by {by}{odd}", ""


def verdict(run: Run, made: Outcome) -> tuple[str, str, str]:
    """What became of the model: `good`, `bad` or nothing, a headline, and the reason."""
    if run.decision:
        decided = "".join(f"{task.name}: {task.facts}" for task in run.tasks if task.state == "done")
        return ("good" if decided else ""), decided + made.how_pushed, str(run.parameters.get("why") or "")
    reason = f"{made.reason} · Baseline: {made.baseline}" if made.baseline else made.reason
    if made.blessed:
        if made.version:
            where = f" to {made.destination}" if made.destination else ""
            return "good", f"Blessed, and pushed as version {made.version}{where}{made.how_pushed}", reason
        return "good", "Blessed, but not pushed", reason
    if made.blessed is False:
        return "bad", "Not blessed, so not pushed", reason
    if made.version:
        return "good", f"Pushed as version {made.version}", made.reason
    if watched := _watched(run):
        return watched
    worked = [task for task in run.tasks if task.state in ("done", "cached")]
    gone = [task.name for task in worked if task.stage == "evaluate" and task.name not in run.executions]
    if gone:
        return "", f"Whether the model is blessed is unknown: the records of {', '.join(gone)} are gone", ""
    if answered := run.of_stage("bulk_infer"):
        return _answered(answered[0])
    reached = {task.stage for task in worked}
    why = "the model was not evaluated" if "train" in reached else "no model was trained"
    return "", f"No blessing: {why}", ""


def _watched(run: Run) -> tuple[str, str, str] | None:
    """What a look at a version in service came to; None of a run that looked at none."""
    for execution in run.executions.values():
        if execution.stage == "watch" and "watched" in execution.outputs:
            said = execution.outputs["watched"].metadata
            state = str(said.get("state"))
            return {"ok": "good", "drifted": "bad"}.get(state, ""), f"Watched: {state}", str(said.get("reason") or "")
    return None
