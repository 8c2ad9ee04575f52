"""Which part of a pipeline is run, and the earlier run that it goes on from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError, did_you_mean
from components.runtime.launch.executor_files import PLACEHOLDERS
from runners.compiled.tasks import Constant, Output, Parameter, Pipeline, Source, TaskSpec, task_parameters
from runners.history import records


@dataclass(frozen=True)
class Earlier:
    """The run that --only goes on from; nothing of it where a run begins anew.

    Attributes:
      run: its id.
      executions: records of what it has of the tasks that are not run again, by task.
      parameters: its own.
      notes: by the tasks of which the settings say otherwise now than when their results were made, what is told of it.
    """

    run: str = ""
    executions: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    def check_given(self, given: Mapping[str, str], values: Mapping[str, Any], pipeline: Pipeline) -> None:
        """Refuses parameters that would have no effect: the tasks that read them are not run again, and had others.

        Args:
          given: what a person wrote before the value of each: `{"data": "--data "}`.
          values: what they gave.
          pipeline: the pipeline.

        Raises:
          InputError: one of them is not what it was in this run.
        """
        for name, written in given.items():
            if values[name] != self.parameters.get(name):
                readers = [
                    task.name for task in pipeline.tasks.values() if name in parameters_of(pipeline, {task.name})
                ]
                had = self.parameters.get(name, "not recorded")
                raise InputError(
                    f"{written}{values[name]}: {' and '.join(readers)} alone would read it, which --only takes from "
                    f"the run {self.run}, where it was {had}; leave it out, or run the whole pipeline"
                )


@dataclass(frozen=True)
class Selection:
    """What a person asks to run of a pipeline; all of it where nothing is named.

    Attributes:
      until: stop after this task.
      only: run just these tasks, on the artifacts of an earlier run.
      earlier: id of that run, or the beginning of one; the newest that has what they need without, as `latest`,
        or as the pipeline's name.
    """

    until: str = ""
    only: tuple[str, ...] = ()
    earlier: str = ""

    def tasks(self, pipeline: Pipeline) -> set[str]:
        """The names of the selected tasks.

        Raises:
          InputError: one of them is not in the pipeline, or tells how a whole run ended.
        """
        names = pipeline.tasks
        chosen = [self.until] if self.until else list(self.only)
        for name in chosen:
            if name not in names:
                raise InputError(
                    f"no task {name!r} in the pipeline {pipeline.name}{did_you_mean(name, names)}; "
                    f"its tasks are: {', '.join(names)}"
                )
            if names[name].is_exit:
                raise InputError(f"{name} tells how a whole run ended; run the pipeline without --until and --only")
        if self.only:
            return set(self.only)
        if self.until:
            return {self.until, *pipeline.ancestors(self.until)}
        return set(names)

    def run_before(self, root: Path, pipeline: Pipeline, selected: set[str]) -> Earlier:
        """The run that --only goes on from.

        Args:
          root: the pipeline root.
          pipeline: the pipeline.
          selected: names of the tasks that are run.

        Raises:
          InputError: it has not all that the tasks need, or no run has.
        """
        needed = set().union(*(producers_of(pipeline.tasks[name]) for name in selected)) - selected
        wanted = ", ".join(name for name in pipeline.tasks if name in needed)
        of_pipeline = [run for run in records.list_runs(root) if run.pipeline == pipeline.name and not run.decision]
        named = "" if self.earlier in (records.LATEST, pipeline.name) else self.earlier
        candidates = [records.load_run(root, named)] if named else of_pipeline
        for candidate in candidates:
            found = records.artifacts_of(root, candidate.id)
            if needed <= found.keys():
                return Earlier(
                    candidate.id,
                    {name: found[name] for name in found.keys() - selected},
                    candidate.parameters,
                    {name: note for name in needed if (note := self._note(pipeline.tasks[name], found[name]))},
                )
            if named:
                missing = ", ".join(name for name in pipeline.tasks if name in needed - found.keys())
                raise InputError(
                    f"the run {candidate.id} has no artifacts of {missing}; without --from the newest that has is taken"
                )
        if not of_pipeline:
            raise InputError(f"--only: no earlier run of {pipeline.name} under {root}; run the whole pipeline first")
        raise InputError(
            f"--only {' '.join(self.only)} needs the artifacts of {wanted}, and no run of "
            f"{pipeline.name} under {root} has them all; run the whole pipeline first"
        )

    def _note(self, task: TaskSpec, execution: Mapping[str, Any]) -> str:
        """What is told of an earlier result that the settings would make otherwise now; empty where they would not."""
        changed = other_settings(task, execution)
        if not changed:
            return ""
        again = " ".join(f"--only {name}" for name in (task.name, *self.only))
        return (
            f"{task.name} is not run again: its result is of the run {execution['run']}, since which its "
            f"{', '.join(changed)} changed; {again} goes by what the settings say now"
        )


def parameters_of(pipeline: Pipeline, tasks: set[str]) -> set[str]:
    """The names of the pipeline's parameters that any of these tasks reads."""
    return {source.name for name in tasks for source in _sources(pipeline.tasks[name]) if isinstance(source, Parameter)}


def other_settings(task: TaskSpec, execution: Mapping[str, Any]) -> list[str]:
    """The names of a task's inputs that the settings give other values now than an earlier execution of it had."""
    now = task_parameters(
        task, {key: each.value for key, each in task.parameters.items() if isinstance(each, Constant)}
    )
    had = execution.get("parameters", {})
    given = {key for key, source in task.parameters.items() if not isinstance(source, Constant)}
    # What stands for the run's name is another value in each.
    fixed = {key: value for key, value in now.items() if value not in PLACEHOLDERS}
    return sorted(key for key in fixed.keys() & had.keys() - given if fixed[key] != had[key])


def producers_of(task: TaskSpec) -> set[str]:
    """The names of the tasks whose outputs a task reads."""
    sources = [*task.parameters.values(), *task.artifacts.values()]
    return {source.task for source in sources if isinstance(source, Output)}


def _sources(task: TaskSpec) -> list[Source]:
    """Where a task's parameters, and the values in its conditions, come from."""
    return [*task.parameters.values(), *(each for condition in task.conditions for each in condition.values.values())]
