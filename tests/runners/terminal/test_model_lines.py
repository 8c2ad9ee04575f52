"""The lines of a run's summary about its models."""

from __future__ import annotations

from typing import Any

from runners.terminal import text
from runners.terminal.model_lines import model_lines


def execution(task: str, **outputs: dict[str, Any]) -> dict[str, Any]:
    made = {name: {"uri": f"/r/{task}/{name}", "metadata": metadata} for name, metadata in outputs.items()}
    return {"task": task, "stage": task, "inputs": {}, "outputs": made, "output_parameters": {}}


def test_a_long_reason_is_cut() -> None:
    review = f"approved by anna: {'because ' * 400}"
    judged = execution("evaluate", blessing={"blessed": True, "reason": "all 2 thresholds hold"})
    approved = execution("approve", approval={"blessed": True, "approved": True, "review": review})
    approved["inputs"] = {"blessing": judged["outputs"]["blessing"]}
    for each in (judged, approved):
        each["inputs"]["model"] = {"uri": "/r/train/model", "type": "system.Model", "metadata": {"digest": "sha256:1"}}
    [line] = [said for label, said, _ in model_lines([judged, approved], whole=True) if label == "checked"]
    assert line == f"{review[: text.REASON - 1]}…"
