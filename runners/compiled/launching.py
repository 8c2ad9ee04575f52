"""What the launcher in a pod is told, components.runtime.launch, by the targets whose pods it runs the tasks in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from components.runtime.errors import InputError
from components.runtime.launch.executor_files import PLACEHOLDERS
from runners.compiled.ir import read
from runners.compiled.tasks import (
    Constant,
    FinalStatus,
    Output,
    Parameter,
    Pipeline,
    TaskSpec,
    condition_names,
    task_parameters,
)
from runners.settings import resources

LAUNCHER_RESOURCES = {
    "requests": {"cpu": "100m", "memory": "128Mi"},
    "limits": {"cpu": "1", "memory": "512Mi"},
}
"""Of a container with Python alone, without the libraries of a stage."""
CLOSING_TASK = "close-workflow"
"""Label of the pod that closes the run's record."""
CLOSING_SECONDS = 600
"""That it may take."""

_BACKEND_PLACEHOLDER = re.compile(r"\{\{\$\.(?!inputs\.parameters\[)[^}]*\}\}")


def read_launchable(ir: dict[str, Any], target: str) -> Pipeline:
    """Reads the IR, and refuses what the flat list of tasks would not show, or the launcher cannot run.

    Args:
      ir: the first document of a compiled pipeline.
      target: what runs it, for messages.

    Raises:
      InputError: what it is.
    """
    groups = [("the pipeline", ir.get("root", {}))]
    groups += [(name, component) for name, component in ir.get("components", {}).items() if "dag" in component]
    for where, component in groups:
        dag = component.get("dag", {})
        if where != "the pipeline" and dag.get("outputs"):
            raise InputError(
                f"{where}: outputs of a group of tasks (a nested pipeline's, dsl.OneOf, dsl.Collected) run on the KFP "
                "backend only"
            )
    try:
        pipeline = read(ir)
    except (KeyError, TypeError) as error:
        raise InputError(f"not a compiled pipeline: {error!r} is missing or of another type") from None
    for task in pipeline.tasks.values():
        _check(task, target)
    return pipeline


def _check(task: TaskSpec, target: str) -> None:
    """Every required input of the task has a source, and no output is a list of artifacts."""
    inputs = task.component.get("inputDefinitions", {})
    outputs = task.component.get("outputDefinitions", {})
    artifacts = [*inputs.get("artifacts", {}).items(), *outputs.get("artifacts", {}).items()]
    for name, definition in artifacts:
        if definition.get("isArtifactList"):
            raise InputError(f"task {task.name}: {name!r} is a list of artifacts, which {target} cannot pass on")
    for kind, sources in (("parameters", task.parameters), ("artifacts", task.artifacts)):
        for name, definition in inputs.get(kind, {}).items():
            if name not in sources and not definition.get("isOptional") and "defaultValue" not in definition:
                raise InputError(f"task {task.name}: the {kind[:-1]} {name!r} is missing and has no default")
    if task.container.get("lifecycle"):
        raise InputError(f"task {task.name}: a lifecycle hook of the container runs on the KFP backend only")
    if task.container["image"].startswith("argostub/"):
        raise InputError(
            f"task {task.name}: {task.container['image']} is a stand-in that only the KFP backend knows; make "
            "claims beforehand"
        )


