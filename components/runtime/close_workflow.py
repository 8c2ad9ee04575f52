"""Closes the record of an Argo Workflow: the last pod of a run, `python -m components.runtime.close_workflow`.

It writes run.json from the notes that the tasks left on the volume and from what Argo says, so that `runs`, `compare`
and `report` know the run, and removes what killed pods left half-written.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from components.runtime.errors import EXIT_INTERRUPTED, InputError, TransientError
from components.runtime.launch.bucket_root import BucketRoot
from components.runtime.launch.command import end_with, mounted, pairs
from components.runtime.launch.task_specification import PYTHON_TYPES
from components.runtime.launch.workplace import sweep_run
from components.runtime.lineage.times import last_attempt
from components.runtime.publish import approval, serving
from components.runtime.records import final_status, run_record
from components.runtime.stage import progress
from components.runtime.stage.executor import convert

_OUR_STATES = {theirs: ours for ours, theirs in final_status.STATES.items()}


def record(
    root: Path,
    run: str,
    plan: dict[str, Any],
    started: str,
    status: dict[str, Any],
    parameters: dict[str, str],
    failed_attempts: dict[str, list[str]],
    target: str = "argo",
) -> dict[str, Any]:
    """The record of a Workflow that has ended.

    Args:
      root: the pipeline root.
      run: the Workflow's name.
      plan: `pipeline`, `parameters` with their types, and `tasks`, each with `name`, `stage`, `after`, `condition`
        and, where it shares its pod with others, `pod`, and where it has other nodes before its own, `nodes`.
      started: when the Workflow was made, RFC 3339.
      status: how it ended, from `final_status.of_workflow`.
      parameters: of the Workflow.
      failed_attempts: why attempts of its pods ended that did not go well, by task or by pod.
      target: what ran it.
    """
    notes = _notes(root, run, plan["tasks"], status)
    finished = datetime.now(UTC)
    seconds = (finished - datetime.fromisoformat(started)).total_seconds()
    state = _OUR_STATES[status["state"]]
    error = status.get("error", {})
    return {
        "id": run,
        "pipeline": plan["pipeline"],
        "target": target,
        # Whom `argo submit` has noted in the pod's environment; Argo itself knows nobody.
        "by": os.environ.get(run_record.BY_VARIABLE, ""),
        "state": state,
        "started": started,
        "finished": finished.isoformat(),
        # The clocks of two machines; where they disagree, nobody knows.
        "seconds": seconds if seconds >= 0 else None,
        "parameters": {
            name: _typed(name, value, plan["parameters"].get(name, "")) for name, value in parameters.items()
        },
        "exit_code": 0 if state == "done" else int(error.get("code", 1)),
        "error": str(error.get("message", "")),
        "tasks": [
            _task(root, run, task, notes.get(task["name"]))
            | {"failed_attempts": _attempts(task, plan["tasks"], failed_attempts)}
            for task in plan["tasks"]
        ],
    }


def _attempts(task: dict[str, Any], tasks: Sequence[dict[str, Any]], failed: dict[str, list[str]]) -> list[str]:
    """Why attempts of a task did not go well; of one that shares its pod, those that name it, or as the first none."""
    name = task["name"]
    if "pod" not in task:
        return [why for node in (*task.get("nodes", []), name) for why in failed.get(node, [])]
    in_pod = [each["name"] for each in tasks if each.get("pod") == task["pod"]]
    return [
        why.removeprefix(f"{name}: ")
        for why in failed.get(task["pod"], [])
        if name == next((each for each in in_pod if why.startswith(f"{each}: ")), in_pod[0])
    ]


def _typed(name: str, text: str, kind: str) -> Any:
    """A parameter's value, or its text where that is of another type: a stage has said so, and the run is recorded."""
    try:
        return convert(name, text, PYTHON_TYPES.get(kind, str))
    except InputError:
        return text


