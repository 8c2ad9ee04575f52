"""What a compiled pipeline consists of: its tasks, where their arguments come from, when they run.

Conditions stay the DSL's own CEL expressions.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.runtime.errors import InputError
from runners.settings.plain_values import LARGEST


@dataclass(frozen=True)
class Constant:
    """A value fixed when the pipeline was compiled."""

    value: Any


@dataclass(frozen=True)
class Parameter:
    """A parameter of the pipeline."""

    name: str


@dataclass(frozen=True)
class Output:
    """An output of another task: an artifact or a parameter."""

    task: str
    name: str


@dataclass(frozen=True)
class FinalStatus:
    """How the run ended: what runs the pipeline gives it to the exit task."""


Source = Constant | Parameter | Output | FinalStatus


@dataclass(frozen=True)
class Condition:
    """A condition of the DSL around a task.

    Attributes:
      name: the group's name in the pipeline.
      expression: CEL over `inputs.parameter_values[...]`.
      values: where the values in it come from.
    """

    name: str
    expression: str
    values: dict[str, Source]

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Evaluates the expression as KFP's backend does.

        Args:
          values: the values by their names in the expression.
        """
        import celpy

        outcome = _program(self.expression).evaluate({"inputs": celpy.json_to_cel({"parameter_values": dict(values)})})
        return bool(outcome)


@functools.cache
def _program(expression: str) -> Any:
    import celpy

    environment = celpy.Environment()
    return environment.program(environment.compile(expression))


@dataclass(frozen=True)
class FusedPod:
    """The one pod of several tasks (`cluster.fuse`).

    Attributes:
      name: of the task that stands for them.
      executor: its executorLabel, the key of its pod in the platform spec.
      container: the IR's PipelineContainerSpec of the pod.
      environments: those of its stages: `name`, and `preload`, what is imported before it is needed.
    """

    name: str
    executor: str
    container: dict[str, Any] = field(hash=False)
    environments: dict[str, dict[str, Any]] = field(hash=False)


@dataclass(frozen=True)
class TaskSpec:
    """One container task of the pipeline, whatever group it was in.

    Attributes:
      name: the task's name on display, unique in the pipeline.
      stage: name of the stage it runs.
      component: the IR's ComponentSpec.
      container: the IR's PipelineContainerSpec.
      parameters: sources of the input parameters that are given.
      artifacts: sources of the input artifacts.
      after: names of the tasks that must have ended before.
      conditions: all must hold, the outermost first.
      cacheable: whether caching is on, of KFP or, where that does not see what a parameter names, our own.
      retry: the IR's RetryPolicy; empty where the task has none.
      is_exit: whether it runs last, however the others ended.
      fused: the pod that it shares with others, where it does.
      foreign: whether image and command are of somebody else's making, with nothing of ours in them.
    """

    name: str
    stage: str
    component: dict[str, Any]
    container: dict[str, Any]
    parameters: dict[str, Source]
    artifacts: dict[str, Source]
    after: frozenset[str]
    conditions: tuple[Condition, ...]
    cacheable: bool
    retry: dict[str, Any] = field(default_factory=dict)
    is_exit: bool = False
    fused: FusedPod | None = None
    foreign: bool = False

    @property
    def pod(self) -> str:
        """Name of the pod that it runs in on a cluster: its own, unless it is fused with others."""
        return self.fused.name if self.fused else self.name

    @property
    def pod_container(self) -> dict[str, Any]:
        """The IR's PipelineContainerSpec of that pod."""
        return self.fused.container if self.fused else self.container

    @property
    def executor(self) -> str:
        """Key of that pod in the platform spec."""
        return self.fused.executor if self.fused else str(self.component["executorLabel"])


@dataclass
class Pipeline:
    """A compiled pipeline."""

    name: str
    parameters: dict[str, dict[str, Any]]
    tasks: dict[str, TaskSpec] = field(default_factory=dict)

    @property
    def pods(self) -> dict[str, list[TaskSpec]]:
        """The tasks by the pod that they run in on a cluster."""
        pods: dict[str, list[TaskSpec]] = {}
        for task in self.tasks.values():
            pods.setdefault(task.pod, []).append(task)
        return pods

    def ancestors(self, name: str) -> set[str]:
        """All tasks that a task depends on, directly or not."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            for earlier in self.tasks[waiting.pop()].after - found:
                found.add(earlier)
                waiting.append(earlier)
        return found

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The pipeline's parameters: those given, else their defaults.

        Raises:
          InputError: an unknown parameter, or a required one that is missing.
        """
        unknown = given.keys() - self.parameters.keys()
        if unknown:
            raise InputError(f"no parameter {sorted(unknown)[0]!r}; the parameters are: {', '.join(self.parameters)}")
        values = {}
        for name, definition in self.parameters.items():
            if name in given:
                values[name] = given[name]
            elif "defaultValue" in definition:
                values[name] = _typed(definition["defaultValue"], definition["parameterType"])
            elif not definition.get("isOptional"):
                raise InputError(f"the parameter {name!r} is missing and has no default")
        return values


def condition_names(task: TaskSpec) -> str:
    """The conditions of a task in words, as the pipeline calls them."""
    return " and ".join(condition.name for condition in task.conditions)


def task_parameters(task: TaskSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """A task's parameters with the defaults of its component, in the types of its component."""
    values = {}
    for name, definition in task.component.get("inputDefinitions", {}).get("parameters", {}).items():
        if name in given:
            values[name] = _typed(given[name], definition["parameterType"])
        elif "defaultValue" in definition:
            values[name] = _typed(definition["defaultValue"], definition["parameterType"])
    return values


def _typed(value: Any, kind: str) -> Any:
    """Integers are numbers with a fraction in YAML made from protobuf's Struct."""
    if kind == "NUMBER_INTEGER":
        return int(value)
    if kind in ("STRUCT", "LIST"):
        return _integers(value)
    return value


def _integers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST:
        return int(value)
    if isinstance(value, dict):
        return {name: _integers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_integers(item) for item in value]
    return value
