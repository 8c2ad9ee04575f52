"""Reads the state of a run and of its stages.

From the Workflow behind it where the server shows that, else as the API tells it, which is less.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from components.runtime.stage.executor import ERROR_PREFIX
from runners.kubeflow import nodes, stages
from runners.kubeflow.nodes import Node, Seen
from runners.remote.http import without_stack
from runners.settings.parameters import moment
from runners.terminal.follow import RemoteRun, RemoteTask, asking

STATES = {
    "PENDING": "waiting",
    "RUNNING": "running",
    "SUCCEEDED": "done",
    "SKIPPED": "skipped",
    "FAILED": "failed",
    "CANCELING": "running",
    "CANCELED": "stopped",
    "PAUSED": "waiting",
}
_EXIT = re.compile(r"(?:\w+: )?Error \(exit code (\d+)\)(?:: (.*))?")
"""What Argo says of a container that ended with an error, with its termination message or the end of its log if any."""

_ATTEMPT = re.compile(r"\(\d+\)$")


@dataclass(frozen=True)
class Told:
    """What a server tells of a run.

    Attributes:
      run: of the API.
      ir: of its pipeline; empty where the server has it no more.
      nodes: of the Workflow behind it; None where the server does not show that.
      log: the error in the log of a pod, by its node; empty where there is none, or no log.
    """

    run: Any
    ir: dict[str, Any]
    nodes: list[Node] | None
    log: Callable[[Node], str]


def run_state(run: Any) -> str:
    """The state of a run in one word; the API calls one that was stopped failed."""
    state = STATES.get(run.state, "waiting")
    history = [each.state for each in run.state_history or []]
    # What came before it was run again counts no more.
    since = len(history) - history[::-1].index("RUNNING") if "RUNNING" in history else 0
    return "stopped" if state == "failed" and "CANCELING" in history[since:] else state


def remote_run(told: Told) -> RemoteRun:
    """The run with the stages of its pipeline by their start; those that have not begun come last."""
    run, state = told.run, run_state(told.run)
    is_over = state in ("done", "failed", "stopped")
    names = stages.names(told.ir) or _names(told)
    if told.nodes is None:
        known = _of_details(run, names, state)
    else:
        known = nodes.seen(told.nodes, names, stopped=state == "stopped")
    errors = _errors(run, names)
    tasks = [
        _task(name, known.get(key, Seen("waiting")), errors.get(key, ""), told, is_over) for key, name in names.items()
    ]
    tasks.sort(key=lambda task: (task.started is None, task.started.timestamp() if task.started else 0.0))
    error = _one_line(run.error.message if run.error else "")
    if state == "failed" and not error:
        error = _first_error(tasks, told)
    if (
        told.nodes
        and not any(task.error for task in tasks if task.state == "waiting")
        and (reason := nodes.waits(told.nodes))
    ):
        # The pod of a layer: it is the next stage that waits for it.
        place = next((place for place, task in enumerate(tasks) if task.state == "waiting"), None)
        if place is not None:
            tasks[place] = replace(tasks[place], error=reason)
    config = run.runtime_config
    made = RemoteRun(
        id=run.run_id,
        name=run.display_name,
        state=state,
        created=run.created_at,
        ended=run.finished_at if is_over else None,
        error=error,
        parameters=stages.defaults(told.ir) | dict((config.parameters if config else None) or {}),
        tasks=tasks,
    )
    return asking(made)


def _task(name: str, seen: Seen, error: str, told: Told, is_over: bool) -> RemoteTask:
    state = "skipped" if is_over and seen.state == "waiting" else seen.state
    if state == "skipped":
        return RemoteTask(name, state)
    ended = None if state in ("waiting", "running") else moment(seen.ended)
    if state == "failed":
        error = error or _why(seen.message, seen.pod, told.log)
    else:
        error = seen.message if state == "waiting" else ""
    return RemoteTask(
        name=name,
        state=state,
        started=moment(seen.started),
        ended=ended,
        error=error,
        attempts=seen.attempts,
    )


def _why(message: str, pod: Node | None, log: Callable[[Node], str]) -> str:
    """Argo's own word, unless that is only that the container failed: then what its log says."""
    failed = _EXIT.fullmatch(message)
    if pod is None or (message and not failed):
        return message
    said = (failed[2] or "") if failed else ""
    if ERROR_PREFIX in said:
        return said.rpartition(ERROR_PREFIX)[2]
    found = log(pod) or said
    if found or not failed:
        return found
    return f"exit code {failed[1]}; its log says no more, or is not to be had"


