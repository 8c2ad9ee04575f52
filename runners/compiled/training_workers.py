"""How many workers a task of train or tune has: read from the compiled pipeline, where the settings have put it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.runtime.errors import InputError
from components.runtime.module_file import workers
from runners.compiled.ir import READ_ONLY_ANNOTATION, dags, parts_of
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
    for task in _several(ir):
        raise _one_pod(task, target, "the pipeline with Argo, where each worker has a pod")


def check_on_kubeflow(ir: Mapping[str, Any], platform: Mapping[str, Any]) -> None:
    """Looks whether the tasks with several workers have what these need on Kubeflow Pipelines.

    Args:
      ir: the compiled pipeline.
      platform: its platform spec; empty where there is none.

    Raises:
      InputError: which task lacks what.
    """
    executors = platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    for task in _several(ir):
        if task.stage == "tune":
            raise _one_pod(task, "Kubeflow Pipelines", "the search with Argo, where each worker has a pod")
        if task.pod:
            raise shares_its_pod(task.name, task.stage, task.workers, task.pod)
        pod = executors.get(task.executor, {})
        promised = pod.get("podMetadata", {}).get("annotations", {}).get(READ_ONLY_ANNOTATION, "").split(",")
        if all(mount["mountPath"] in promised for mount in pod.get("pvcMount", [])):
            raise InputError(
                f"task {task.name}: train.workers is {task.workers}, and on Kubeflow Pipelines the other workers get "
                "the inputs by a volume that may be written to; name one, cluster.volume.claim or "
                "resources.train.mounts, and compile again"
            )


def shares_its_pod(name: str, stage: str, several: int, pod: str) -> InputError:
    """The error of a task with several workers that shares its pod with others."""
    return InputError(
        f"task {name}: {stage}.workers is {several}, and cluster.fuse puts it into the pod {pod!r} with others; take "
        "it out of cluster.fuse"
    )


def _one_pod(task: _Several, target: str, instead: str) -> InputError:
    return InputError(
        f"task {task.name}: {task.stage}.workers is {task.workers}, and a task of {target} is one pod; set it to 1, or "
        f"run {instead}"
    )


@dataclass(frozen=True)
class _Several:
    """A task with several workers.

    Attributes:
      name: of the task.
      stage: train or tune.
      workers: how many.
      executor: what the platform spec calls its pod.
      pod: what it is a part of, where it shares its pod with other tasks; else empty.
    """

    name: str
    stage: str
    workers: int
    executor: str
    pod: str


def _several(ir: Mapping[str, Any]) -> Iterator[_Several]:
    for name, stage, given, executor, pod in _configurations(ir):
        if (several := workers.options(given, stage).workers) > 1:
            yield _Several(name, stage, several, executor, pod)


def _configurations(ir: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any], str, str]]:
    """Of tasks that say how they run: name, stage, custom_config, executor, and the pod that they share."""
    executors = ir.get("deploymentSpec", {}).get("executors", {})
    for dag in dags(ir):
        for name, task in dag.get("tasks", {}).items():
            parameters = task.get("inputs", {}).get("parameters", {})
            label = ir.get("components", {}).get(task.get("componentRef", {}).get("name"), {}).get("executorLabel", "")
            container = executors.get(label, {}).get("container", {})
            # (Whatever a task is called: a search alone has a budget.)
            own = (name, "tune" if "max_trials" in parameters else "train", _CONFIGURATION, "")
            shared = [
                (part["task"], part["stage"], part["parameters"].get(_CONFIGURATION, {}).get("input", ""), name)
                for part in parts_of(container)
            ]
            for called, stage, parameter, pod in shared or [own]:
                given = parameters.get(parameter, {}).get("runtimeValue", {}).get("constant")
                if isinstance(given, Mapping) and isinstance(given.get(workers.KEY), Mapping):
                    yield called, stage, given, label, pod
