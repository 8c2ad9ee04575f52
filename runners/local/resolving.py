"""What a task of a run here runs on: its parameters, its inputs, and the code that it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from components.runtime.launch.task import BEAM_OPTIONS, Task
from runners.compiled.tasks import (
    Constant,
    FinalStatus,
    Output,
    Parameter,
    Pipeline,
    Source,
    TaskSpec,
    task_parameters,
)
from runners.local.containers import Containers
from runners.local.environments import code_digest
from runners.local.selection import producers_of


@dataclass
class Resolver:
    """Follows the sources of tasks to the executions of one run.

    Attributes:
      pipeline: the compiled one.
      run: its id.
      arguments: values of the pipeline's parameters.
      containers: where the tasks run in their images.
      use_cache: whether earlier executions may answer.
      began: when the run began: here nothing is scheduled.
      executions: records of those that the run made or took, by task.
      status: how the run ended, for its exit task.
    """

    pipeline: Pipeline
    run: str
    arguments: dict[str, Any]
    containers: Containers | None
    use_cache: bool
    began: str
    executions: dict[str, dict[str, Any]] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)

    def task(self, name: str) -> Task:
        """A task whose producers have all ended."""
        spec = self.pipeline.tasks[name]
        inputs = {each: self._artifact(source) for each, source in spec.artifacts.items()}
        return self._task(spec, {each: self._value(source) for each, source in spec.parameters.items()}, inputs)

    def sketch(self, name: str) -> Task:
        """A task with the parameters that are known by now."""
        spec = self.pipeline.tasks[name]
        known = {
            each: self._value(source)
            for each, source in spec.parameters.items()
            if not isinstance(source, Output) or source.task in self.executions
        }
        return self._task(spec, known, {})

    def conditions_hold(self, spec: TaskSpec, *, chosen: bool) -> bool:
        """Whether a task is to run.

        Args:
          spec: of the task.
          chosen: whether a person named it, whatever an earlier run decided.
        """
        for condition in spec.conditions:
            producers = {source.task for source in condition.values.values() if isinstance(source, Output)}
            if producers - self.executions.keys():
                # Behind a skipped task nothing runs.
                if not chosen:
                    return False
            elif not condition.holds({name: self._value(source) for name, source in condition.values.items()}):
                return False
        return not (producers_of(spec) - self.executions.keys())

    def _value(self, source: Source) -> Any:
        if isinstance(source, Constant):
            return source.value
        if isinstance(source, Parameter):
            return self.arguments.get(source.name)
        if isinstance(source, FinalStatus):
            return self.status
        return self.executions[source.task]["output_parameters"][source.name]

    def _artifact(self, source: Source) -> dict[str, Any]:
        assert isinstance(source, Output), source
        artifact: dict[str, Any] = self.executions[source.task]["outputs"][source.name]
        return artifact

    def _task(self, spec: TaskSpec, parameters: dict[str, Any], inputs: dict[str, dict[str, Any]]) -> Task:
        on_beam = bool(parameters.get(BEAM_OPTIONS))
        image = spec.pod_container["image"] if self.containers else spec.container["image"]
        return Task(
            pipeline=self.pipeline.name,
            name=spec.name,
            stage=spec.stage,
            run=self.run,
            component=spec.component,
            container=spec.container | {"image": image},
            parameters=task_parameters(spec, parameters),
            inputs=inputs,
            code=self.containers.digest(image) if self.containers else code_digest(spec.stage, on_beam),
            cacheable=spec.cacheable and self.use_cache,
            foreign=spec.foreign,
            scheduled=self.began,
        )
