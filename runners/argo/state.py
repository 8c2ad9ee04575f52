"""Reads the state of an Argo Workflow and of its tasks."""

from __future__ import annotations

from typing import Any

from runners.remote.workflow_nodes import nodes
from runners.settings.parameters import moment
from runners.terminal.follow import RemoteRun, RemoteTask

_STATES = {
    "Pending": "waiting",
    "Running": "running",
    "Succeeded": "done",
    "Skipped": "skipped",
    "Omitted": "skipped",
    "Failed": "failed",
    "Error": "failed",
}
# The other types of node are groups of these.
_TASKS = frozenset({"Pod", "Retry", "Skipped", "Suspend", "HTTP", "Container", "Plugin"})


def task_nodes(workflow: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The nodes that are tasks, by the names of the tasks, in the order in which they began."""
    found = nodes(workflow)
    attempts = {child for node in found.values() if node.get("type") == "Retry" for child in node.get("children") or []}
    tasks: dict[str, dict[str, Any]] = {}
    for identity, node in sorted(found.items(), key=lambda entry: (entry[1].get("startedAt") or "~", entry[0])):
        if node.get("type") in _TASKS and identity not in attempts:
            name = str(node.get("displayName") or node.get("name") or identity)
            # Two groups may have tasks of one name; Argo's own whole name tells them apart.
            tasks[name if name not in tasks else str(node.get("name") or identity)] = {"id": identity} | node
    return tasks


def pod_node(workflow: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    """The node of the pod behind a task: of its last attempt, where it was tried more than once."""
    found = nodes(workflow)
    attempts = [{"id": child} | found[child] for child in task.get("children") or [] if child in found]
    pods = [node for node in attempts if node.get("type") == "Pod"]
    return pods[-1] if task.get("type") == "Retry" and pods else task


def remote_run(workflow: dict[str, Any]) -> RemoteRun:
    """Reads a Workflow resource."""
    status, spec, metadata = workflow.get("status") or {}, workflow.get("spec") or {}, workflow["metadata"]
    state = _STATES.get(status.get("phase") or "Pending", "waiting")
    if state == "failed" and spec.get("shutdown"):
        state = "stopped"
    parameters = (spec.get("arguments") or {}).get("parameters") or []
    return RemoteRun(
        id=metadata["name"],
        name=metadata["name"],
        state=state,
        created=moment(status.get("startedAt") or metadata.get("creationTimestamp")),
        ended=moment(status.get("finishedAt")),
        error=_one_line(status.get("message")) if state in ("failed", "stopped") else "",
        parameters={each["name"]: each.get("value", "") for each in parameters},
        tasks=[_task(name, node) for name, node in task_nodes(workflow).items()],
    )


def _task(name: str, node: dict[str, Any]) -> RemoteTask:
    state = _STATES.get(node.get("phase") or "Pending", "waiting")
    error = _one_line(node.get("message")) if state == "failed" else ""
    return RemoteTask(name, state, moment(node.get("startedAt")), moment(node.get("finishedAt")), error)


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
