"""What closes a Workflow records the run, whatever it was given."""

from __future__ import annotations

from pathlib import Path

from components.runtime import close_workflow


def test_a_parameter_of_another_type_is_recorded_as_it_was_given(tmp_path: Path) -> None:
    plan = {"pipeline": "taxi", "parameters": {"train_steps": "NUMBER_INTEGER", "data": "STRING"}, "tasks": []}
    given = {"train_steps": "abc", "data": "/d"}
    status = {"state": "FAILED", "error": {"code": 65, "message": "train: parameter 'train_steps' is 'abc'"}}
    record = close_workflow.record(tmp_path, "taxi-1", plan, "2026-11-29T10:00:00+00:00", status, given)
    assert (record["state"], record["exit_code"]) == ("failed", 65)
    assert record["parameters"] == given
