"""The loop as docs/loop.md tells it: the city changes, the model decays, is found out, trained anew, and recovers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.runtime.publish import labels
from runners.history.lineage_graph import Graph
from runners.history.records import list_runs
from scripts.story.loop import Story


@pytest.mark.slow
def test_the_city_changes_and_the_model_recovers(tmp_path: Path) -> None:
    story = Story(tmp_path / "story", every=6)
    # It holds each command to its exit code: watch to 3 where it is to find drift, to 0 where all is quiet.
    story.tell()
    runs = {run.id: run for run in list_runs(story.root)}
    looks = [watched(story, run.executions["watch"].path("watched")) for run in in_order(runs, "city-watch")]
    assert [(look["version"], look["state"]) for look in looks] == [
        (1, "ok"),
        (1, "drifted"),
        (1, "drifted"),
        (2, "ok"),
    ]
    quiet, drifted, _, recovered = looks
    assert value(quiet, "auc") > 0.93
    # Day by day it answers worse, and then hardly better than a coin.
    days = [next(one["value"] for one in day["metrics"] if one["name"] == "auc") for day in drifted["windows"]]
    assert days[0] > 0.93 > days[1] > 0.7 > days[2]
    passed = " ".join(drifted["passed"])
    for said in ("auc ", "skew of payment_type ", "skew of fare ", "skew of prediction.outputs "):
        assert said in passed
    assert "trip_start" not in passed
    assert value(recovered, "auc") > 0.87
    # The second model is of the newest two spans, and started from the first.
    first, second = [run for run in in_order(runs, "city") if "train" in run.executions]
    assert first.executions["ingest"].outputs["examples"].metadata["spans"] == [1]
    look = in_order(runs, "city-watch")[2]
    assert second.by == f"{first.by}, watch {look.id}"
    [push] = [
        node for node in Graph.read(story.root).executions.values() if (node.run, node.task) == (second.id, "push")
    ]
    assert push.inputs["after"].endswith("/watched")
    assert second.executions["ingest"].outputs["examples"].metadata["spans"] == [4, 5]
    assert second.executions["resolve-base"].outputs["baseline_model"].metadata["version"] == 1
    assert (
        "training on from the base model; other vocabularies than there: "
        in (story.root / "runs" / second.id / "train.log").read_text()
    )
    # It was compared with the first on the new data, and put in its place.
    assert second.executions["resolve"].outputs["baseline_model"].metadata["version"] == 1
    assert second.executions["push"].outputs["pushed_model"].metadata["replaced"] == 1
    assert "spans 4, 5" in (story.root / "runs" / second.id / "report.html").read_text()
    assert labels.read(story.root / "serving" / "city") == {"stable": 2}


def in_order(runs: dict[str, Any], pipeline: str) -> list[Any]:
    """Runs of a pipeline that did not only decide something, the oldest first."""
    return [runs[name] for name in sorted(runs) if runs[name].pipeline == pipeline and not runs[name].decision]


def watched(story: Story, artifact: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((artifact / "watch.json").read_text())
    return found


def value(look: dict[str, Any], metric: str) -> float:
    """A metric in the window that decides."""
    window = look["windows"][look["decided_by"]["metrics"]]
    return float(next(each["value"] for each in window["metrics"] if each["name"] == metric))