def _notes(root: Path, run: str, tasks: Sequence[dict[str, Any]], status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The notes by task; the task that ended the run has one even if its pod was killed and could leave none."""
    notes = {note["task"]: note for note in final_status.notes(root, run)}
    facts = status.get("millrace", {})
    if (ended := facts.get("task")) and "error" in status:
        # Argo knows the pod. Of several tasks in it, those before the one that it was at have left their notes.
        of_pod = [task["name"] for task in tasks if task.get("pod") == ended]
        ended = next((name for name in of_pod if name not in notes), ended)
        ended = next((task["name"] for task in tasks if ended in task.get("nodes", [])), ended)
        code = EXIT_INTERRUPTED if facts.get("outside") else status["error"]["code"]
        notes.setdefault(ended, {"execution": "", "error": status["error"]["message"], "code": code})
    return notes


def _task(root: Path, run: str, task: dict[str, Any], note: dict[str, Any] | None) -> dict[str, Any]:
    made = run_record.new_task(task["name"], task["stage"], task["after"], task["condition"], "skipped")
    if note is None:
        return made
    log = f"runs/{run}/{task['name']}.log"
    if (root / log).exists():
        made["log"] = log
    if note["code"]:
        state = "stopped" if note["code"] == EXIT_INTERRUPTED else "failed"
        begin, end = last_attempt(root, run, task["name"])
        return made | {
            "state": state,
            "error": note["error"],
            "exit_code": note["code"],
            "started": begin.isoformat() if begin else "",
            "seconds": (end - begin).total_seconds() if begin and end else None,
        }
    execution = final_status.execution(root, note)
    if execution is None:
        return made
    worked = execution["run"] == run
    made |= run_record.ended(execution, "done" if worked else "cached")
    return made | ({"started": execution["started"]} if worked else {})


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m components.runtime.close_workflow", description="Closes the record of an Argo Workflow."
    )
    parser.add_argument("--root", type=Path, required=True, help="the pipeline root")
    parser.add_argument("--bucket", default="", metavar="URI", help="where the root is, if in object storage")
    parser.add_argument("--run", required=True, metavar="NAME", help="name of the workflow")
    parser.add_argument("--plan", required=True, metavar="JSON", help="the pipeline's tasks, from runners.argo")
    parser.add_argument("--started", required=True, metavar="TIME", help="when the workflow was made, RFC 3339")
    parser.add_argument("--status", required=True, metavar="PHASE", help="how the workflow ended")
    parser.add_argument("--failures", default="", metavar="JSON", help="the failed nodes, from Argo")
    parser.add_argument("--target", default="argo", help="what ran it, as its record says")
    parser.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the workflow"
    )
    return parser.parse_args(argv)


def _run(arguments: argparse.Namespace) -> None:
    root = mounted(arguments.root)
    bucket = BucketRoot(arguments.bucket, root) if arguments.bucket else None
    with bucket.run(arguments.run) if bucket else contextlib.nullcontext():
        _close(arguments, root)


def _close(arguments: argparse.Namespace, root: Path) -> None:
    parameters = pairs("--parameter", arguments.parameter)
    plan = json.loads(arguments.plan)
    since = datetime.now(UTC) - datetime.fromisoformat(arguments.started)
    # At the run's own deadline nothing is tried again either.
    retries = plan.get("retries", {}) if since.total_seconds() < plan.get("deadline_seconds", 0) else {}
    status = final_status.of_workflow(root, arguments.run, arguments.status, arguments.failures, parameters, retries)
    attempts = final_status.failed_attempts(arguments.failures, parameters)
    made = record(root, arguments.run, plan, arguments.started, status, parameters, attempts, arguments.target)
    folder = root / "runs" / arguments.run
    folder.mkdir(parents=True, exist_ok=True)
    run_record.write(folder, made)
    with contextlib.suppress(InputError, TransientError, OSError):
        # Of a Workflow that was stopped while it was suspended nobody else takes it away.
        approval.withdraw_all(serving.serving_root(parameters.get("serving_directory", "")), arguments.run)
    removed = sweep_run(root, arguments.run)
    left = f", {removed} half-written left-overs removed" if removed else ""
    progress.report(f"{made['state']}: {folder.relative_to(root)}/{run_record.FILE} written{left}")


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Closes the record and ends the process, with the exit codes of the launcher."""
    arguments = _parse(argv)
    end_with(lambda: _run(arguments))


if __name__ == "__main__":
    main()
