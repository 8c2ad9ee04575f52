"""Reads a compiled pipeline: KFP's IR YAML as a flat list of tasks with the sources of their arguments.

The format is kubeflow/pipelines, api/v2alpha1/pipeline_spec.proto.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from components.runtime.errors import InputError
from components.runtime.launch.fused import PARTS_OPTION, inner_name
from components.runtime.records.final_status import INPUT as STATUS
from components.runtime.stage.executor import EXECUTOR_INPUT_OPTION
from components.runtime.text.yaml_files import SAFE_LOADER
from runners.compiled.tasks import (
    Condition,
    Constant,
    FinalStatus,
    FusedPod,
    Output,
    Parameter,
    Pipeline,
    Source,
    TaskSpec,
)
from runners.settings import resources

CACHED_BY_CONTENT = "MILLRACE_CACHED_BY_CONTENT"
"""The variable of a container whose task our own cache may answer although that of KFP is switched off for it."""

FOREIGN_STAGE = "MILLRACE_STAGE"
"""The variable of a container that has an image and a command of its own, nothing of ours: its stage."""

READ_ONLY_ANNOTATION = "millrace/read-only-mounts"
"""Mount paths, parted by commas, that a pod must not write to."""

VERTEX_ANNOTATION = "millrace/vertex-accelerator"
"""What Vertex AI calls the accelerator that the pod asks for; read when a pipeline is submitted there."""

ACCOUNT_ANNOTATION = "millrace/service-account"
"""The service account of a pod that has another one than its run; the Argo target reads it."""

FUSED_MODULE = "components.runtime.launch.fused_executor"
"""What runs a task that stands for several, see runners/compiled/fusing.py."""


def documents(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two documents of a compiled pipeline: the IR, and the platform spec, empty where there is none.

    Raises:
      InputError: it is not YAML, or not one or two mappings.
    """
    try:
        found = list(yaml.load_all(text, SAFE_LOADER))
    except yaml.YAMLError as error:
        raise InputError(f"not a compiled pipeline: not YAML: {' '.join(str(error).split())}") from None
    if not 1 <= len(found) <= 2 or not all(isinstance(document, dict) for document in found):
        raise InputError(
            "not a compiled pipeline: expected KFP's IR and its platform spec; make one with `./millrace compile MODEL`"
        )
    return found[0], found[1] if len(found) == 2 else {}


def read(ir: dict[str, Any]) -> Pipeline:
    """Reads the first document of a compiled pipeline.

    Raises:
      InputError: it is not a pipeline, or uses a construct that only the KFP backend runs.
    """
    try:
        root = ir["root"]
        pipeline = Pipeline(ir["pipelineInfo"]["name"], dict(root.get("inputDefinitions", {}).get("parameters", {})))
    except (KeyError, TypeError):
        raise InputError(
            "not a compiled pipeline: pipelineInfo or root is missing; make one with `./millrace compile MODEL`"
        ) from None
    scope: dict[str, Source] = {name: Parameter(name) for name in pipeline.parameters}
    _check_exit_tasks(ir)
    _Reader(ir, pipeline).dag(root["dag"], scope, (), frozenset())
    return pipeline


def _check_exit_tasks(ir: dict[str, Any]) -> None:
    """Refuses tasks that run whatever became of others, unless it is one behind all others.

    Raises:
      InputError: an exit handler around a part of the pipeline, or `ignore_upstream_failure`.
    """
    groups = dags(ir)
    tasks = {key: (task, dag) for dag in groups for key, task in dag.get("tasks", {}).items() if _runs_always(task)}
    for key, (task, dag) in tasks.items():
        others = dag["tasks"].keys() - {key}
        around = [dag["tasks"][other]["componentRef"]["name"] for other in others]
        if (
            dag is not groups[0]
            or len(others) != 1
            or set(task.get("dependentTasks", [])) != others
            or "dag" not in ir["components"][around[0]]
        ):
            raise InputError(
                f"task {key}: ignore_upstream_failure, and exit handlers around a part of the pipeline, run on the KFP "
                "backend only; put all other tasks into one dsl.ExitHandler"
            )


