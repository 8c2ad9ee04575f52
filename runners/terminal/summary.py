"""The summary at the end of a run."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from components.runtime.errors import InputError
from components.runtime.records import facts
from components.runtime.text.visible import in_one_line
from runners.settings.model import SECTIONS, section_of
from runners.terminal import text
from runners.terminal.model_lines import model_lines, published

_LABEL = 10
"""Columns of the labels."""
_IN_ENVIRONMENT = "in the environment"


def summary(
    root: Path,
    run: Mapping[str, Any],
    executions: Mapping[str, dict[str, Any]],
    *,
    settings: Path | None = None,
    sections: Collection[str] = SECTIONS,
    late: Sequence[str] = (),
    width: int | None = None,
) -> Text:
    """What was made, where it lies, and whether the model was blessed, in a few lines.

    Args:
      root: the pipeline root.
      run: the run's record.
      executions: records of its executions by task.
      settings: file with the model's settings, which a stage that refuses its inputs does not know.
      sections: of that file; a stage without one there is none of its.
      late: what is told of spans that have a newer version by now.
      width: of the terminal; into a pipe goes each entry as one line.
    """
    lines = Text()

    def line(label: str, value: object, style: str = "") -> None:
        words = in_one_line(str(value))
        if isinstance(value, Path):
            # A path is to be copied: where it does not fit behind its label it has a line, or more, of its own.
            words = f"\n{words}" if width and _LABEL + len(words) > width else words
        elif width:
            indent = " " * _LABEL
            words = textwrap.fill(
                words, max(width, 2 * _LABEL), initial_indent=indent, subsequent_indent=indent, break_long_words=False
            ).removeprefix(indent)
        lines.append(label if words.startswith("\n") else f"{label:<{_LABEL}}", style="dim")
        lines.append(f"{words}\n", style=style)

    state = {"done": "green", "failed": "red", "stopped": "yellow"}[run["state"]]
    selection = run.get("selection", {})
    how = f"{run['state']} in"
    if run["state"] == "stopped":
        # Its error says where.
        how = f"{run['error'] or run['state']}, after"
    elif run["state"] == "done" and selection.get("until"):
        how = f"done up to {selection['until']} in"
    line("run", f"{run['id']} {how} {text.duration(run['seconds'])}", state)
    if invalid := next(filter(None, map(facts.invalid_data, executions.values())), ""):
        line("data", f"invalid: {invalid}", "red")
    for through in filter(None, map(facts.let_through, executions.values())):
        line("data", through, "yellow")
    failed = [task for task in run["tasks"] if task["state"] == "failed"]
    told = [f"{task['name']}: {task['error']}" for task in failed if task["error"]]
    for error in told or [run["error"]]:
        if error and not invalid and run["state"] != "stopped":
            line("error", error, "red")
    for task in failed:
        if task["error"]:
            line("log", root / task["log"])
    # (What is to be put into the environment is no setting.)
    blamed = [
        task
        for task in failed
        if task["exit_code"] == InputError.exit_code and _IN_ENVIRONMENT not in (task["error"] or "")
    ]
    named = {section_of(task["stage"]) for task in blamed if task["stage"] in SECTIONS}
    refused = sorted(each for each in named if each.partition(".")[0] in sections)
    if settings and refused and not invalid:
        line("settings", f"{settings}, {' and '.join(refused)}")
    for each in late:
        line("spans", each, "yellow")
    examples = executions.get("ingest", {}).get("outputs", {}).get("examples")
    if examples and any(examples["metadata"].get(key) for key in ("rows_left_out", "left_out")):
        line("rows", facts.facts(executions["ingest"]))
    for label, said, style in model_lines(list(executions.values()), whole=not selection.get("only")):
        line(label, said, style)
    if (hub := published(executions.get("push-hub"))) is not None:
        line("hub", f"{hub['url']}{_there(hub['created'], ['the latest'] * hub['moved'])}", "green")
    if (registered := published(executions.get("push-vertex"))) is not None:
        answers = f", at {registered['endpoint']}" if registered.get("endpoint") else ""
        how = _there(registered["created"], registered["moved"])
        line("vertex", f"{registered['resourceName']}{how}{answers}", "green")
    line("report", root / "runs" / run["id"] / "report.html")
    return lines


def _there(created: bool, again: Sequence[str]) -> str:
    """What is worth saying of a model that was published before, in brackets; `again` is what it has become again."""
    become = f", is {' and '.join(again)} again" if again else ""
    return "" if created else f" (was there already{become})"
