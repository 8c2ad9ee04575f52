"""Small Workflows of one pod that work on the volume of another Workflow: they are no runs, and Argo removes them.

Whoever may submit runs may do this too, and needs no right to start pods or commands in them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from components.runtime.errors import InputError
from components.runtime.records.argo_workflow import CLOSING

LABEL = "millrace/helper-of"
"""Label of these Workflows."""
_SECONDS = 300
_KEPT = ("volumes", "securityContext", "podSpecPatch", "imagePullSecrets", "serviceAccountName")


def closing_container(workflow: Mapping[str, Any]) -> dict[str, Any]:
    """The container of a Workflow's last pod; empty where it is none of ours."""
    found = [each for each in workflow["spec"].get("templates") or [] if each["name"] == CLOSING]
    return dict(found[0]["container"]) if found else {}


def option(container: Mapping[str, Any], name: str) -> str:
    """What a container's command is given under an option; empty where it is not."""
    arguments = container.get("args", [])
    return str(arguments[arguments.index(name) + 1]) if name in arguments else ""


def helper(
    workflow: Mapping[str, Any], task: str, command: Sequence[str], arguments: Sequence[str] = ()
) -> dict[str, Any]:
    """The Workflow that runs a command where the last pod of another one runs, or would have run.

    Args:
      workflow: the other one.
      task: what the command does, in one word; a part of the helper's name.
      command: of the container.
      arguments: of the command, without tags of Argo's.

    Raises:
      InputError: it is none of ours, or its volume is gone with it.
    """
    metadata, spec = workflow["metadata"], workflow["spec"]
    # One that was not submitted has only the beginning of a name.
    name = str(metadata.get("name") or metadata["generateName"].rstrip("-"))
    if not closing_container(workflow):
        raise InputError(f"{name} is no Workflow of ours, which keep logs and records on a volume")
    bucket = option(closing_container(workflow), "--bucket")
    if "volumes" not in spec and not bucket:
        raise InputError(f"the volume of {name} was its own, and goes with it")
    template = copy.deepcopy(next(each for each in spec["templates"] if each["name"] == CLOSING))
    template["name"] = task
    if bucket:
        root = option(closing_container(workflow), "--root")
        around = ["python", "-m", "components.runtime.launch.bucket_root", "--bucket", bucket, "--root", root, "--"]
        command = [*around, *command]
    template["container"] |= {"command": list(command), "args": list(arguments)}
    made = {"entrypoint": task, "templates": [template], "activeDeadlineSeconds": _SECONDS}
    # Should nobody remove it.
    made["ttlStrategy"] = {"secondsAfterCompletion": _SECONDS}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"generateName": f"{name[:50]}-{task}-", "labels": {LABEL: name[:63]}},
        "spec": made | {key: spec[key] for key in _KEPT if key in spec},
    }
