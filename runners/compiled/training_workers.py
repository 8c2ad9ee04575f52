"""How many workers a task of train or tune has: read from the compiled pipeline, where the settings have put it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.runtime.errors import InputError
from components.runtime.module_file import workers
from runners.compiled.tasks import Constant, TaskSpec

_CONFIGURATION = "custom_config"


def count(task: TaskSpec) -> int:
    """How many workers a task has; 1 of other stages.

    Raises:
      InputError: what it says of them is wrong.
    """
    source = task.parameters.get(_CONFIGURATION)
    given = source.value if task.stage in workers.VARIABLES and isinstance(source, Constant) else {}
    return workers.options(given, task.stage).workers if isinstance(given, Mapping) else 1


def refuse_several(ir: Mapping[str, Any], target: str) -> None:
    """Refuses a training or a search with several workers, where a task is one pod.

    Raises:
      InputError: which task has several.
    """
    for name, stage, given in _configurations(ir):
        if (several := workers.options(given, stage).workers) > 1:
            raise InputError(
                f"task {name}: {stage}.workers is {several}, and a task of {target} is one pod; set it to 1, or run "
                "the pipeline with Argo, where each worker has a pod"
            )


def _configurations(ir: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Of tasks that say how they run: name, stage and custom_config."""
    for group in [ir.get("root", {}), *ir.get("components", {}).values()]:
        for name, task in group.get("dag", {}).get("tasks", {}).items():
            source = task.get("inputs", {}).get("parameters", {}).get(_CONFIGURATION, {})
            given = source.get("runtimeValue", {}).get("constant")
            if isinstance(given, Mapping) and isinstance(given.get(workers.KEY), Mapping):
                # (Whatever a task is called: a search alone has a budget.)
                stage = "tune" if "max_trials" in task["inputs"]["parameters"] else "train"
                yield name, stage, given
