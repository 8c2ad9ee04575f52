"""Reads the state of a run and of its tasks from a PipelineJob of Vertex AI."""

from __future__ import annotations

from typing import Any

from runners.settings import parameters
from runners.terminal.follow import RemoteRun, RemoteTask, asking

_STATES = {
    "QUEUED": "waiting",
    "PENDING": "waiting",
    "PAUSED": "waiting",
    "RUNNING": "running",
    "CANCELLING": "running",
    "CANCEL_PENDING": "running",
    "SUCCEEDED": "done",
    "SKIPPED": "skipped",
    "NOT_TRIGGERED": "skipped",
    "FAILED": "failed",
    "CANCELLED": "stopped",
}


def remote_run(job: dict[str, Any]) -> RemoteRun:
    """Reads a PipelineJob."""
    details = job.get("jobDetail", {}).get("taskDetails", [])
    tasks = [_task(each) for each in details if each.get("parentTaskId") or each.get("executorDetail")]
    error = one_line(job.get("error", {}).get("message", ""))
    made = RemoteRun(
        id=str(job["name"]).rpartition("/")[2],
        name=str(job.get("displayName", "")),
        state=_state(job),
        created=parameters.moment(job.get("createTime")),
        ended=parameters.moment(job.get("endTime")),
        error=error,
        parameters=dict(job.get("runtimeConfig", {}).get("parameterValues", {})),
        tasks=tasks,
    )
    return asking(made)


def _task(detail: dict[str, Any]) -> RemoteTask:
    return RemoteTask(
        name=str(detail.get("taskName", detail.get("taskId", ""))),
        state=_state(detail),
        started=parameters.moment(detail.get("startTime")),
        ended=parameters.moment(detail.get("endTime")),
        error=one_line(detail.get("error", {}).get("message", "")),
    )


def _state(resource: dict[str, Any]) -> str:
    name = str(resource.get("state", "")).removeprefix("PIPELINE_STATE_")
    return _STATES.get(name, "waiting")


def one_line(what: object) -> str:
    """What the service or its library says, as one line of at most 300 letters."""
    return " ".join(str(what).split())[:300]
