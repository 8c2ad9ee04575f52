"""What is told of a Workflow's tasks, for each thing that Argo's nodes may say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from runners.argo import state
from runners.argo.options import ArgoOptions
from runners.argo.retries import strategy
from runners.argo.state import remote_run
from runners.terminal import follow
from runners.terminal.follow import RemoteRun

ABOVE = "retryStrategy.expression evaluated to false"


def _run(
    *attempts: tuple[str, str], above: tuple[str, str] = ("Running", ""), phase: str = "Running", **spec: Any
) -> RemoteRun:
    """A Workflow with the tasks train, which Argo tries more than once, and push, to which it has not come."""
    nodes: dict[str, Any] = {"w": {"type": "DAG", "displayName": "w", "phase": phase}}
    for place, (own, message) in enumerate(attempts):
        nodes[f"w-{place}"] = {
            "type": "Pod",
            "displayName": f"train({place})",
            "phase": own,
            "message": message,
            "startedAt": f"2026-11-21T01:0{place}:00Z",
        }
    nodes["w-train"] = {
        "type": "Retry",
        "displayName": "train",
        "templateName": "train",
        "phase": above[0],
        "message": above[1],
        "children": [f"w-{place}" for place in range(len(attempts))],
        "startedAt": "2026-11-21T01:00:00Z",
    }
    tasks = [{"name": "train", "template": "train"}, {"name": "push", "template": "push"}]
    templates = [
        {"name": "pipeline", "dag": {"tasks": tasks}},
        {"name": "train", "retryStrategy": strategy({}, ArgoOptions(), 7200)},
    ]
    return remote_run(
        {
            "metadata": {"name": "w"},
            "spec": {"entrypoint": "pipeline", "templates": templates} | spec,
            "status": {"phase": phase, "nodes": nodes},
        }
    )


def _told(run: RemoteRun) -> list[tuple[str, str, str]]:
    return [(task.name, task.state, task.error) for task in run.tasks]


def test_a_failed_task_says_what_its_last_attempt_said() -> None:
    passing, last = "main: Error (exit code 75): error: disk full", "main: Error (exit code 65): error: wrong label"
    run = _run(("Failed", passing), ("Failed", last), above=("Failed", ABOVE), phase="Failed")
    assert _told(run) == [("train", "failed", "wrong label"), ("push", "skipped", "")]
    assert (run.state, run.error) == ("failed", "train: wrong label")


def test_a_task_without_a_pod_says_what_argo_said() -> None:
    message = 'pods "w-0" is forbidden: error looking up service account'
    run = _run(("Error", ""), above=("Error", message), phase="Error")
    assert run.error == f"train: {message}"


@pytest.mark.parametrize(
    "reason",
    ["Unschedulable: 0/1 nodes are available: 1 Insufficient cpu.", 'ErrImagePull: "millrace/train": not found'],
)
def test_a_pod_that_cannot_start_does_not_run(reason: str) -> None:
    run = _run(("Pending", reason))
    assert _told(run) == [("train", "waiting", reason), ("push", "waiting", "")]
    assert (run.state, run.error) == ("waiting", f"train: {reason}")


def test_why_no_node_takes_a_pod_is_told_once() -> None:
    why = "Unschedulable: 0/1 nodes are available: 1 node(s) had untolerated taint(s)."
    # The words of the scheduler of Kubernetes 1.34.
    more = (
        "no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )
    assert _told(_run(("Pending", f"{why} {more}")))[0] == ("train", "waiting", why)


@pytest.mark.parametrize("reason", ["", "PodInitializing", "ContainerCreating"])
def test_a_pod_that_begins_waits_for_nothing_in_particular(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2026, 11, 21, 1, 2, tzinfo=UTC)

    monkeypatch.setattr(state, "datetime", Clock)
    run = _run(("Pending", reason))
    assert _told(run)[0] == ("train", "waiting", "")
    assert (run.state, run.error) == ("running", "")


def test_a_beginning_without_end_is_told() -> None:
    run = _run(("Pending", "ContainerCreating"))
    why = "ContainerCreating for more than 3 min; why: kubectl describe pod -l millrace/task=train"
    assert _told(run)[0] == ("train", "waiting", why)


def test_between_two_attempts_nothing_runs() -> None:
    run = _run(("Error", "pod deleted"), above=("Running", "Backoff for 5 seconds"))
    why = "attempt 1 failed: its pod was lost: deleted, drained or preempted"
    assert _told(run)[0] == ("train", "waiting", why)
    again = _run(("Error", "pod deleted"), ("Running", ""))
    assert (_told(again)[0], again.state) == (("train", "running", ""), "running")
    assert (run.tasks[0].note, again.tasks[0].note) == (why, "attempt 2")


def test_attempts_are_counted_where_there_was_more_than_one() -> None:
    once = _run(("Succeeded", ""), above=("Succeeded", ""))
    twice = _run(("Error", "pod deleted"), ("Succeeded", ""), above=("Succeeded", ""))
    assert [run.tasks[0].note for run in (once, twice)] == ["", "2 attempts"]


def test_a_stopped_task_has_not_failed() -> None:
    said = "workflow shutdown with strategy:  Stop"
    run = _run(("Failed", said), above=("Failed", "Stopped with strategy 'Stop'"), phase="Failed", shutdown="Stop")
    assert _told(run) == [("train", "stopped", "the Workflow was stopped"), ("push", "skipped", "")]
    assert run.state == "stopped"


@pytest.mark.parametrize(
    "said",
    ["main: Error (exit code 143)", "main: Error (exit code 137): progress: the container of the stage has begun"],
)
def test_a_stopped_task_that_only_says_that_it_had_to_go_has_not_failed(said: str) -> None:
    run = _run(("Failed", said), above=("Failed", ""), phase="Failed", shutdown="Stop")
    assert _told(run)[0] == ("train", "stopped", "the Workflow was stopped")
    lost = _run(("Failed", said), above=("Failed", ""), phase="Failed")
    assert _told(lost)[0][1:] == ("failed", "its pod had to go (SIGTERM): it was deleted, or its node shut down")


def test_a_run_that_was_stopped_between_two_attempts_has_no_task_that_waits() -> None:
    """Argo leaves the node above the attempts running."""
    lost = "main: Error (exit code 143)"
    run = _run(("Failed", lost), above=("Running", "Backoff for 5 seconds"), phase="Failed", shutdown="Stop")
    assert _told(run)[0] == ("train", "stopped", "the Workflow was stopped")


def test_a_last_attempt_that_was_stopped_has_not_failed() -> None:
    said = "workflow shutdown with strategy:  Stop"
    run = _run(*[("Failed", FULL)] * 2, ("Failed", said), above=("Running", ""), shutdown="Stop")
    assert _told(run)[0] == ("train", "stopped", "the Workflow was stopped")


def test_a_deadline_is_told_as_that() -> None:
    over = "retry exceeded workflow deadline 2026-11-29 02:30:14 +0000 UTC"
    run = _run(("Failed", "Step exceeded its deadline"), above=("Failed", over), phase="Failed")
    assert run.error == "train: the run's time was over (cluster.deadline)"


WRONG, FULL = "main: Error (exit code 65): error: wrong label", "main: Error (exit code 75): error: disk full"


def test_an_attempt_that_no_other_follows_is_the_end_of_its_task(capsys: pytest.CaptureFixture[str]) -> None:
    """Argo waits before it says so; it is told at once, and once."""
    looks = [
        _run(("Running", "")),
        _run(("Failed", WRONG), above=("Running", "")),
        _run(("Failed", WRONG), above=("Failed", ABOVE), phase="Failed"),
    ]
    assert [_told(run)[0][1:] for run in looks] == [("running", ""), *[("failed", "wrong label")] * 2]
    follow.follow(iter(looks).__next__, interval=0.0)
    assert capsys.readouterr().out.count("wrong label") == 1
    last = _run(*[("Failed", FULL)] * 3, above=("Running", ""))
    assert _told(last)[0] == ("train", "failed", "disk full"), "the last of three"


@pytest.mark.parametrize(
    ("phase", "message", "why"),
    [
        ("Failed", FULL, "disk full"),
        ("Failed", "main: Error (exit code 143)", "its pod had to go (SIGTERM): it was deleted, or its node shut down"),
        ("Error", "main: Error (exit code 65): error: wrong label", "wrong label"),
    ],
)
def test_an_attempt_that_another_may_follow_is_told_as_one(phase: str, message: str, why: str) -> None:
    assert _told(_run((phase, message)))[0] == ("train", "waiting", f"attempt 1 failed: {why}")


def test_another_workflow_may_try_anything_again() -> None:
    templates = [{"name": "train", "retryStrategy": {"limit": "2", "retryPolicy": "Always"}}]
    assert _told(_run(("Failed", WRONG), templates=templates))[0] == (
        "train",
        "waiting",
        "attempt 1 failed: wrong label",
    )


def test_what_was_left_out_stands_where_the_pipeline_has_it_and_took_no_time() -> None:
    """Argo visits it in an order of its own, at a moment that it notes twice."""

    def node(name: str, phase: str, kind: str, second: int) -> dict[str, str]:
        time = f"2026-11-21T01:00:{second:02d}Z"
        return {"displayName": name, "type": kind, "phase": phase, "startedAt": time, "finishedAt": time}

    nodes = {
        "1": node("ingest", "Succeeded", "Pod", 1),
        "2": node("train", "Failed", "Pod", 9),
        "5": node("push", "Omitted", "Skipped", 10),
        "4": node("evaluate", "Omitted", "Skipped", 11),
        "3": node("resolve", "Skipped", "Skipped", 12),
    }
    names = ("ingest", "train", "resolve", "evaluate", "push", "card")
    graph = {"name": "pipeline", "dag": {"tasks": [{"name": name} for name in names]}}
    run = remote_run(
        {
            "metadata": {"name": "w"},
            "spec": {"entrypoint": "pipeline", "templates": [graph]},
            "status": {"phase": "Failed", "nodes": nodes},
        }
    )
    assert [task.name for task in run.tasks] == list(names)
    assert {task.seconds for task in run.tasks if task.state == "skipped"} == {None}
    assert [task.state for task in run.tasks] == ["done", "failed", *["skipped"] * 4]
