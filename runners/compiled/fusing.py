"""Makes one task of several (`cluster.fuse`): one pod in their place, in which their stages run one after the other.

Works on the compiled pipeline, KFP's IR and its Kubernetes platform spec: the new task has all inputs and outputs of
those that it stands for, and their specifications in its arguments. There `components.runtime.launch.fused_executor`
finds them, where a KFP backend runs the task, and `runners.compiled.ir`, from which other targets get the single tasks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import yaml

from components.runtime.errors import InputError, did_you_mean
from components.runtime.launch.fused import JOINT, PARTS_OPTION, inner_name
from components.runtime.stage.executor import EXECUTOR_INPUT_OPTION
from runners.compiled.images import FUSED, GPU
from runners.compiled.ir import (
    CACHED_BY_CONTENT,
    FUSED_MODULE,
    documents,
    in_order,
    parts_of,
    stage_command,
    stage_of,
)
from runners.compiled.op_functions import READ_ONLY_ANNOTATION
from runners.settings import resources
from runners.settings.kubernetes_values import cpu_cores, memory_bytes

_IMAGE = f"millrace/{FUSED}"
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
        dags = [ir["root"]["dag"], *(each["dag"] for each in ir["components"].values() if "dag" in each)]
        of_all = {task["taskInfo"]["name"]: (key, dag) for dag in dags for key, task in dag["tasks"].items()}
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
            command = {part: self._container(key).get(part) for part in ("command", "args")}
            if stage not in resources.stages() or command != stage_command(stage):
                raise InputError(f"{self._where}: {name} is no stage of this checkout, whose command the image has")
        members = set(self._keys)
        inside = {key for key in self._tasks if key not in members and self._before(key) & members}
        for key in self._keys:
            if between := sorted(self._before(key) & inside):
                raise InputError(
                    f"{self._where}: {self._named(between[0])} comes after one of them and before "
                    f"{self._named(key)}; fuse it too, or leave {self._named(key)} out"
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
        made = _container(self._where, containers)
        gpu = GPU if made.get("resources", {}).get("accelerator") else ""
        made["image"] = find_image(_IMAGE, gpu)
        made["command"] = ["python", "-m", FUSED_MODULE]
        made["args"] = [EXECUTOR_INPUT_OPTION, "{{$}}", PARTS_OPTION, json.dumps(parts)]
        config = self._config()
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
            "environment": resources.environment(stage),
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
        if all(one.get("retryPolicy") for one in tasks):
            task["retryPolicy"] = max((one["retryPolicy"] for one in tasks), key=lambda each: each["maxRetryCount"])
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
        dags = [self._ir["root"]["dag"], *(each["dag"] for each in self._ir["components"].values() if "dag" in each)]
        for name in gone - {task["componentRef"]["name"] for dag in dags for task in dag["tasks"].values()}:
            label = self._ir["components"].pop(name)["executorLabel"]
            del self._ir["deploymentSpec"]["executors"][label]
            self._configs.pop(label, None)

    def _config(self) -> dict[str, Any]:
        """What the platform spec says of the pod."""
        configs = [self._configs.get(self._component(key)["executorLabel"], {}) for key in self._keys]
        merged: dict[str, Any] = {}
        for name in sorted({name for config in configs for name in config}):
            given = [config[name] for config in configs if name in config]
            if name == "activeDeadlineSeconds":
                # One without a limit leaves all without; else each may take its own time.
                if len(given) == len(configs):
                    merged[name] = str(sum(int(seconds) for seconds in given))
            elif name == "podMetadata":
                merged[name] = self._metadata(configs)
            elif isinstance(given[0], list):
                merged[name] = _distinct(entry for entries in given for entry in entries)
                self._check_places(name, merged[name])
            elif name == "nodeSelector":
                labels = _together(f"{self._where}: node selectors", [each.get("labels", {}) for each in given])
                merged[name] = {"labels": labels}
            elif any(each != given[0] for each in given):
                raise InputError(f"{self._where}: their pods differ in {name}, and they would have one")
            else:
                merged[name] = given[0]
        return merged

    def _check_places(self, name: str, entries: list[dict[str, Any]]) -> None:
        places = [entry["mountPath"] for entry in entries if "mountPath" in entry]
        for place in places:
            if places.count(place) > 1:
                raise InputError(f"{self._where}: they have different volumes at {place} ({name})")

    def _metadata(self, configs: list[dict[str, Any]]) -> dict[str, Any]:
        given = [config.get("podMetadata", {}) for config in configs]
        annotations = [dict(each.get("annotations", {})) for each in given]
        # A place is read-only for the pod where it is for each of the tasks that have it.
        read_only = [set(filter(None, each.pop(READ_ONLY_ANNOTATION, "").split(","))) for each in annotations]
        mounted = [{entry["mountPath"] for entry in config.get("pvcMount", [])} for config in configs]
        written: set[str] = set().union(*(paths - kept for paths, kept in zip(mounted, read_only, strict=True)))
        metadata = {
            "annotations": _together(f"{self._where}: annotations", annotations),
            "labels": _together(f"{self._where}: labels", [each.get("labels", {}) for each in given]),
        }
        if kept := set().union(*read_only) - written:
            metadata["annotations"][READ_ONLY_ANNOTATION] = ",".join(sorted(kept))
        return {name: values for name, values in metadata.items() if values}


def _container(where: str, containers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Variables of all, and of each resource the most that one of them asks for: they run one after the other."""
    made: dict[str, Any] = {}
    variables = [
        {variable["name"]: variable.get("value", "") for variable in container.get("env", [])}
        for container in containers
    ]
    together = _together(f"{where}: variables", variables)
    together.pop(CACHED_BY_CONTENT, None)
    if together:
        made["env"] = [{"name": name, "value": value} for name, value in together.items()]
    given = [container.get("resources", {}) for container in containers]
    merged: dict[str, Any] = {}
    for kind, size in (("Cpu", cpu_cores), ("Memory", memory_bytes)):
        for side in ("Request", "Limit"):
            name, older = f"resource{kind}{side}", f"{kind.lower()}{side}"
            having = [each for each in given if name in each]
            # Where one has no limit, the pod has none.
            if having and (side == "Request" or len(having) == len(given)):
                most = max(having, key=lambda each: size(each[name]))
                merged |= {key: most[key] for key in (name, older) if key in most}
    if accelerators := _distinct(each["accelerator"] for each in given if "accelerator" in each):
        if len(accelerators) > 1:
            raise InputError(f"{where}: they ask for different accelerators, and one pod would have them")
        merged["accelerator"] = accelerators[0]
    if merged:
        made["resources"] = merged
    return made


def _together(what: str, mappings: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for mapping in mappings:
        for name, value in mapping.items():
            if merged.setdefault(name, value) != value:
                raise InputError(f"{what}: {name} is {merged[name]!r} for one and {value!r} for another")
    return merged


def _distinct(entries: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for entry in entries:
        if entry not in found:
            found.append(entry)
    return found
