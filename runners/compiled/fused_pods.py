"""The pod of fused tasks, from what the compiled pipeline says of the pod of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from components.runtime.errors import InputError
from runners.compiled.ir import CACHED_BY_CONTENT, READ_ONLY_ANNOTATION
from runners.settings.kubernetes_values import cpu_cores, memory_bytes


def container(where: str, containers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Variables of all, and of each resource the most that one of them asks for: they run one after the other.

    Args:
      where: begins messages.
      containers: the IR's PipelineContainerSpec of each task.

    Raises:
      InputError: they contradict each other.
    """
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
    if accelerators := [each["accelerator"] for each in given if "accelerator" in each]:
        if len({each.get("resourceType") or each.get("type") for each in accelerators}) > 1:
            raise InputError(f"{where}: they ask for different accelerators, and one pod would have them")
        merged["accelerator"] = max(accelerators, key=_count)
    if merged:
        made["resources"] = merged
    return made


def config(where: str, configs: Sequence[Mapping[str, Any]], containers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the Kubernetes platform spec says of the pod.

    Args:
      where: begins messages.
      configs: what it says of the pod of each task.
      containers: the IR's PipelineContainerSpec of each task.

    Raises:
      InputError: they contradict each other.
    """
    merged: dict[str, Any] = {}
    for name in sorted({name for config in configs for name in config}):
        given = [config[name] for config in configs if name in config]
        if name == "activeDeadlineSeconds":
            # One without a limit leaves all without; else each may take its own time.
            if len(given) == len(configs):
                merged[name] = str(sum(int(seconds) for seconds in given))
        elif name == "podMetadata":
            merged[name] = _metadata(where, configs)
        elif isinstance(given[0], list):
            merged[name] = _distinct(entry for entries in given for entry in entries)
            _check_places(where, name, merged[name])
        elif name == "nodeSelector":
            labels = _together(f"{where}: node selectors", [each.get("labels", {}) for each in given])
            merged[name] = {"labels": labels}
        elif any(each != given[0] for each in given):
            raise InputError(f"{where}: their pods differ in {name}, and they would have one")
        else:
            merged[name] = given[0]
    plain = {variable["name"] for each in containers for variable in each.get("env", [])}
    secret = {key["envVar"] for entry in merged.get("secretAsEnv", []) for key in entry["keyToEnv"]}
    if both := sorted(plain & secret):
        raise InputError(f"{where}: the variable {both[0]} is a secret's for one and not for another")
    return merged


def _count(accelerator: Mapping[str, Any]) -> int:
    return int(accelerator.get("resourceCount") or accelerator.get("count") or 0)


def _check_places(where: str, name: str, entries: list[dict[str, Any]]) -> None:
    places = [entry["mountPath"] for entry in entries if "mountPath" in entry]
    for place in places:
        if places.count(place) > 1:
            raise InputError(f"{where}: they have different volumes at {place} ({name})")
    variables = [key["envVar"] for entry in entries for key in entry.get("keyToEnv", [])]
    for variable in variables:
        if variables.count(variable) > 1:
            raise InputError(f"{where}: they take the variable {variable} from different secrets")


def _metadata(where: str, configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    given = [config.get("podMetadata", {}) for config in configs]
    annotations = [dict(each.get("annotations", {})) for each in given]
    # A place is read-only for the pod where it is for each of the tasks that have it.
    read_only = [set(filter(None, each.pop(READ_ONLY_ANNOTATION, "").split(","))) for each in annotations]
    mounted = [{entry["mountPath"] for entry in config.get("pvcMount", [])} for config in configs]
    written: set[str] = set().union(*(paths - kept for paths, kept in zip(mounted, read_only, strict=True)))
    metadata = {
        "annotations": _together(f"{where}: annotations", annotations),
        "labels": _together(f"{where}: labels", [each.get("labels", {}) for each in given]),
    }
    if kept := set().union(*read_only) - written:
        metadata["annotations"][READ_ONLY_ANNOTATION] = ",".join(sorted(kept))
    return {name: values for name, values in metadata.items() if values}


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
