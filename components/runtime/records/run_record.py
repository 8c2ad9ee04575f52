"""run.json: what ran and how it ended, as docs/contract.md defines it.

The local runner writes it as it goes, and the last pod of an Argo Workflow at its end.
"""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from components.runtime.records import execution_record, facts
from components.runtime.stage.artifacts import write_whole
from components.runtime.text.redaction import redact

FILE = "run.json"
_LOOK = "watch "

BY_VARIABLE = "MILLRACE_USER"
"""Who is recorded as having started a run; empty where nobody shall be."""


def started_by() -> str:
    """Who starts runs here: as the variable says, else the user's name on this machine; empty where there is none."""
    named = os.environ.get(BY_VARIABLE)
    if named is not None:
        return named.strip()
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A user id without an entry, as containers have them.
        return ""


def by_look(run: str, by: str = "") -> str:
    """Who started a run that a look at a version in service has begun.

    Args:
      run: that looked.
      by: who started that one; empty for nobody.
    """
    return f"{by}, {_LOOK}{run}" if by else f"{_LOOK}{run}"


def look_of(by: str) -> str:
    """The run that looked, where it has begun another one; empty where a person has.

    Args:
      by: as `by_look` says it of the other one.
    """
    last = by.rpartition(", ")[2]
    return last.removeprefix(_LOOK) if last.startswith(_LOOK) else ""


def new_run(
    identity: str,
    pipeline: str,
    model: str,
    started: str,
    parameters: dict[str, Any],
    tasks: list[dict[str, Any]],
    selection: dict[str, Any] | None = None,
    decision: str = "",
    after: str = "",
) -> dict[str, Any]:
    """The record of something that begins now on this machine.

    Args:
      identity: its id.
      pipeline: name of the pipeline.
      model: folder of the model.
      started: ISO time.
      parameters: values by name.
      tasks: as `new_task` makes them.
      selection: what of the pipeline is run.
      decision: what a person does with versions, such as `rollback`, where it is no run of the pipeline.
      after: the look at a version in service that begins it; empty where a person does.
    """
    return {
        "id": identity,
        "pipeline": pipeline,
        "model": model,
        "target": "local",
        "by": by_look(after, started_by()) if after else started_by(),
        "state": "running",
        "started": started,
        "finished": "",
        "seconds": None,
        "parameters": parameters,
        "selection": selection or {"until": "", "only": [], "earlier": ""},
        "decision": decision,
        "exit_code": None,
        "error": "",
        "tasks": tasks,
    }


def new_task(name: str, stage: str, after: Iterable[str], condition: str, state: str) -> dict[str, Any]:
    """The record of a task that has not run, with a place for everything that is told of it later.

    A number that nobody knows, or that there is none of, is null.
    """
    return {
        "name": name,
        "stage": stage,
        "state": state,
        "after": sorted(after),
        "condition": condition,
        "execution": "",
        "log": "",
        "started": "",
        "seconds": None,
        "start_up_seconds": None,
        "peak_memory_bytes": None,
        "rows": None,
        "facts": "",
        "alert": "",
        "error": "",
        "exit_code": None,
        "failed_attempts": [],
    }


def ended(execution: dict[str, Any], state: str) -> dict[str, Any]:
    """What an execution says of its task.

    Args:
      execution: its record.
      state: done, or cached where an earlier run did the work.
    """
    worked = state == "done"
    return {
        "state": state,
        "execution": execution_record.home(execution),
        "seconds": execution["seconds"] if worked else None,
        "start_up_seconds": execution["start_up_seconds"] if worked else None,
        "peak_memory_bytes": execution["peak_memory_bytes"] if worked else None,
        "rows": facts.rows(execution),
        "facts": facts.facts(execution),
        "alert": facts.alert(execution),
    }


def write(folder: Path, record: dict[str, Any]) -> None:
    """Writes the record of a run into its folder; readers see the old one or the new one.

    Secrets that came in by ways of their own, as with a Workflow that was started by hand, are not in it.
    """
    write_whole(folder / FILE, json.dumps(record | {"parameters": redact(record["parameters"])}, indent=1))
