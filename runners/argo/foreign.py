"""The pod of a stage that has nothing of ours in its image: our launcher, and beside it the stage's own container.

The launcher resolves inputs and cache key, lets the other container begin or not, and records what came of it, see
components/runtime/launch/beside.py. What the stage's command is given is known when the pod starts: places that are the
same in every pod, and values that Argo fills in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from components.runtime.errors import InputError
from components.runtime.launch.beside import CAPTURE_VARIABLE, CONTAINER, INPUTS, OUTPUTS, PAUSE_VARIABLE, PLACE
from components.runtime.launch.executor_files import RUN_PLACEHOLDERS
from components.runtime.launch.placeholders import expanded
from runners.argo.values import as_text
from runners.compiled.pod_security import CONTAINER_SECURITY
from runners.compiled.pods import Pod
from runners.compiled.tasks import Constant, FinalStatus, Output, Parameter, Source, TaskSpec, task_parameters

VOLUMES = [{"name": "stage", "emptyDir": {}}, {"name": "stage-scratch", "emptyDir": {}}]
# Processes see those of the pod's other containers: the launcher ends a stage that is not needed, or notices its loss.
# The variable is here since Argo sets it too, behind those of the template.
POD_PATCH = json.dumps(
    {
        "shareProcessNamespace": True,
        "containers": [{"name": CONTAINER, "env": [{"name": CAPTURE_VARIABLE, "value": "true"}]}],
    }
)

_PLACEHOLDER = re.compile(r"\{\{\$(?P<path>[^{}]*)\}\}")
_PARAMETER = re.compile(r"\.inputs\.parameters\['(?P<name>[^']+)'\]$")
_PLACE = re.compile(
    r"\.(?:inputs\.artifacts\['(?P<read>[^']+)'\]\.(?:path|uri)|outputs\.artifacts\['(?P<made>[^']+)'\]\.(?:path|uri)"
    r"|outputs\.parameters\['(?P<told>[^']+)'\]\.output_file)$"
)


def container(task: TaskSpec, pod: Pod, name_of: Callable[[Source], str]) -> dict[str, Any]:
    """The stage's own container.

    Args:
      task: its task.
      pod: what the platform spec says of it.
      name_of: how the pod's template names a parameter of the pipeline, or of another task.

    Raises:
      InputError: its command asks for what is not known when the pod starts.
    """
    words = [*task.container.get("command", []), *task.container.get("args", [])]
    given = {
        "parameterValues": dict.fromkeys(_values(task, name_of)),
        "artifacts": dict.fromkeys(task.artifacts),
    }
    command = [_filled(task, word, name_of) for each in words for word in expanded(each, given)]
    variables = {"HOME": "/tmp", "TMPDIR": "/tmp", PAUSE_VARIABLE: "true"}
    env = {name: {"name": name, "value": value} for name, value in variables.items()} | pod.env
    scratch = {"name": "stage-scratch", "mountPath": "/tmp"}
    return {
        "name": CONTAINER,
        "image": task.pod_container["image"],
        "command": command[:1],
        "args": command[1:],
        "env": list(env.values()),
        "volumeMounts": [*(each for each in pod.mounts if each["mountPath"] != "/tmp"), scratch, mount()],
        "securityContext": CONTAINER_SECURITY,
        **pod.container,
    }


def mount() -> dict[str, Any]:
    """Of what the two containers share."""
    return {"name": "stage", "mountPath": str(PLACE)}


def reads(task: TaskSpec) -> list[Output]:
    """The parameters of other tasks that the stage's command is given."""
    return [source for source in task.parameters.values() if isinstance(source, Output)] if task.foreign else []


def _values(task: TaskSpec, name_of: Callable[[Source], str]) -> Mapping[str, str]:
    constants = {name: source.value for name, source in task.parameters.items() if isinstance(source, Constant)}
    found = {name: _text(task, name, value, name_of) for name, value in task_parameters(task, constants).items()}
    for name, source in task.parameters.items():
        if isinstance(source, FinalStatus):
            raise InputError(f"task {task.name}: Argo tells how the run ended to stages with our launcher only")
        if isinstance(source, Parameter | Output):
            found[name] = f"{{{{inputs.parameters.{name_of(source)}}}}}"
    return found


def _text(task: TaskSpec, name: str, value: Any, name_of: Callable[[Source], str]) -> str:
    if value in RUN_PLACEHOLDERS:
        return "{{workflow.name}}"
    if isinstance(value, str) and "{{$.inputs" in value:
        raise InputError(
            f"task {task.name}: the input {name!r} is put together of others, which Argo cannot; give each"
        )
    return as_text(f"{task.name}.{name}", value)


def _filled(task: TaskSpec, word: str, name_of: Callable[[Source], str]) -> str:
    values = _values(task, name_of)

    def fill(found: re.Match[str]) -> str:
        path = found["path"]
        if (asked := _PARAMETER.match(path)) and asked["name"] in values:
            return values[asked["name"]]
        if asked := _PLACE.match(path):
            if asked["read"] in task.artifacts:
                return str(INPUTS / asked["read"])
            if asked["made"]:
                return str(OUTPUTS / asked["made"])
            if asked["told"]:
                return str(OUTPUTS / "parameters" / asked["told"])
        raise InputError(
            f"task {task.name}: its command asks for {{{{${path}}}}}, which Argo gives to stages with our launcher only"
        )

    without = _PLACEHOLDER.sub("", word)
    if "{{" in without:
        raise InputError(f"task {task.name}: its command has {{{{, which Argo reads as one of its own tags")
    return _PLACEHOLDER.sub(fill, word)


def input_name(source: Output) -> str:
    """Name of the template's input for a parameter of another task."""
    return f"{source.task}-{source.name}-value"
