"""How many workers a task trains with: read from the compiled pipeline, where the settings have put it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.runtime.errors import InputError
from components.runtime.module_file import workers
from runners.compiled.tasks import Constant, TaskSpec

STAGE = "train"
_CONFIGURATION = "custom_config"


def count(task: TaskSpec) -> int:
    """How many workers a task trains with; 1 of all others.

    Raises:
      InputError: what it says of them is wrong.
    """
    source = task.parameters.get(_CONFIGURATION)
    given = source.value if task.stage == STAGE and isinstance(source, Constant) else {}
    return workers.options(given).workers if isinstance(given, Mapping) else 1


def refuse_several(ir: Mapping[str, Any], target: str) -> None:
    """Refuses a training with several workers, where a task is one pod.

    Raises:
      InputError: which task has several.
    """
    for name, given in _configurations(ir):
        if (several := workers.options(given).workers) > 1:
            raise InputError(
                f"task {name}: train.workers is {several}, and a task of {target} is one pod; set it to 1, or run the "
                "pipeline with Argo, where each worker has a pod"
            )


def _configurations(ir: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for group in [ir.get("root", {}), *ir.get("components", {}).values()]:
        for name, task in group.get("dag", {}).get("tasks", {}).items():
            source = task.get("inputs", {}).get("parameters", {}).get(_CONFIGURATION, {})
            given = source.get("runtimeValue", {}).get("constant")
            if isinstance(given, Mapping) and isinstance(given.get(workers.KEY), Mapping):
                yield name, given