def specification(pipeline: str, task: TaskSpec) -> dict[str, Any]:
    """What the launcher gets of a task, see components/runtime/launch/task_specification.py.

    Args:
      pipeline: its name.
      task: the task.

    Raises:
      InputError: an argument that only the KFP backend can fill in.
    """
    constants = {name: source.value for name, source in task.parameters.items() if isinstance(source, Constant)}
    parameters: dict[str, Any] = {name: {"constant": value} for name, value in task_parameters(task, constants).items()}
    for name, source in task.parameters.items():
        if isinstance(source, Parameter):
            parameters[name] = {"parameter": source.name}
        elif isinstance(source, Output):
            parameters[name] = {"task": source.task, "output": source.name}
        elif isinstance(source, FinalStatus):
            parameters[name] = {"final_status": True}
    for name, value in constants.items():
        if value not in PLACEHOLDERS and (found := _BACKEND_PLACEHOLDER.search(str(value))):
            raise InputError(f"task {task.name}: {name!r} has the placeholder {found[0]}, which only KFP knows")
    artifacts = {}
    for name, source in task.artifacts.items():
        if not isinstance(source, Output):
            raise InputError(f"task {task.name}: the artifact {name!r} is an input of the pipeline; use ingest")
        artifacts[name] = {"task": source.task, "output": source.name}
    container = {key: task.container[key] for key in ("image", "command", "args") if key in task.container}
    spec: dict[str, Any] = {
        "pipeline": pipeline,
        "task": task.name,
        "stage": task.stage,
        "component": {
            key: task.component[key] for key in ("inputDefinitions", "outputDefinitions") if key in task.component
        },
        "container": container | {"image": task.pod_container["image"]},
        "parameters": parameters,
        "artifacts": artifacts,
        "cacheable": task.cacheable,
    }
    if task.foreign:
        spec["foreign"] = True
    if task.fused:
        spec["environment"] = task.fused.environments[task.stage]
    return spec


def parameters_of(tasks: Sequence[TaskSpec]) -> list[str]:
    """The pipeline's parameters that these tasks read."""
    sources = [source for task in tasks for source in task.parameters.values()]
    return sorted({source.name for source in sources if isinstance(source, Parameter)})


def read_from(pipeline: Pipeline, tasks: Sequence[TaskSpec]) -> list[str]:
    """The tasks of other pods whose executions these read, in the pipeline's order."""
    sources = [source for task in tasks for source in (*task.parameters.values(), *task.artifacts.values())]
    names = {source.task for source in sources if isinstance(source, Output)} - {task.name for task in tasks}
    return [name for name in pipeline.tasks if name in names]


def waits_for(pipeline: Pipeline, tasks: Sequence[TaskSpec]) -> tuple[set[str], set[str]]:
    """What tasks that share a pod come after.

    Returns:
      The tasks of other pods that must have succeeded, since these read from them or their conditions do, and of all
      that must have ended those that no other one waits for in its turn. The first are among the second.
    """
    decisive = set(read_from(pipeline, tasks))
    for condition in tasks[0].conditions:
        decisive |= {source.task for source in condition.values.values() if isinstance(source, Output)}
    after = set().union(*(task.after for task in tasks)) - {task.name for task in tasks}
    # What another one waits for has ended before it.
    implied: set[str] = set().union(*(pipeline.ancestors(earlier) for earlier in decisive | after))
    return decisive, decisive | (after - implied)


def lender(pipeline: Pipeline, preferred: TaskSpec, target: str) -> TaskSpec:
    """The task whose image the launcher is taken from: one of ours, and a light one where there is any.

    Args:
      pipeline: that needs a launcher.
      preferred: the task whose image it is if that has a launcher.
      target: what runs the pipeline, for messages.

    Raises:
      InputError: no task has one.
    """
    if not preferred.foreign:
        return preferred
    ours = [task for task in pipeline.tasks.values() if not task.foreign]
    if not ours:
        raise InputError(
            f"the pipeline {pipeline.name} has no stage of ours: {target} needs one image with the launcher in it, that"
            " records what stages made; give it a task of ours, such as ingest, or compile with --no-argo"
        )
    light = [task for task in ours if resources.stages().get(task.stage) == "client" and not task.fused]
    return (light or ours)[0]


def closer(pipeline: Pipeline, target: str) -> TaskSpec:
    """The task whose image closes the run's record: the exit task's, or a light one that the run has pulled anyway."""
    tasks = list(pipeline.tasks.values())
    return next((task for task in tasks if task.is_exit and not task.foreign), None) or lender(
        pipeline, tasks[0], target
    )


def plan(pipeline: Pipeline) -> dict[str, Any]:
    """What the run's record says of tasks that did not run, see components/runtime/close_workflow.py."""
    return {
        "pipeline": pipeline.name,
        "parameters": {name: definition["parameterType"] for name, definition in pipeline.parameters.items()},
        "tasks": [
            {"name": task.name, "stage": task.stage, "after": sorted(task.after), "condition": condition_names(task)}
            | ({"pod": task.fused.name} if task.fused else {})
            for task in pipeline.tasks.values()
        ],
    }