def _runs_always(task: dict[str, Any]) -> bool:
    return bool(task.get("triggerPolicy", {}).get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED")


class _Reader:
    """Walks the groups of the pipeline and follows each value to where it is made."""

    def __init__(self, ir: dict[str, Any], pipeline: Pipeline) -> None:
        self._components = ir["components"]
        self._executors = ir["deploymentSpec"]["executors"]
        self._pipeline = pipeline

    def dag(
        self,
        dag: dict[str, Any],
        scope: dict[str, Source],
        conditions: tuple[Condition, ...],
        after: frozenset[str],
    ) -> dict[str, frozenset[str]]:
        """Adds the tasks of one group; returns the names of the tasks behind each of its entries."""
        behind: dict[str, frozenset[str]] = {}
        made: dict[tuple[str, str], Output] = {}
        for key in in_order(dag["tasks"]):
            task = dag["tasks"][key]
            component = self._components[task["componentRef"]["name"]]
            if "iteratorPolicy" in task or "parameterIterator" in task or "artifactIterator" in task:
                raise InputError(f"task {key}: loops run on the KFP backend only")
            parameters = {
                name: _source(binding, scope, made)
                for name, binding in task.get("inputs", {}).get("parameters", {}).items()
            }
            artifacts = {
                name: _source(binding, scope, made)
                for name, binding in task.get("inputs", {}).get("artifacts", {}).items()
            }
            waits_for = after.union(*(behind[earlier] for earlier in task.get("dependentTasks", [])))
            inner = conditions
            if expression := task.get("triggerPolicy", {}).get("condition"):
                inner = (*conditions, Condition(task["taskInfo"]["name"], expression, parameters))
            if "dag" in component:
                inside = self.dag(component["dag"], parameters | artifacts, inner, waits_for)
                behind[key] = frozenset().union(*inside.values())
            else:
                behind[key], outputs = self._add(key, task, component, parameters, artifacts, waits_for, inner)
                made |= {(key, name): output for name, output in outputs.items()}
        return behind

    def _add(
        self,
        key: str,
        task: dict[str, Any],
        component: dict[str, Any],
        parameters: dict[str, Source],
        artifacts: dict[str, Source],
        after: frozenset[str],
        conditions: tuple[Condition, ...],
    ) -> tuple[frozenset[str], dict[str, Output]]:
        """Adds a task, or those that it stands for; returns their names, and who makes each of its outputs."""
        executor = self._executors[component["executorLabel"]]
        if "container" not in executor:
            raise InputError(f"task {key}: not a container component; only those run outside the KFP backend")
        container = executor["container"]
        if parts := parts_of(container):
            pod = FusedPod(
                task["taskInfo"]["name"],
                component["executorLabel"],
                container,
                {part["stage"]: part["environment"] for part in parts},
            )
            return self._add_parts(parts, pod, dict(task.get("retryPolicy", {})), parameters | artifacts, after)
        name = str(task["taskInfo"]["name"])
        if name in self._pipeline.tasks:
            name = key
        is_exit = _runs_always(task)
        if is_exit and STATUS in component.get("inputDefinitions", {}).get("parameters", {}):
            # Where the server that it was compiled for cannot give the status, the IR has no source for it.
            parameters.setdefault(STATUS, FinalStatus())
        condition_sources = [source for condition in conditions for source in condition.values.values()]
        self._pipeline.tasks[name] = TaskSpec(
            name=name,
            stage=stage_of(container),
            component=component,
            container=container,
            parameters=parameters,
            artifacts=artifacts,
            after=after | _producers([*parameters.values(), *artifacts.values(), *condition_sources]),
            conditions=conditions,
            cacheable=bool(task.get("cachingOptions", {}).get("enableCache"))
            or any(variable["name"] == CACHED_BY_CONTENT for variable in container.get("env", [])),
            retry=dict(task.get("retryPolicy", {})),
            is_exit=is_exit,
            foreign=bool(foreign_stage(container)),
        )
        return frozenset({name}), _outputs(name, component)

    def _add_parts(
        self,
        parts: list[dict[str, Any]],
        pod: FusedPod,
        retry: dict[str, Any],
        given: dict[str, Source],
        after: frozenset[str],
    ) -> tuple[frozenset[str], dict[str, Output]]:
        """Adds the tasks that one was made of, as runners/compiled/fusing.py writes them."""
        outputs: dict[str, Output] = {}

        def sources(bindings: dict[str, dict[str, str]]) -> dict[str, Source]:
            return {
                name: given[of["input"]] if "input" in of else Output(of["task"], of["output"])
                for name, of in bindings.items()
            }

        for part in parts:
            parameters, artifacts = sources(part["parameters"]), sources(part["artifacts"])
            self._pipeline.tasks[part["task"]] = TaskSpec(
                name=part["task"],
                stage=part["stage"],
                component=part["component"],
                container={"image": part["image"], **stage_command(part["stage"])},
                parameters=parameters,
                artifacts=artifacts,
                after=after.union(part["after"], _producers([*parameters.values(), *artifacts.values()])),
                conditions=(),
                cacheable=part["cacheable"],
                retry=retry,
                fused=pod,
            )
            outputs |= {
                inner_name(part["task"], name): output
                for name, output in _outputs(part["task"], part["component"]).items()
            }
        return frozenset(part["task"] for part in parts), outputs


def dags(ir: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The graph of the pipeline, and those of the groups in it."""
    return [ir["root"]["dag"], *(each["dag"] for each in ir["components"].values() if "dag" in each)]


def parts_of(container: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The specifications of the tasks that a container stands for; none where it is a stage's own."""
    if FUSED_MODULE not in container.get("command", []):
        return []
    arguments = list(container["args"])
    found: list[dict[str, Any]] = json.loads(arguments[arguments.index(PARTS_OPTION) + 1])
    return found


def stage_command(stage: str) -> dict[str, list[str]]:
    """Command and arguments of the container of every stage."""
    return {"command": ["python", "-m", f"components.{stage}"], "args": [EXECUTOR_INPUT_OPTION, "{{$}}"]}


def foreign_stage(container: Mapping[str, Any]) -> str:
    """Name of the stage of a container that has nothing of ours in it; empty of one that has."""
    return next((str(each["value"]) for each in container.get("env", []) if each["name"] == FOREIGN_STAGE), "")


def check_launchable(ir: Mapping[str, Any]) -> None:
    """Refuses containers that are no stage's, where our launcher has to run them.

    Raises:
      InputError: which one.
    """
    for label, executor in ir["deploymentSpec"]["executors"].items():
        container = executor.get("container", {})
        known = (
            foreign_stage(container) or parts_of(container) or (container and stage_of(container) in resources.stages())
        )
        if not known:
            raise InputError(
                f"task {label.removeprefix('exec-')}: not made by build.stage, so it runs on Kubeflow Pipelines and "
                "Vertex AI only; `compile --no-argo` makes it for these"
            )


def stages(ir: Mapping[str, Any]) -> set[str]:
    """The names of all stages that a compiled pipeline has tasks of, whatever groups these are in."""
    containers = [executor.get("container", {}) for executor in ir["deploymentSpec"]["executors"].values()]
    parts = {part["stage"] for container in containers for part in parts_of(container)}
    return parts | {stage_of(each) for each in containers if each and not parts_of(each)}


def stage_of(container: dict[str, Any]) -> str:
    """Name of the stage: of its package in the command, since a GPU image has another name, else of the image."""
    if named := foreign_stage(container):
        return named
    for word in container.get("command", []):
        if word.startswith("components."):
            return str(word).removeprefix("components.")
    return str(container["image"].rsplit("/", 1)[-1].split("@")[0].split(":")[0])


def _outputs(name: str, component: dict[str, Any]) -> dict[str, Output]:
    definitions = component.get("outputDefinitions", {})
    return {
        output: Output(name, output) for side in ("parameters", "artifacts") for output in definitions.get(side, {})
    }


def _producers(sources: Iterable[Source]) -> frozenset[str]:
    return frozenset(source.task for source in sources if isinstance(source, Output))


def in_order(tasks: dict[str, Any]) -> list[str]:
    """Keys with every task behind those that it depends on."""
    ordered: list[str] = []
    remaining = sorted(tasks)
    while remaining:
        ready = [key for key in remaining if set(tasks[key].get("dependentTasks", [])) <= set(ordered)]
        if not ready:
            raise InputError(f"the tasks {', '.join(remaining)} wait for each other")
        ordered += ready
        remaining = [key for key in remaining if key not in ready]
    return ordered


def _source(binding: dict[str, Any], scope: dict[str, Source], made: dict[tuple[str, str], Output]) -> Source:
    if "runtimeValue" in binding:
        return Constant(binding["runtimeValue"]["constant"])
    for kind in ("componentInputParameter", "componentInputArtifact"):
        if kind in binding:
            return scope[binding[kind]]
    if "taskOutputParameter" in binding:
        output = binding["taskOutputParameter"]
        return made[output["producerTask"], output["outputParameterKey"]]
    if "taskOutputArtifact" in binding:
        output = binding["taskOutputArtifact"]
        return made[output["producerTask"], output["outputArtifactKey"]]
    if "taskFinalStatus" in binding:
        return FinalStatus()
    raise InputError(f"an argument of the kind {', '.join(binding)} runs on the KFP backend only")
