"""A pod of the DAG, of one task or several: what its operator is given."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from components.runtime.errors import InputError
from runners.airflow.conditions import reference, when
from runners.airflow.options import AirflowOptions
from runners.compiled.conditions import Reference
from runners.compiled.images import FUSED
from runners.compiled.launching import (
    CLOSING_SECONDS,
    LAUNCHER_RESOURCES,
    closer,
    parameters_of,
    read_from,
    waits_for,
)
from runners.compiled.pods import SCRATCH, VOLUME, Pod
from runners.compiled.tasks import FinalStatus, Output, Parameter, Pipeline, Source, TaskSpec

CLOSE = "close"
"""The task that closes the run's record."""
OUTPUTS = "/tmp/outputs"
"""Where the launcher leaves files that Argo reads and Airflow does not."""

_LONGEST_NAME = 63
HOME = [{"name": "HOME", "value": "/tmp"}, {"name": "TMPDIR", "value": "/tmp"}]
_PUBLISHES = ("push", "pushed_model")
"""The stage that puts a model into service, and its output that says what came of it."""


class Tasks:
    """Translates the pods of one pipeline."""

    def __init__(self, pipeline: Pipeline, platform: Mapping[str, Any], options: AirflowOptions) -> None:
        """Takes what is common to all.

        Args:
          pipeline: the pipeline.
          platform: the executors of the kubernetes platform spec.
          options: of the DAG.

        Raises:
          InputError: a task that Airflow cannot run, or has no name for.
        """
        self._pipeline = pipeline
        self._platform = platform
        self._options = options
        self.names = _names(pipeline)
        self._references = self._all_references()
        self._told = self._told_outputs()

    def _all_references(self) -> dict[Source, Reference]:
        found: dict[Source, Reference] = {
            Parameter(name): reference(Parameter(name), definition["parameterType"])
            for name, definition in self._pipeline.parameters.items()
        }
        for task in self._pipeline.tasks.values():
            for name, definition in task.component.get("outputDefinitions", {}).get("parameters", {}).items():
                found[Output(task.name, name)] = reference(Output(task.name, name), definition["parameterType"])
        return found

    def _told_outputs(self) -> dict[str, set[str]]:
        """The outputs that Airflow itself needs, by task: what conditions read, and what was published."""
        told: dict[str, set[str]] = {}
        for task in self._pipeline.tasks.values():
            for condition in task.conditions:
                for source in condition.values.values():
                    if isinstance(source, Output):
                        told.setdefault(source.task, set()).add(source.name)
            stage, output = _PUBLISHES
            if task.stage == stage and output in task.component.get("outputDefinitions", {}).get("artifacts", {}):
                told.setdefault(task.name, set()).add(output)
        return told

    @property
    def volumes(self) -> list[dict[str, Any]]:
        """Of every pod."""
        claim = {"name": VOLUME, "persistentVolumeClaim": {"claimName": self._options.claim}}
        return [claim, {"name": SCRATCH, "emptyDir": {}}]

    def arguments(self, tasks: Sequence[TaskSpec]) -> dict[str, Any]:
        """The arguments of the operator of these tasks, which share a pod."""
        first, pipeline = tasks[0], self._pipeline
        config = self._platform.get(first.executor, {})
        pod = Pod(first.pod, first.pod_container, config, self._options.claim, self._options.mount_path, "Airflow")
        decisive, _ = waits_for(pipeline, tasks)
        doubtful = {self.names[name] for name in decisive} & self.conditional()
        told = [f"{task.name}/{name}" for task in tasks for name in sorted(self._told.get(task.name, ()))]
        publishes = any(task.stage == _PUBLISHES[0] and self._told.get(task.name) for task in tasks)
        arguments: dict[str, Any] = {
            "task_id": self.names[first.name],
            "stage": FUSED if first.fused else first.stage,
            "image": first.pod_container["image"],
            "arguments": f'["--outputs", "{OUTPUTS}"]',
            "tasks": [task.name for task in tasks],
            "parameters": parameters_of(tasks),
            "earlier": read_from(pipeline, tasks),
            "tells": told,
            "needs": sorted(doubtful),
            "container": pod.container,
            "env": list(pod.env.values()),
            "mounts": pod.mounts[len(mounts(self._options.mount_path)) :],
            "volumes": list(pod.volumes.values()),
            "spec": self._spec(pod),
            "labels": pod.labels,
            "annotations": pod.annotations,
            **_retries(first.retry),
        }
        if any(task.is_exit for task in tasks):
            arguments["is_last"] = True
        elif self.conditional():
            # What one task leaves out, others may still run behind; the operator looks at what they read from.
            arguments["trigger_rule"] = "none_failed"
        if publishes:
            arguments["outlets"] = "[PUBLISHED]"
        arguments["when"] = when(first.conditions, self._references)
        given = {name: value for name, value in arguments.items() if value or name in ("retries", "task_id")}
        if FinalStatus() in first.parameters.values() and not first.is_exit:
            raise InputError(f"task {first.name}: only the last task is told how the run ended")
        return given

    def closing(self) -> dict[str, Any]:
        """The arguments of the operator that closes the run's record."""
        lender = closer(self._pipeline, "Airflow")
        pod = Pod(CLOSE, {}, {}, self._options.claim, self._options.mount_path, "Airflow")
        spec = self._spec(pod) | {"activeDeadlineSeconds": CLOSING_SECONDS}
        if secrets := self._platform.get(lender.executor, {}).get("imagePullSecret"):
            spec["imagePullSecrets"] = [
                {"name": name} for name in Pod(CLOSE, {}, {"imagePullSecret": secrets}, "", "/millrace").pull_secrets
            ]
        return {
            "task_id": CLOSE,
            "stage": lender.stage,
            "image": lender.pod_container["image"],
            "module": "components.runtime.close_workflow",
            "arguments": '["--plan", json.dumps(PLAN)]',
            "parameters": list(self._pipeline.parameters),
            "container": {"resources": LAUNCHER_RESOURCES},
            "spec": spec,
            "retries": 2,
            "is_last": True,
        }

    def conditional(self) -> set[str]:
        """Airflow's names of the tasks that a condition may leave out: its own, or of one that they read from."""
        found: set[str] = set()
        for task in self._pipeline.tasks.values():
            decisive, _ = waits_for(self._pipeline, [task])
            if task.conditions or found & {self.names[name] for name in decisive}:
                found.add(self.names[task.name])
        return found

    def _spec(self, pod: Pod) -> dict[str, Any]:
        options = self._options
        spec: dict[str, Any] = dict(pod.template)
        if options.service_account:
            # (That of the task itself goes first.)
            spec.setdefault("serviceAccountName", options.service_account)
        if pod.pull_secrets:
            spec["imagePullSecrets"] = [{"name": name} for name in sorted(set(pod.pull_secrets))]
        return spec


