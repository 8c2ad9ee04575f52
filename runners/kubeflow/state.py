"""Reads the state of a run and of its tasks from the API of Kubeflow Pipelines."""

from __future__ import annotations

from typing import Any

from runners.terminal.follow import RemoteRun, RemoteTask

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


def remote_run(run: Any) -> RemoteRun:
    """Reads a run of the API; drivers and executors are the server's own affair and stand for their task."""
    details = (run.run_details.task_details if run.run_details else None) or []
    names = {task.task_id: task.display_name for task in details}
    tasks: dict[str, RemoteTask] = {}
    for task in sorted(
        details, key=lambda each: (each.create_time is None, each.create_time and str(each.create_time))
    ):
        name = task.display_name or task.task_id
        if name == "root":
            continue
        is_helper = name == "executor" or name.endswith("-driver")
        read = RemoteTask(
            name=name,
            state=STATES.get(task.state, "waiting"),
            started=task.start_time,
            ended=task.end_time if task.state not in ("RUNNING", "PENDING") else None,
            error=_error(task.error) or _history_error(task),
        )
        if not is_helper:
            tasks[name] = read if not read.error and name not in tasks else _merged(tasks.get(name), read)
        elif read.state == "failed" and read.error:
            owner = names.get(task.parent_task_id, "") if name == "executor" else name.removesuffix("-driver")
            if owner and owner != "root":
                failed = RemoteTask(owner, "failed", read.started, read.ended, read.error)
                tasks[owner] = _merged(tasks.get(owner), failed)
    config = run.runtime_config
    return RemoteRun(
        id=run.run_id,
        name=run.display_name,
        state=STATES.get(run.state, "waiting"),
        created=run.created_at,
        ended=run.finished_at if run.state in ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED") else None,
        error=_error(run.error),
        parameters=dict((config.parameters if config else None) or {}),
        tasks=list(tasks.values()),
    )


def _merged(first: RemoteTask | None, second: RemoteTask) -> RemoteTask:
    """The task's own state, with whichever error there is."""
    if first is None:
        return second
    return RemoteTask(second.name, second.state, second.started, second.ended, second.error or first.error)


def _error(status: Any) -> str:
    return " ".join(str(status.message or "").split()) if status is not None else ""


def _history_error(task: Any) -> str:
    return next((_error(each.error) for each in reversed(task.state_history or []) if _error(each.error)), "")
