"""Reads the state of an Argo Workflow and of its tasks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from components.runtime.publish import suspension
from components.runtime.records import argo_messages
from components.runtime.stage.progress import WAITS
from components.runtime.text.workflow_nodes import nodes
from runners.argo import fused_tasks, retries, task_logs
from runners.argo.fused_tasks import Told
from runners.argo.suspending import ASK, STAGE, WAIT
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
_EXIT_CODE = re.compile(r"\(exit code (\d+)\)")
# What every pod that begins is in for a moment: Argo says no more, though it may be a volume that cannot be mounted.
_BEGINNING = ("", "PodInitializing", "ContainerCreating")
# An image of 2 GB may take one of them.
_MOMENT = timedelta(minutes=3)


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
    pods = _attempts(nodes(workflow), task)
    return pods[-1] if pods else task


def _attempts(found: dict[str, dict[str, Any]], task: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes of a task's attempts, where Argo keeps them below one of their own."""
    if task.get("type") != "Retry":
        return []
    attempts = [{"id": child} | found[child] for child in task.get("children") or [] if child in found]
    # What could not even become a pod has a type of its own or none, and says why all the same.
    return [node for node in attempts if node.get("type") not in ("DAG", "Steps", "TaskGroup")]


def untold(workflow: dict[str, Any]) -> list[str]:
    """The nodes of pods of several tasks that have begun, and whose outputs tell nothing of their tasks."""
    pods = [pod_node(workflow, node) for node in task_nodes(workflow).values() if task_logs.tasks_of(workflow, node)]
    return [
        pod["id"]
        for pod in pods
        if pod.get("phase") in ("Running", "Failed", "Error") and not _output(pod, argo_messages.TASKS_OUTPUT)
    ]


