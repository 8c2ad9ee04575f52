"""Makes one task of several (`cluster.fuse`): one pod in their place, in which their stages run one after the other.

Works on the compiled pipeline, KFP's IR and its Kubernetes platform spec: the new task has all inputs and outputs of
those that it stands for, and their specifications in its arguments. There `components.runtime.launch.fused_executor`
finds them, where a KFP backend runs the task, and `runners.compiled.ir`, from which other targets get the single tasks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from components.runtime.errors import InputError, did_you_mean
from components.runtime.launch.fused import JOINT, PARTS_OPTION, inner_name
from components.runtime.stage.executor import EXECUTOR_INPUT_OPTION
from runners.compiled import fused_pods
from runners.compiled.images import GPU, OF_ALL, is_of_all
from runners.compiled.ir import (
    CACHED_BY_CONTENT,
    FUSED_MODULE,
    dags,
    documents,
    in_order,
    parts_of,
    stage_command,
    stage_of,
)
from runners.settings import resources

_OWN_IMAGES = {
    "serving": "the model server",
    "export": "what converts and runs the other formats",
    "databases": "the drivers",
}
"""Environments that the image has not, and what they have."""
_OTHER_CLOUD = "push_vertex"
"""The stage whose environment, Google Cloud's clients, the image has not."""
_SIDES = {
    "parameters": ("taskOutputParameter", "outputParameterKey"),
    "artifacts": ("taskOutputArtifact", "outputArtifactKey"),
}
"""Of inputs: how the IR says which output of which task one is."""


def fuse(text: str, groups: Sequence[Sequence[str]], find_image: Callable[[str, str], str]) -> str:
    """Returns a compiled pipeline with each group of tasks as one task.

    Args:
      text: the compiled pipeline.
      groups: names of tasks, as `cluster.fuse` has them.
      find_image: says what to start for the name and the variant of an image.

    Raises:
      InputError: a group that cannot be one task: which, why.
    """
    if not groups:
        return text
    ir, platform = documents(text)
    executors = platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    for group in groups:
        _Group(ir, executors, group).fuse(find_image)
    # What kfp says at the top about the pipeline's parameters.
    about = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    return about + yaml.safe_dump_all([ir, platform] if platform else [ir], sort_keys=True, width=80)


def warnings(text: str) -> list[str]:
    """A line for each task that KFP and Vertex AI run anew in every run only because of those that it is fused with."""
    lines = []
    for executor in documents(text)[0]["deploymentSpec"]["executors"].values():
        parts = parts_of(executor.get("container", {}))
        cached, others = ([part["task"] for part in parts if part["cached"] is which] for which in (True, False))
        if cached and others:
            lines.append(
                f"warning: cluster.fuse: Kubeflow Pipelines and Vertex AI take {', '.join(cached)} from no earlier "
                f"run, for they never do so with {', '.join(others)}; on Argo each is still taken for itself"
            )
    return lines


