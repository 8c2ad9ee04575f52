"""Each task of a pod that has several is told for itself, by what the launcher says of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runners.argo.fused_tasks import Told, from_log
from runners.argo.state import remote_run, untold
from runners.terminal.follow import RemoteRun

TASKS = ["statistics", "schema", "validate"]
MISSING = "main: Error (exit code 65): error: schema: no schema.pbtxt"
LOG = [
    "2026-11-30T01:00:05.123456789Z progress: task statistics\n",
    "2026-11-30T01:00:06Z progress: taken from the cache: the execution of run taxi-1\n",
    "2026-11-30T01:00:07Z progress: task schema\n",
    "2026-11-30T01:00:08Z progress: started\n",
    "2026-11-30T01:00:10Z progress: task validate\n",
    "2026-11-30T01:00:11Z progress: [3/9 rows] looking\n",
]


def _told(*states: str) -> str:
    """What the launcher leaves for Argo: each task took 4 s."""
    return json.dumps(
        [
            {
                "task": task,
                "state": state,
                "started": f"2026-11-30T01:00:{4 * place + 5:02d}+00:00",
                "ended": f"2026-11-30T01:00:{4 * place + 9:02d}+00:00",
            }
            for place, (task, state) in enumerate(zip(TASKS, states, strict=False))
        ]
    )


def _workflow(phase: str, message: str = "", output: str = "", attempts: int = 1) -> dict[str, Any]:
    """Ingest, then a pod of three tasks in a phase, then push; attempts before the last one failed."""
    parameters = [{"name": "millrace-tasks", "value": output}]
    pods = {
        f"pod-{place}": {
            "type": "Pod",
            "displayName": f"statistics-to-validate({place})",
            "phase": phase if place == attempts - 1 else "Failed",
            "message": message,
            "startedAt": f"2026-11-30T01:00:{4 * place:02d}Z",
            "outputs": {"parameters": parameters if place == attempts - 1 else []},
        }
        for place in range(attempts)
    }
    above = {
        "type": "Retry",
        "displayName": "statistics-to-validate",
        "templateName": "statistics-to-validate",
        "phase": phase,
        "children": list(pods),
        "startedAt": "2026-11-30T01:00:00Z",
        "finishedAt": "2026-11-30T01:00:30Z" if phase in ("Succeeded", "Failed") else None,
    }
    arguments = [word for task in TASKS for word in ("--task", json.dumps({"task": task}))]
    names = ["ingest", "statistics-to-validate", "push"]
    dag = {"name": "pipeline", "dag": {"tasks": [{"name": name, "template": name} for name in names]}}
    shared = {"name": names[1], "container": {"args": ["--root", "/millrace", *arguments]}}
    done = {"type": "Pod", "displayName": "ingest", "phase": "Succeeded", "startedAt": "2026-11-30T00:59:00Z"}
    whole = phase if phase == "Failed" else "Running"
    return {
        "metadata": {"name": "w"},
        "spec": {"entrypoint": "pipeline", "templates": [dag, shared]},
        "status": {"phase": whole, "nodes": {"ingest": done, "above": above, **pods}},
    }


def _states(run: RemoteRun) -> list[tuple[str, str, float | None, str]]:
    return [(task.name, task.state, task.seconds, task.note) for task in run.tasks[1:-1]]


def test_an_ended_pod_tells_all_of_its_tasks() -> None:
    run = remote_run(_workflow("Succeeded", output=_told("cached", "done", "done")))
    assert [task.name for task in run.tasks] == ["ingest", *TASKS, "push"]
    assert _states(run) == [
        ("statistics", "cached", 4.0, ""),
        ("schema", "done", 4.0, ""),
        ("validate", "done", 4.0, ""),
    ]


def test_a_failed_pod_tells_which_task_it_was_and_that_those_behind_it_did_not_run() -> None:
    run = remote_run(_workflow("Failed", MISSING, _told("done", "failed")))
    assert _states(run) == [
        ("statistics", "done", 4.0, ""),
        ("schema", "failed", 4.0, "no schema.pbtxt"),
        ("validate", "skipped", None, ""),
    ]
    assert run.error == "schema: no schema.pbtxt"


def test_a_pod_at_work_tells_it_in_its_log() -> None:
    workflow = _workflow("Running")
    assert untold(workflow) == ["pod-0"]
    run = remote_run(workflow, {"pod-0": from_log(LOG[:4], "w")})
    assert [(name, state) for name, state, *_ in _states(run)] == [
        ("statistics", "cached"),
        ("schema", "running"),
        ("validate", "waiting"),
    ]
    assert _states(run)[0][2] == pytest.approx(1.88, abs=0.01)


def test_a_log_may_come_in_parts_that_overlap() -> None:
    whole = from_log(LOG, "w")
    assert [each.state for each in whole] == ["cached", "done", ""]
    assert from_log(LOG[3:], "w", from_log(LOG[:4], "w")) == whole
    assert from_log([], "w", whole) == whole


def test_what_an_earlier_attempt_did_is_not_from_the_cache() -> None:
    assert from_log(LOG[:2], "taxi-1")[0].state == "done"


def test_a_pod_that_waits_has_nothing_at_work() -> None:
    why = "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu."
    assert _states(remote_run(_workflow("Pending", why))) == [
        ("statistics", "waiting", None, why),
        ("schema", "waiting", None, ""),
        ("validate", "waiting", None, ""),
    ]


def test_whoever_may_not_read_the_log_is_told_so() -> None:
    first, *others = _states(remote_run(_workflow("Running")))
    assert first == ("statistics", "running", None, "or one behind it: the log of its pod cannot be read")
    assert [state for _, state, *_ in others] == ["waiting", "waiting"]


def test_a_lost_pod_of_which_nobody_knows_is_one_line() -> None:
    run = remote_run(_workflow("Failed", "pod deleted"))
    assert [(task.name, task.state) for task in run.tasks] == [
        ("ingest", "done"),
        ("statistics-to-validate", "failed"),
        ("push", "skipped"),
    ]
    # Who followed it knows more.
    seen = remote_run(_workflow("Failed", "pod deleted"), {"pod-0": [Told("statistics", "done"), Told("schema")]})
    assert [(task.name, task.state) for task in seen.tasks[1:-1]] == [
        ("statistics", "done"),
        ("schema", "failed"),
        ("validate", "skipped"),
    ]


def test_attempts_stand_at_the_task_that_needed_them() -> None:
    # The second one began 4 s after the first.
    run = remote_run(_workflow("Succeeded", output=_told("done", "done", "done"), attempts=3))
    assert [note for *_, note in _states(run)] == ["", "3 attempts", ""]