def asking(workflow: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The pods at work in a stage that waits for a person, by their task: what they are doing only their logs tell."""
    pods = {name: pod_node(workflow, node) for name, node in task_nodes(workflow).items() if _asks(workflow, node)}
    return {name: pod for name, pod in pods.items() if pod.get("phase") == "Running"}


def _asks(workflow: dict[str, Any], node: dict[str, Any]) -> bool:
    templates = {str(each.get("name")): each for each in workflow["spec"].get("templates") or []}
    name = str(node.get("templateName"))
    metadata = (templates.get(name) or {}).get("metadata") or {}
    # Where the Workflow is suspended meanwhile, no pod waits.
    suspended = f"{name.removesuffix(ASK)}{WAIT}" in templates
    return (metadata.get("labels") or {}).get("millrace/stage") == STAGE and not suspended


def remote_run(
    workflow: dict[str, Any],
    told: Mapping[str, Sequence[Told]] | None = None,
    doing: Mapping[str, str] | None = None,
) -> RemoteRun:
    """Reads a Workflow resource.

    Args:
      workflow: the resource.
      told: what the logs say of tasks that share a pod, by the pod's node, where its outputs do not.
      doing: what the logs say that tasks of `asking` are doing, where they can be read.
    """
    status, spec, metadata = workflow.get("status") or {}, workflow.get("spec") or {}, workflow["metadata"]
    state = _STATES.get(status.get("phase") or "Pending", "waiting")
    if state == "failed" and spec.get("shutdown"):
        state = "stopped"
    found = nodes(workflow)
    templates = {str(each.get("name")): each for each in spec.get("templates") or []}
    pods: dict[str, list[RemoteTask]] = {}
    for name, node in task_nodes(workflow).items():
        strategy = templates.get(str(node.get("templateName")), {}).get("retryStrategy") or {}
        attempts = _attempts(found, node)
        task = _task(name, node, attempts, strategy, shutdown=bool(spec.get("shutdown")))
        if several := task_logs.tasks_of(workflow, node):
            last = attempts[-1] if attempts else node
            output = _output(last, argo_messages.TASKS_OUTPUT)
            known = fused_tasks.from_output(output) if output else (told or {}).get(last["id"])
            pods[name] = fused_tasks.spread(task, several, known, moment(last.get("startedAt")))
        else:
            pods[name] = [task]
    for name in asking(workflow):
        pods[name] = [_waiting(task, str(metadata["name"]), doing or {}) for task in pods[name]]
    over = state in ("done", "failed", "stopped")
    later = "skipped" if over else "waiting"
    tasks = [task for each in pods.values() for task in each]
    if over:
        # Argo leaves the node above the attempts as it was when the Workflow ended from outside.
        tasks = [_ended(task) if task.state in ("waiting", "running") else task for task in tasks]
    # Argo visits what it leaves out in an order of its own, and notes the time.
    left_out = {task.name: task for task in tasks if task.state == "skipped"}
    tasks = [task for task in tasks if task.name not in left_out]
    begun = {task.name for task in tasks}
    planned = [
        name
        for pod in _planned(templates.get(str(spec.get("entrypoint")), {}))
        for name in task_logs.tasks_of(workflow, {"templateName": pod}) or [pod]
        if not {pod, name} & begun
    ]
    tasks += [left_out.pop(name, RemoteTask(name, later)) for name in planned] + list(left_out.values())
    if state == "running" and any(task.error for task in tasks if task.state == "waiting"):
        state = "running" if any(task.state == "running" for task in tasks) else "waiting"
    parameters = (spec.get("arguments") or {}).get("parameters") or []
    return RemoteRun(
        id=metadata["name"],
        name=metadata["name"],
        state=state,
        created=moment(status.get("startedAt") or metadata.get("creationTimestamp")),
        ended=moment(status.get("finishedAt")),
        error=_why(state, status, tasks),
        parameters={each["name"]: each.get("value", "") for each in parameters},
        tasks=tasks,
    )


def _planned(entrypoint: dict[str, Any]) -> list[str]:
    """The tasks of the Workflow's graph in the pipeline's order; those that Argo has not come to have no node."""
    graph = entrypoint.get("dag") or {}
    return [str(task["name"]) for task in graph.get("tasks") or []]


def _why(state: str, status: dict[str, Any], tasks: list[RemoteTask]) -> str:
    """Why a run is in its state: the first of its tasks that says so, else what Argo says of the whole."""
    said = argo_messages.reason(status.get("message") or "")
    if state in ("done", "running"):
        return ""
    if state != "stopped":
        telling = [task for task in tasks if task.error and task.state in ("failed", "stopped", state)]
        telling.sort(key=lambda task: (task.state == "waiting", task.ended is None, task.ended))
        if telling:
            return f"{telling[0].name}: {telling[0].error}"
    return said


def _task(
    name: str, node: dict[str, Any], attempts: list[dict[str, Any]], strategy: dict[str, Any], *, shutdown: bool
) -> RemoteTask:
    """A task in the state of its last attempt, with what that says.

    Args:
      name: of the task.
      node: Argo's, of the task.
      attempts: nodes of its attempts.
      strategy: how often Argo tries it.
      shutdown: whether somebody stopped the Workflow.
    """
    last = attempts[-1] if attempts else node
    state = _STATES.get(node.get("phase") or "Pending", "waiting")
    if state == "skipped":
        return RemoteTask(name, state)
    if node.get("type") == "Suspend" and state == "running":
        question = suspension.question_of(node)
        note = f"{WAITS}a person: {question.command} (until {question.deadline})" if question else "suspended"
        return RemoteTask(name, "waiting", moment(node.get("startedAt")), error=note, asks=bool(question))
    if state == "done" and _output(last, argo_messages.STATE_OUTPUT) == "cached":
        state = "cached"
    message = last.get("message") or ""
    own = _STATES.get(last.get("phase") or "Pending", "waiting")
    error, ended, code = "", node.get("finishedAt"), _EXIT_CODE.search(message)
    if state in ("waiting", "running") and own == "failed":
        lost, exit_code = last["phase"] == "Error", int(code[1]) if code else None
        if retries.is_over(strategy, len(attempts), lost=lost, exit_code=exit_code):
            # Argo says the same after its wait.
            state, ended = "failed", last.get("finishedAt")
    if state == "failed":
        # The node above attempts knows more where there was none, or where the last one left nothing.
        error = argo_messages.reason(message if argo_messages.tells(message) else node.get("message") or "")
        # What was stopped may say no more than that it had to go.
        if argo_messages.is_stop(message) or (shutdown and argo_messages.is_termination(message)):
            state, error = "stopped", argo_messages.STOPPED
    elif state in ("waiting", "running"):
        if own == "failed":
            state, error = "waiting", f"attempt {len(attempts)} failed: {argo_messages.reason(message)}"
        elif own == "waiting":
            state, error = "waiting", _hindrance(name, message, moment(last.get("startedAt")))
    # Of one that waits for its next attempt the error says which it was.
    tried = 0 if state == "waiting" else len(attempts)
    return RemoteTask(name, state, moment(node.get("startedAt")), moment(ended), error, tried)


def _waiting(task: RemoteTask, run: str, doing: Mapping[str, str]) -> RemoteTask:
    """A task that waits for a person, as far as is known; it may be at work still, or again."""
    said = doing.get(task.name, f"{WAITS}a person")
    if task.state != "running" or not said.startswith(WAITS):
        return task
    # On the volume the answer is written from here, not where the stage thinks.
    command = f"./millrace argo approve {run}"
    note = re.sub(
        rf"\./millrace approve {re.escape(run)}(?:-(\S+))?",
        lambda found: command + (f" --candidate {found[1]}" if found[1] else ""),
        said if "./millrace" in said else f"{said}: {command}",
    )
    return replace(task, state="waiting", error=note, asks=True)


def _output(node: dict[str, Any], name: str) -> str:
    """An output parameter of a pod; empty where it has none of that name."""
    parameters = (node.get("outputs") or {}).get("parameters") or []
    return next((str(each.get("value") or "") for each in parameters if each.get("name") == name), "")


def _ended(task: RemoteTask) -> RemoteTask:
    """A task that was under way, or between two attempts, when its run ended."""
    if task.started is None:
        return replace(task, state="skipped", error="")
    return replace(task, state="stopped", error=argo_messages.STOPPED)


def _hindrance(task: str, message: str, since: datetime | None) -> str:
    """What a pod waits for; empty of one that is only beginning."""
    if message not in _BEGINNING:
        return argo_messages.reason(message)
    if since is None or datetime.now(UTC) - since < _MOMENT:
        return ""
    what = message or "no pod"
    return f"{what} for more than {_MOMENT.seconds // 60} min; why: kubectl describe pod -l millrace/task={task}"
