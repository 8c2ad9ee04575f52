"""What each task's pod is given: our defaults, then what the settings say of all, of its stage and of itself."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import yaml
from pydantic import ValidationError

from components.runtime.errors import did_you_mean
from runners import PROJECT
from runners.settings.cluster import StageResources
from runners.settings.kubernetes_values import cpu_cores, memory_bytes

TASKS_OF_ANOTHER_NAME = {
    "transformed-statistics": "statistics",
    "resolve-base": "resolve",
}
"""Tasks of the pipeline that are not called as their stage is."""

GPU_STAGES = ("train", "tune")
"""The stages that have a GPU image."""

NEVER_CACHED = (
    "resolve",
    "pull",
    "approve",
    "push",
    "canary",
    "push_hub",
    "push_vertex",
    "watch",
    "retrain",
    "feedback",
    "notify",
)
"""The stages that read or change what lies outside the pipeline."""

ASKED_AGAIN = ("query",)
"""The stages whose answer may be another each time, unless the settings say that it is not."""

_ENVIRONMENT = {
    # Starting costs 0.1 GB without TensorFlow, 0.6 GB with TFDV, 0.8 GB with TFT and TFMA (measured in new processes);
    # the work comes on top, see docs/benchmarks.md. Processors are shared by who wants them, so little is set
    # aside: two runs fit on a node that has two.
    "client": {"memory": {"request": "256Mi", "limit": "1Gi"}, "cpu": {"request": "100m", "limit": "2"}},
    "data": {"memory": {"request": "1Gi", "limit": "2Gi"}, "cpu": {"request": "250m", "limit": "2"}},
    "serving": {"memory": {"request": "1536Mi", "limit": "3Gi"}, "cpu": {"request": "500m", "limit": "4"}},
    "databases": {"memory": {"request": "512Mi", "limit": "2Gi"}, "cpu": {"request": "100m", "limit": "2"}},
    "export": {"memory": {"request": "1536Mi", "limit": "4Gi"}, "cpu": {"request": "500m", "limit": "4"}},
    "ml": {"memory": {"request": "1536Mi", "limit": "3Gi"}, "cpu": {"request": "500m", "limit": "4"}},
}
_STAGE: dict[str, dict[str, Any]] = {
    "ingest": {"memory": {"request": "512Mi", "limit": "1Gi"}},
    "train": {"memory": {"request": "1536Mi", "limit": "4Gi"}, "timeout": "12h"},
    "tune": {"memory": {"request": "1536Mi", "limit": "4Gi"}, "timeout": "12h"},
    # Vertex AI takes its time: a registration and a deployment may have an hour each.
    "push_vertex": {"timeout": "4h"},
    # It waits for a person, a day at most, and looks at a file now and then.
    "approve": {
        "memory": {"request": "128Mi", "limit": "512Mi"},
        "cpu": {"request": "50m", "limit": "500m"},
        "timeout": "25h",
    },
    # It looks at counters, for as long as the settings say.
    "canary": {
        "memory": {"request": "256Mi", "limit": "1Gi"},
        "cpu": {"request": "50m", "limit": "1"},
        "timeout": "25h",
    },
    # It looks, and asks for one thing; the right to begin runs is this account's alone (manifests/retrain).
    "retrain": {
        "memory": {"request": "256Mi", "limit": "512Mi"},
        "cpu": {"request": "50m", "limit": "500m"},
        "timeout": "10m",
        "service_account": "millrace-retrain",
    },
    # It sends a few lines, and the run waits for it.
    "notify": {
        "memory": {"request": "128Mi", "limit": "256Mi"},
        "cpu": {"request": "50m", "limit": "500m"},
        "timeout": "5m",
    },
}
_ALL: dict[str, Any] = {
    "timeout": "2h",
    # Short: Argo tells of a fault that stays only after the first of these.
    "retry": {"count": 2, "backoff": "5s", "factor": 2.0, "max": "10m"},
}


@functools.cache
def environments() -> dict[str, dict[str, Any]]:
    """What images/environments.yaml says of each environment."""
    content: dict[str, dict[str, Any]] = yaml.safe_load((PROJECT / "images" / "environments.yaml").read_text())
    return content


@functools.cache
def stages() -> dict[str, str]:
    """Environment of every stage."""
    return {stage: name for name, environment in environments().items() for stage in environment.get("stages", [])}


@functools.cache
def stages_on_beam() -> dict[str, str]:
    """Environment of every stage that has another one with Beam's options, which its own has no Beam for."""
    return {stage: name for name, environment in environments().items() for stage in environment.get("on_beam", [])}