def _first_error(tasks: list[RemoteTask], told: Told) -> str:
    """Why a run failed of which the server does not say it."""
    if failed := next((task for task in tasks if task.state == "failed"), None):
        return f"{failed.name}: {failed.error}" if failed.error else f"{failed.name} failed"
    if told.nodes and (found := nodes.failure(told.nodes)):
        name, pod = found
        return f"{name}: {_why(nodes.message(pod), pod, told.log)}"
    return ""


def _names(told: Told) -> dict[str, str]:
    """The stages of a run whose pipeline the server has no more: the tasks that are neither layers nor helpers."""
    if told.nodes is not None:
        found = [each for each in told.nodes if str(each.get("templateName", "")).endswith("system-container-executor")]
        keys = [_ATTEMPT.sub("", str(each.get("displayName"))) for each in sorted(found, key=_began)]
        return {key: key for key in keys}
    details = _details(told.run)
    layers = {_ATTEMPT.sub("", task.display_name or "") for task in details} - {"root"}
    # (The Workflow's own node has no driver.)
    return {name: name for name in sorted(layers) if f"{name}-driver" in layers and not _is_layer(name)}


def _began(node: Node) -> str:
    return str(node.get("startedAt") or "~")


def _is_layer(name: str) -> bool:
    return bool(re.match(r"(condition|condition-branches|exit-handler|for-loop)-\d+$", name))


def _details(run: Any) -> list[Any]:
    return list((run.run_details.task_details if run.run_details else None) or [])


def _of_details(run: Any, names: Mapping[str, str], run_state: str) -> dict[str, Seen]:
    """What became of the stages as far as the API's tasks say it; the nodes around them have no names of their own."""
    details = _details(run)
    pods = [task for task in details if _ATTEMPT.sub("", task.display_name or "") == "executor"]
    found: dict[str, Seen] = {}
    for task in (each for each in details if each.display_name in names):
        state = STATES.get(task.state, "skipped" if task.end_time else "waiting")
        # The tasks do not say which pod is whose; the first attempt begins with its stage.
        inside = {pod.state for pod in pods if pod.start_time == task.start_time}
        if state == "running" and "PENDING" in inside:
            state = "waiting"
        if state == "done" and "SKIPPED" in inside and task.start_time == task.end_time:
            state = "cached"
        if state == "failed" and run_state == "stopped" and not _history_error(task):
            state = "stopped"
        found[task.display_name] = Seen(state, _text(task.start_time), _text(task.end_time))
    for task in (each for each in details if each.state == "FAILED"):
        # A stage whose driver failed was left out itself.
        key = (task.display_name or "").removesuffix("-driver")
        if key in names and found.get(key, Seen("skipped")).state == "skipped":
            found[key] = Seen("failed", _text(task.start_time), _text(task.end_time))
    return found


def _errors(run: Any, names: Mapping[str, str]) -> dict[str, str]:
    """The errors that the API tells, by the keys of stages; their drivers' and executors' are theirs."""
    details = _details(run)
    owners = {task.task_id: task.display_name for task in details}
    found: dict[str, str] = {}
    for task in details:
        name = _ATTEMPT.sub("", task.display_name or "")
        owner = owners.get(task.parent_task_id, "") if name == "executor" else name.removesuffix("-driver")
        error = _one_line(task.error.message if task.error else "") or _history_error(task)
        if error and owner in names:
            found[owner] = error
    return found


def _history_error(task: Any) -> str:
    told = (_one_line(each.error.message if each.error else "") for each in reversed(task.state_history or []))
    return next(filter(None, told), "")


def _one_line(text: str | None) -> str:
    return " ".join(without_stack(text or "").split())


def _text(time: datetime | None) -> str | None:
    return time.isoformat() if time else None
