"""Checks of Kubernetes objects without a cluster: against the API's own models, and against `restricted`."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from kubernetes.client import models

from tests.support import ROOT

MANIFESTS = ROOT / "manifests"
Object = dict[str, Any]

_SCALARS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "object": (object,),
    "datetime": (str,),
    # Ports and quantities: a number or text.
    "IntOrString": (int, str),
}


def documents(file: Path) -> list[Object]:
    """The YAML documents of a file, each an object."""
    found = list(yaml.safe_load_all(file.read_text()))
    assert all(isinstance(document, dict) for document in found), f"{file}: an empty document"
    return found


def kustomize() -> list[str] | None:
    """The command that renders a folder; None where neither kustomize nor kubectl is installed."""
    for program, arguments in (("kustomize", ["build"]), ("kubectl", ["kustomize"])):
        path = shutil.which(program) or shutil.which(program, path=str(Path.home() / "go" / "bin"))
        if path:
            return [path, *arguments]
    return None


def rendered(folder: Path, command: list[str]) -> list[Object]:
    """What kustomize makes of a folder; its warnings count as errors."""
    process = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    return list(yaml.safe_load_all(process.stdout))


def name(thing: Object) -> str:
    """How an object is called in messages."""
    return f"{thing.get('kind')}/{thing.get('metadata', {}).get('name')}"


# --- the API's models


def schema_errors(thing: Object) -> list[str]:
    """Unknown fields, wrong types and missing fields of an object, as the Kubernetes API defines its kind."""
    group, _, version = thing["apiVersion"].rpartition("/")
    title = version[0].upper() + version[1:] + thing["kind"]
    if not hasattr(models, title):
        return [f"{name(thing)}: no kind {thing['kind']} in {thing['apiVersion']}"]
    if group and not (group.endswith(".k8s.io") or group in ("apps", "autoscaling", "policy", "batch")):
        return [f"{name(thing)}: no group {group}"]
    return [f"{name(thing)}: {error}" for error in _errors(thing, title, "")]


def _errors(value: Any, kind: str, where: str) -> Iterator[str]:
    if match := re.fullmatch(r"list\[(.+)\]", kind):
        if not isinstance(value, list):
            yield f"{where} is no list"
            return
        for index, item in enumerate(value):
            yield from _errors(item, match[1], f"{where}[{index}]")
    elif match := re.fullmatch(r"dict[(\[]str, (.+)[)\]]", kind):
        if not isinstance(value, dict):
            yield f"{where} is no mapping"
            return
        for key, item in value.items():
            yield from _errors(item, match[1], f"{where}.{key}")
    elif kind in _SCALARS:
        # A truth value is an int for Python, not for the API.
        if not isinstance(value, _SCALARS[kind]) or (isinstance(value, bool) and kind in ("int", "float")):
            yield f"{where} is {value!r}, which is no {kind}"
    else:
        yield from _model_errors(value, kind, where)


def _model_errors(value: Any, kind: str, where: str) -> Iterator[str]:
    model = getattr(models, kind)
    if not isinstance(value, dict):
        yield f"{where} is {value!r}, which is no {kind}"
        return
    attributes = {json: attribute for attribute, json in model.attribute_map.items()}
    known = {}
    for key, item in value.items():
        if key not in attributes:
            yield f"{where}.{key}: {kind} has no such field"
            continue
        known[attributes[key]] = item
        yield from _errors(item, model.openapi_types[attributes[key]], f"{where}.{key}")
    try:
        model(**known)  # Refuses to be made without the fields that the API requires.
    except ValueError as error:
        yield f"{where}: {error}"


# --- Pod Security Standard `restricted`

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_HOST = ("hostNetwork", "hostPID", "hostIPC")
_PROFILES = ("RuntimeDefault", "Localhost")


def pod_specs(thing: Object) -> list[Object]:
    """The pod specs that an object holds; those of a TrainingRuntime a TrainJob completes."""
    if thing["kind"] == "Pod":
        return [thing["spec"]]
    template = thing.get("spec", {}).get("template") if isinstance(thing.get("spec"), dict) else None
    return [template["spec"]] if isinstance(template, dict) and "containers" in template.get("spec", {}) else []


def pod_security_errors(spec: Object) -> list[str]:
    """What keeps a pod from passing `restricted`, and from running on a read-only root file system."""
    pod = spec.get("securityContext", {})
    errors = [f"{field} is on" for field in _HOST if spec.get(field)]
    for volume in spec.get("volumes", []):
        errors += [f"volume {volume['name']} is a {kind}" for kind in volume.keys() - {"name"} - _VOLUMES]
    for field in ("sysctls", "windowsOptions", "procMount", "seLinuxOptions"):
        if pod.get(field):
            errors.append(f"the pod sets {field}")
    for container in [*spec.get("initContainers", []), *spec["containers"], *spec.get("ephemeralContainers", [])]:
        errors += [f"{container['name']}: {error}" for error in _container_errors(container, pod)]
    return errors


def _container_errors(container: Object, pod: Object) -> Iterator[str]:
    own = container.get("securityContext", {})
    merged = pod | own
    if merged.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    if merged.get("runAsUser") == 0:
        yield "runAsUser is 0"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if own.get("privileged"):
        yield "is privileged"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        yield "does not drop ALL capabilities"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "adds capabilities"
    if merged.get("seccompProfile", {}).get("type") not in _PROFILES:
        yield "has no seccomp profile"
    if own.get("procMount", "Default") != "Default":
        yield "sets procMount"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "takes a port of the host"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "has a writable root file system"
