"""What closes a Workflow records the run, whatever it was given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.runtime import close_workflow
from components.runtime.lineage import record as lineage
from components.runtime.publish import approval
from components.runtime.publish.approval import Question
from components.runtime.records import final_status


def test_a_parameter_of_another_type_is_recorded_as_it_was_given(tmp_path: Path) -> None:
    plan = {"pipeline": "taxi", "parameters": {"train_steps": "NUMBER_INTEGER", "data": "STRING"}, "tasks": []}
    given = {"train_steps": "abc", "data": "/d"}
    status = {"state": "FAILED", "error": {"code": 65, "message": "train: parameter 'train_steps' is 'abc'"}}
    record = close_workflow.record(tmp_path, "taxi-1", plan, "2026-11-29T10:00:00+00:00", status, given, {})
    assert (record["state"], record["exit_code"]) == ("failed", 65)
    assert record["parameters"] == given


def test_how_long_a_failed_task_took_is_that_of_its_last_attempt_or_unknown(tmp_path: Path) -> None:
    """Train was tried twice, transform left no event; statistics was killed in its work."""
    begun = {"pipeline": "taxi", "task": "train", "stage": "train", "run": "taxi-1", "parameters": {}}
    first = begun | {"started": "2026-11-29T10:00:00+00:00", "finished": "2026-11-29T10:05:00+00:00"}
    last = begun | {"started": "2026-11-29T10:06:00+00:00", "finished": "2026-11-29T10:06:02.500000+00:00"}
    for attempt in first, last:
        lineage.started(tmp_path, "taxi-1", attempt)
        lineage.ended(tmp_path, "taxi-1", attempt, "failed", "wrong")
    lineage.started(tmp_path, "taxi-1", first | {"task": "statistics"})
    lineage.flush()
    names = ("statistics", "transform", "train", "push")
    for name in names[:3]:
        final_status.note_end(tmp_path, "taxi-1", name, error="wrong", code=65)
    tasks = [{"name": name, "stage": name, "after": [], "condition": ""} for name in names]
    plan = {"pipeline": "taxi", "parameters": {}, "tasks": tasks}
    status = {"state": "FAILED", "error": {"code": 65, "message": "train: wrong"}}
    record = close_workflow.record(tmp_path, "taxi-1", plan, "2026-11-29T10:00:00+00:00", status, {}, {})
    assert {task["name"]: (task["state"], task["started"], task["seconds"]) for task in record["tasks"]} == {
        "statistics": ("failed", first["started"], None),
        "transform": ("failed", "", None),
        "train": ("failed", last["started"], 2.5),
        "push": ("skipped", "", None),
    }
    assert {task["peak_memory_bytes"] for task in record["tasks"]} == {None}


def test_the_record_tells_why_attempts_before_the_last_did_not_go_well(tmp_path: Path) -> None:
    nodes = [
        {"displayName": "train(1)", "phase": "Failed", "message": "main: Error (exit code 75): error: disk full"},
        {"displayName": "train(0)", "phase": "Error", "message": "pod deleted"},
    ]
    # As Argo hands it over: quoted once more as a string of Go.
    failures = json.dumps(json.dumps(nodes))
    plan: dict[str, Any] = {"pipeline": "taxi", "parameters": {}, "tasks": [_planned("train"), _planned("push")]}
    attempts = final_status.failed_attempts(failures, {})
    status = {"state": "SUCCEEDED"}
    record = close_workflow.record(tmp_path, "taxi-1", plan, "2026-11-29T10:00:00Z", status, {}, attempts)
    why = ["its pod was lost: deleted, drained or preempted", "disk full"]
    assert {task["name"]: task["failed_attempts"] for task in record["tasks"]} == {"train": why, "push": []}


def test_a_run_that_is_stopped_while_it_is_suspended_stopped_in_its_question_and_takes_it_away(tmp_path: Path) -> None:
    served = tmp_path / "serving" / "taxi"
    asked = {"metrics": {}, "approvers": [], "asked": "", "until": "2999-01-01T00:00:00+00:00", "reason": ""}
    for folder, run, workflow in (
        (served, "taxi-1", "taxi-1"),
        (served / "wide", "taxi-1-wide", "taxi-1"),
        (served, "taxi-2", "taxi-2"),
    ):
        approval.ask(folder, Question(run=run, model_digest="sha256:1", workflow=workflow, **asked))
    node = {"displayName": "approve-wait", "message": "workflow shutdown with strategy:  Stop", "finishedAt": "x"}
    plan = {
        "pipeline": "taxi",
        "parameters": {},
        "tasks": [_planned("evaluate"), _planned("approve") | {"nodes": ["approve-ask", "approve-wait"]}],
    }
    given = ["--root", str(tmp_path), "--run", "taxi-1", "--plan", json.dumps(plan), "--status", "Failed"]
    given += ["--started", "2026-11-29T10:00:00Z", "--failures", json.dumps([node])]
    with pytest.raises(SystemExit) as ended:
        close_workflow.main([*given, "--parameter", f"serving_directory={served}"])
    assert ended.value.code == 0
    record = json.loads((tmp_path / "runs" / "taxi-1" / "run.json").read_text())
    assert record["state"] == "stopped"
    assert {task["name"]: task["state"] for task in record["tasks"]} == {"evaluate": "skipped", "approve": "stopped"}
    assert [question.run for _, question in approval.waiting(served)] == ["taxi-2"]


def _planned(name: str) -> dict[str, object]:
    return {"name": name, "stage": name, "after": [], "condition": ""}


@pytest.mark.parametrize(
    ("attempt", "retries", "state"), [(0, {"train": 2}, "stopped"), (2, {"train": 2}, "failed"), (0, {}, "failed")]
)
def test_a_stop_is_told_though_argo_says_how_the_container_ended(
    tmp_path: Path, attempt: int, retries: dict[str, int], state: str
) -> None:
    """Argo replaces what it says of a stop: only that nothing followed the first attempt tells it from a lost pod."""
    final_status.note_end(tmp_path, "taxi-1", "train", error="ended from outside (SIGTERM)", code=130)
    message = "main: Error (exit code 143): error: ended from outside (SIGTERM)"
    nodes = [{"displayName": "train", "message": ""}, {"displayName": f"train({attempt})", "message": message}]
    status = final_status.of_workflow(tmp_path, "taxi-1", "Failed", json.dumps(json.dumps(nodes)), {}, retries)
    plan: dict[str, Any] = {"pipeline": "taxi", "parameters": {}, "tasks": [_planned("train"), _planned("push")]}
    record = close_workflow.record(tmp_path, "taxi-1", plan, "2026-11-29T10:00:00Z", status, {}, {})
    assert record["state"] == state
    assert [task["state"] for task in record["tasks"]] == ["stopped", "skipped"]
    if state == "stopped":
        assert (record["exit_code"], record["error"]) == (130, "the Workflow was stopped")