def environment(stage: str, *, on_beam: bool = False) -> dict[str, Any]:
    """The environment of a stage: its `name`, and what a warm process of it imports, `preload`.

    Args:
      stage: its name.
      on_beam: whether it has Beam's options.
    """
    name = (stages() | stages_on_beam() if on_beam else stages())[stage]
    return {"name": name, "preload": list(environments()[name].get("preload", []))}


def tasks() -> dict[str, str]:
    """Stage of every task."""
    return {task_name(stage): stage for stage in stages()} | TASKS_OF_ANOTHER_NAME


def task_name(stage: str) -> str:
    """The task that runs a stage, as kfp names it where the pipeline does not: names of pods have no underscore."""
    return stage.replace("_", "-")


def _known() -> dict[str, str]:
    return {stage: stage for stage in stages()} | TASKS_OF_ANOTHER_NAME


def check_names(given: Iterable[str], others: Iterable[str] = ()) -> None:
    """Refuses keys of the section `resources` that are no stage, task or `default`.

    Args:
      given: the keys.
      others: stages and tasks that a pipeline of the model's own has besides.

    Raises:
      ValueError: which one, and the nearest that is known.
    """
    known = ["default", *dict.fromkeys([*_known(), *others])]
    for name in given:
        if name not in known:
            raise ValueError(
                f"resources.{name}: no such stage{did_you_mean(name, known)}; known here: {', '.join(known)}"
            )


def resolve(given: dict[str, Any]) -> dict[str, StageResources]:
    """What each task of the default pipeline is given.

    Args:
      given: the section `resources` as the settings have it, `default` and names of stages or tasks.

    Raises:
      ValueError: what is wrong with it and where, in one line.
    """
    known = _known()
    for name, values in given.items():
        if name == "default" or name in known:
            _check(name, known.get(name, ""), values)
    return {task: of_task(given, task, stage) for task, stage in tasks().items()}


def of_task(given: dict[str, Any], task: str, stage: str) -> StageResources:
    """What one task is given.

    Args:
      given: the section `resources` as the settings have it.
      task: its name.
      stage: that it runs; one that a model brings along has the defaults of the lightest environment.

    Raises:
      ValueError: what is wrong with it and where, in one line.
    """
    if task in given:
        _check(task, stage, given[task])
    environment_of_stage = _ENVIRONMENT.get(stages().get(stage, "client"), {})
    ours: dict[str, Any] = {}
    for layer in [_ALL, environment_of_stage, _STAGE.get(stage, {}), _STAGE.get(task, {})]:
        ours = _merge(ours, layer)
    theirs: dict[str, Any] = {}
    for name in dict.fromkeys(["default", stage, task]):
        theirs = _merge(theirs, given.get(name, {}))
    try:
        return StageResources.model_validate(_fit(_merge(ours, theirs), theirs))
    except ValidationError as error:
        # Each part was valid by itself, so this is what they say together.
        mistake = error.errors()[0]
        where = ".".join(str(part) for part in ("resources", task, *mistake["loc"]))
        raise ValueError(f"{where}: {mistake['msg'].removeprefix('Value error, ')}") from None


def _fit(merged: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Moves our default where the settings' limit is below our request, or their request above our limit."""
    for name, size in (("memory", memory_bytes), ("cpu", cpu_cores)):
        both, given = merged[name], theirs.get(name, {})
        if len(given) == 1 and size(both["request"]) > size(both["limit"]):
            merged[name] = dict.fromkeys(("request", "limit"), *given.values())
    return merged


def _check(name: str, stage: str, values: dict[str, Any]) -> None:
    # (A stage that a model brings along has an image of its own making.)
    if values.get("gpu") is not None and stage not in GPU_STAGES and (not stage or stage in stages()):
        having = " and ".join(name for name in GPU_STAGES if name in stages())
        raise ValueError(
            f"resources.default.gpu: not every stage has a GPU image; ask for it under {having}"
            if name == "default"
            else f"resources.{name}.gpu: the stage {stage} has no GPU image; ask for it under {having}"
        )
    if values.get("caching") and stage in NEVER_CACHED:
        raise ValueError(
            f"resources.{name}.caching: {stage} deals with what lies outside the pipeline and is never cached"
        )


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Mappings are merged, lists are added, of anything else the upper one holds."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            merged[key] = _merge(old, value)
        elif isinstance(value, list) and isinstance(old, list):
            merged[key] = old + value
        else:
            merged[key] = value
    return merged