class _Group:
    """One group and the part of the pipeline that its tasks are in."""

    def __init__(self, ir: dict[str, Any], configs: dict[str, Any], names: Sequence[str]) -> None:
        self._ir = ir
        self._configs = configs
        self._where = f"cluster.fuse: [{', '.join(names)}]"
        of_all = {task["taskInfo"]["name"]: (key, dag) for dag in dags(ir) for key, task in dag["tasks"].items()}
        for name in names:
            if name not in of_all:
                near = did_you_mean(name, sorted(of_all))
                raise InputError(f"{self._where}: this pipeline has no task {name!r}{near}")
        self._dag = of_all[names[0]][1]
        if any(of_all[name][1] is not self._dag for name in names):
            raise InputError(f"{self._where}: the exit task runs after all others, whatever became of them")
        self._tasks: dict[str, dict[str, Any]] = self._dag["tasks"]
        members = {of_all[name][0] for name in names}
        self._keys = [key for key in in_order(self._tasks) if key in members]
        self.name = f"{self._named(self._keys[0])}{JOINT}{self._named(self._keys[-1])}"
        self._check()

    def _named(self, key: str) -> str:
        return str(self._tasks[key]["taskInfo"]["name"])

    def _component(self, key: str) -> dict[str, Any]:
        component: dict[str, Any] = self._ir["components"][self._tasks[key]["componentRef"]["name"]]
        return component

    def _container(self, key: str) -> dict[str, Any]:
        container: dict[str, Any] = self._ir["deploymentSpec"]["executors"][self._component(key)["executorLabel"]][
            "container"
        ]
        return container

    def _check(self) -> None:
        """One pod can stand for them: its image has them, and no other task comes between."""
        for key in self._keys:
            name = self._named(key)
            if "dag" in self._component(key) or self._tasks[key].get("triggerPolicy"):
                raise InputError(f"{self._where}: {name} is a group of tasks, or runs under a condition")
            stage = stage_of(self._container(key))
            if stage == _OTHER_CLOUD:
                raise InputError(f"{self._where}: {name} needs Google Cloud's clients, which only its own image has")
            if (lacking := _OWN_IMAGES.get(resources.stages().get(stage, ""))) is not None:
                raise InputError(f"{self._where}: {name} needs {lacking}, which only its own image has")
            command = {part: self._container(key).get(part) for part in ("command", "args")}
            if stage not in resources.stages() or command != stage_command(stage):
                raise InputError(f"{self._where}: {name} is no stage of this checkout, whose command the image has")
        members = set(self._keys)
        inside = {key for key in self._tasks if key not in members and self._before(key) & members}
        for key in self._keys:
            if between := sorted(self._before(key) & inside):
                other = self._named(between[0])
                if parts_of(self._container(between[0])):
                    raise InputError(f"{self._where}: it and the group {other} would wait for each other; divide one")
                raise InputError(
                    f"{self._where}: {other} comes after one of them and before {self._named(key)}; fuse it too, or "
                    f"leave {self._named(key)} out"
                )

    def _before(self, key: str) -> set[str]:
        found: set[str] = set()
        waiting = [key]
        while waiting:
            for earlier in set(self._tasks[waiting.pop()].get("dependentTasks", [])) - found:
                found.add(earlier)
                waiting.append(earlier)
        return found

    def _inner(self, key: str, name: str) -> str:
        return inner_name(self._named(key), name)

    def fuse(self, find_image: Callable[[str, str], str]) -> None:
        """Puts the one task in the place of the others."""
        component: dict[str, Any] = {"executorLabel": f"exec-{self.name}"}
        inputs: dict[str, dict[str, Any]] = {}
        parts = []
        for key in self._keys:
            definitions = self._component(key)
            part = self._part(key, definitions)
            for side in _SIDES:
                for name, binding in self._tasks[key].get("inputs", {}).get(side, {}).items():
                    if "input" in part[side][name]:
                        inputs.setdefault(side, {})[self._inner(key, name)] = binding
                        defined = definitions["inputDefinitions"][side][name]
                        component.setdefault("inputDefinitions", {}).setdefault(side, {})[self._inner(key, name)] = (
                            defined
                        )
                for name, defined in definitions.get("outputDefinitions", {}).get(side, {}).items():
                    component.setdefault("outputDefinitions", {}).setdefault(side, {})[self._inner(key, name)] = defined
            parts.append(part)
        containers = [self._container(key) for key in self._keys]
        made = fused_pods.container(self._where, containers)
        gpu = GPU if made.get("resources", {}).get("accelerator") else ""
        made["image"] = find_image(OF_ALL, gpu)
        made["command"] = ["python", "-m", FUSED_MODULE]
        made["args"] = [EXECUTOR_INPUT_OPTION, "{{$}}", PARTS_OPTION, json.dumps(parts)]
        configs = [self._configs.get(self._component(key)["executorLabel"], {}) for key in self._keys]
        config = fused_pods.config(self._where, configs, containers)
        task = self._task(inputs)
        self._redirect()
        self._remove()
        self._ir["components"][f"comp-{self.name}"] = component
        self._ir["deploymentSpec"]["executors"][f"exec-{self.name}"] = {"container": made}
        if config:
            self._configs[f"exec-{self.name}"] = config
        self._tasks[self.name] = task

    def _part(self, key: str, component: Mapping[str, Any]) -> dict[str, Any]:
        """The specification of one of the tasks."""
        task, container = self._tasks[key], self._container(key)
        stage = stage_of(container)
        part: dict[str, Any] = {
            "task": self._named(key),
            "stage": stage,
            "environment": resources.environment(stage, on_beam=is_of_all(container["image"])),
            "image": container["image"],
            "component": {
                name: component[name] for name in ("inputDefinitions", "outputDefinitions") if name in component
            },
            # By KFP and Vertex AI; our own cache, local and on Argo, answers for what it may as well.
            "cached": (cached := bool(task.get("cachingOptions", {}).get("enableCache"))),
            "cacheable": cached or any(variable["name"] == CACHED_BY_CONTENT for variable in container.get("env", [])),
            "after": sorted(self._named(each) for each in task.get("dependentTasks", []) if each in self._keys),
        }
        for side, (output, output_key) in _SIDES.items():
            part[side] = {}
            for name, binding in task.get("inputs", {}).get(side, {}).items():
                of = binding.get(output, {})
                part[side][name] = (
                    {"task": self._named(of["producerTask"]), "output": of[output_key]}
                    if of.get("producerTask") in self._keys
                    else {"input": self._inner(key, name)}
                )
        return part

    def _task(self, inputs: dict[str, Any]) -> dict[str, Any]:
        tasks = [self._tasks[key] for key in self._keys]
        cached = all(task.get("cachingOptions", {}).get("enableCache") for task in tasks)
        task: dict[str, Any] = {
            "cachingOptions": {"enableCache": True} if cached else {},
            "componentRef": {"name": f"comp-{self.name}"},
            "taskInfo": {"name": self.name},
        }
        if inputs:
            task["inputs"] = inputs
        if after := {each for one in tasks for each in one.get("dependentTasks", [])} - set(self._keys):
            task["dependentTasks"] = sorted(after)
        if policies := [one["retryPolicy"] for one in tasks if one.get("retryPolicy")]:
            # A lost pod takes all of them with it, so that the most that one of them is tried holds.
            task["retryPolicy"] = max(policies, key=lambda each: each["maxRetryCount"])
        return task

    def _redirect(self) -> None:
        """Whoever reads from one of the tasks, or waits for it, does so with the one that stands for all."""
        for key, task in self._tasks.items():
            if key in self._keys:
                continue
            if members := set(task.get("dependentTasks", [])) & set(self._keys):
                task["dependentTasks"] = sorted({*task["dependentTasks"], self.name} - members)
            for side, (output, output_key) in _SIDES.items():
                for binding in task.get("inputs", {}).get(side, {}).values():
                    of = binding.get(output, {})
                    if (producer := of.get("producerTask")) in self._keys:
                        of[output_key] = self._inner(producer, of[output_key])
                        of["producerTask"] = self.name

    def _remove(self) -> None:
        gone = {self._tasks.pop(key)["componentRef"]["name"] for key in self._keys}
        for name in gone - {task["componentRef"]["name"] for dag in dags(self._ir) for task in dag["tasks"].values()}:
            label = self._ir["components"].pop(name)["executorLabel"]
            del self._ir["deploymentSpec"]["executors"][label]
            self._configs.pop(label, None)
