"""Which part of a pipeline is run, and the earlier run that it goes on from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError, did_you_mean
from runners.compiled.tasks import Output, Pipeline, TaskSpec
from runners.history import records


@dataclass(frozen=True)
class Selection:
    """What a person asks to run of a pipeline; all of it where nothing is named.

    Attributes:
      until: stop after this task.
      only: run just these tasks, on the artifacts of an earlier run.
      earlier: id of that run, or the beginning of one; the newest that has what they need without, or as `latest`.
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

    def run_before(self, root: Path, pipeline: Pipeline, selected: set[str]) -> tuple[str, dict[str, dict[str, Any]]]:
        """The run that --only goes on from, and what it has of the tasks that are not run again.

        Args:
          root: the pipeline root.
          pipeline: the pipeline.
          selected: names of the tasks that are run.

        Raises:
          InputError: it has not all that the tasks need, or no run has.
        """
        needed = set().union(*(producers_of(pipeline.tasks[name]) for name in selected)) - selected
        wanted = ", ".join(name for name in pipeline.tasks if name in needed)
        of_pipeline = [run.id for run in records.list_runs(root) if run.pipeline == pipeline.name]
        named = "" if self.earlier == records.LATEST else self.earlier
        candidates = [records.load_run(root, named).id] if named else of_pipeline
        for candidate in candidates:
            found = records.artifacts_of(root, candidate)
            if needed <= found.keys():
                return candidate, {name: found[name] for name in found.keys() - selected}
            if named:
                missing = ", ".join(name for name in pipeline.tasks if name in needed - found.keys())
                raise InputError(
                    f"the run {candidate} has no artifacts of {missing}; without --from the newest that has is taken"
                )
        if not of_pipeline:
            raise InputError(f"--only: no earlier run of {pipeline.name} under {root}; run the whole pipeline first")
        raise InputError(
            f"--only {' '.join(self.only)} needs the artifacts of {wanted}, and no run of "
            f"{pipeline.name} under {root} has them all; run the whole pipeline first"
        )


def producers_of(task: TaskSpec) -> set[str]:
    """The names of the tasks whose outputs a task reads."""
    sources = [*task.parameters.values(), *task.artifacts.values()]
    return {source.task for source in sources if isinstance(source, Output)}
