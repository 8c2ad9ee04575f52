"""What executions made of models, told by what they read and made."""

from __future__ import annotations

from typing import Any

from components.runtime.records.answered import MODEL, RecordedExecution, recorded
from components.runtime.records.models import models


def execution(task: str, stage: str, inputs: dict[str, Any], outputs: dict[str, dict[str, Any]]) -> RecordedExecution:
    made = {
        name: {
            "uri": f"/r/{task}/{name}",
            "type": {"metrics": "system.Metrics"}.get(name, MODEL if "model" in name else "system.Artifact"),
            "metadata": metadata,
        }
        for name, metadata in outputs.items()
    }
    return recorded({"task": task, "stage": stage, "inputs": inputs, "outputs": made})


def artifact(task: str, name: str, **metadata: Any) -> dict[str, Any]:
    kind = MODEL if "model" in name else "system.Artifact"
    return {"uri": f"/r/{task}/{name}", "type": kind, "metadata": metadata}


def test_a_model_that_is_published_in_several_places_is_one() -> None:
    model, blessing = artifact("train", "model"), artifact("evaluate", "blessing", blessed=True)
    read = {"model": model, "blessing": blessing}
    pushed = {"pushed": True, "destination": "/srv/taxi", "version": 3, "created": True}
    ran = [
        execution("train", "train", {}, {"model": {}, "metrics": {"loss": 0.5}}),
        execution("resolve", "resolve", {"model": model}, {"baseline_model": {"reason": "version 2"}}),
        execution("evaluate", "evaluate", {"model": model}, {"blessing": {"blessed": True}, "metrics": {"auc": 0.9}}),
        execution("push", "push", read, {"pushed_model": pushed}),
        execution("push-hub", "push_hub", read, {"pushed_model": {"pushed": True, "repo_id": "a/b", "revision": "v1"}}),
        execution("push-vertex", "push_vertex", read, {"pushed_model": {"pushed": True, "resourceName": "models/1"}}),
    ]
    [made] = models(ran).all
    assert (made.task, made.trained, made.training, made.metrics) == ("train", True, {"loss": 0.5}, {"auc": 0.9})
    assert (made.resolved, made.judge, len(made.pushes)) == ("version 2", "evaluate", 3)
    assert [each.get("destination") for each in made.published] == ["/srv/taxi", None]


def test_of_several_the_verdict_counts_that_a_push_goes_by() -> None:
    ran = []
    for name in ("wide", "deep"):
        model = artifact(f"train-{name}", "model")
        ran += [
            execution(f"train-{name}", "train", {}, {"model": {}}),
            execution(f"evaluate-{name}", "evaluate", {"model": model}, {"blessing": {"blessed": name == "deep"}}),
        ]
    assert models(ran).judges == ["evaluate-wide", "evaluate-deep"], "nobody goes by any of them yet"
    read = {"model": artifact("train-wide", "model"), "blessing": artifact("evaluate-wide", "blessing", blessed=False)}
    ran.append(execution("push", "push", read, {"pushed_model": {"pushed": False, "reason": "not blessed"}}))
    told = models(ran)
    assert told.judges == ["evaluate-wide"]
    assert [each.name for each in told.leading] == ["wide"]
    assert [each.published for each in told.all] == [[], []]


def test_what_was_refused_alone_is_no_model_of_the_run() -> None:
    read = {"model": artifact("train", "model"), "blessing": artifact("evaluate", "blessing", blessed=False)}
    ran = [execution("push", "push", read, {"pushed_model": {"pushed": False, "reason": "not blessed"}})]
    assert models(ran).all == []
    assert models([]).leading == []


def reviewed(passed: bool, approved: bool | None = None) -> list[RecordedExecution]:
    """Two trainings, of which the first is served, and looked at by a person, before it is pushed."""
    ran = []
    for name in ("wide", "deep"):
        model = artifact(f"train-{name}", "model")
        verdict = {"blessing": {"blessed": True, "reason": "all hold"}, "metrics": {"auc": 0.9}}
        ran += [
            execution(f"train-{name}", "train", {}, {"model": {}}),
            execution(f"evaluate-{name}", "evaluate", {"model": model}, verdict),
        ]
    model = artifact("train-wide", "model")
    read = {"model": model, "blessing": artifact("evaluate-wide", "blessing", blessed=True)}
    told = {"blessed": passed, "passed": passed, "review": "all 10 checks hold" if passed else "memory: 3 GB"}
    reason = {"reason": "all hold" if passed else "not fit to be served: memory: 3 GB"}
    ran.append(execution("infra-validate-wide", "infra_validate", read, {"infra_blessing": told | reason}))
    read = {"model": model, "blessing": artifact("infra-validate-wide", "infra_blessing", blessed=passed)}
    if approved is not None:
        told = {"blessed": approved, "approved": approved, "review": "said anna", "by": "anna"}
        ran.append(execution("approve-wide", "approve", read, {"approval": told | {"reason": "said anna"}}))
    return ran


def test_what_comes_behind_the_evaluation_hands_its_verdict_on() -> None:
    told = models(reviewed(passed=True, approved=True))
    assert told.choice is None, "to look at a verdict is no choice"
    assert told.judges == ["evaluate-wide"], "the one that is gone by"
    [wide, _deep] = told.all
    assert (wide.blessing or {})["reason"] == "all hold"
    assert [each["review"] for each in wide.reviews.values()] == ["all 10 checks hold", "said anna"]
    assert wide.metrics == {"auc": 0.9}


def test_what_comes_behind_the_evaluation_takes_its_verdict() -> None:
    [wide, deep] = models(reviewed(passed=False)).all
    assert wide.blessing is not None
    assert deep.blessing is not None
    assert (wide.blessing["blessed"], wide.blessing["reason"]) == (False, "not fit to be served: memory: 3 GB")
    assert (deep.blessing["blessed"], deep.reviews) == (True, {})
    [wide, _deep] = models(reviewed(passed=True, approved=False)).all
    assert wide.approval == "said anna"
    assert (wide.blessing or {})["reason"] == "said anna"
    assert wide.judge == "evaluate-wide"
