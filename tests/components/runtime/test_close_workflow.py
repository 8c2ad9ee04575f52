"""What closes a Workflow records the run, whatever it was given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from components.runtime import close_workflow
from components.runtime.records import final_status


def test_a_parameter_of_another_type_is_recorded_as_it_was_given(tmp_path: Path) -> None:
    plan = {"pipeline": "taxi", "parameters": {"train_steps": "NUMBER_INTEGER", "data": "STRING"}, "tasks": []}
    given = {"train_steps": "abc", "data": "/d"}
    status = {"state": "FAILED", "error": {"code": 65, "message": "train: parameter 'train_steps' is 'abc'"}}
    record = close_workflow.record(tmp_path, "taxi-1", plan, "2026-11-29T10:00:00+00:00", status, given, {})
    assert (record["state"], record["exit_code"]) == ("failed", 65)
    assert record["parameters"] == given


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


def _planned(name: str) -> dict[str, object]:
    return {"name": name, "stage": name, "after": [], "condition": ""}