def mounts(mount_path: str) -> list[dict[str, str]]:
    """Where every pod has the volume of the pipeline root, and a place of its own."""
    return Pod("", {}, {}, "", mount_path).mounts


def _retries(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Airflow's retries by the IR's RetryPolicy; it doubles the wait, whatever the factor."""
    if not policy:
        return {"retries": 0}
    return {
        "retries": int(policy.get("maxRetryCount", 0)),
        "retry_delay": _timedelta(policy.get("backoffDuration", "5s")),
        "max_retry_delay": _timedelta(policy.get("backoffMaxDuration", "600s")),
    }


def _timedelta(duration: str) -> str:
    """A duration of the IR, which is protobuf's: seconds with an s."""
    return f"timedelta(seconds={round(float(duration.removesuffix('s')))})"


def _names(pipeline: Pipeline) -> dict[str, str]:
    """Airflow's name for the pod of each task: its own where that is allowed, in pods and in Airflow.

    Raises:
      InputError: a stage with nothing of ours in its image; a name that is too long, or that another task has too.
    """
    pods: dict[str, str] = {}
    for name, tasks in pipeline.pods.items():
        if tasks[0].foreign:
            raise InputError(
                f"task {name}: nothing of ours is in its image {tasks[0].pod_container['image']}, and Airflow runs no"
                " launcher beside it; run the pipeline on Argo or Kubeflow, or build the stage into an image of ours"
            )
        found = re.sub(r"[^\w-]+", "-", name, flags=re.ASCII).strip("-")
        if not found or len(found) > _LONGEST_NAME:
            raise InputError(
                f"task name {name!r}: a label of Kubernetes cannot be it; use letters, digits, '-' and '_', at most "
                f"{_LONGEST_NAME}"
            )
        if found in pods.values() or found == CLOSE:
            raise InputError(f"task name {name!r}: another has the same name in Airflow, {found!r}; rename one of them")
        pods[name] = found
    return {name: pods[task.pod] for name, task in pipeline.tasks.items()}
