"""The rights of a run's pods: no more than the Pod Security Standard `restricted` allows."""

from __future__ import annotations

import json
from typing import Any

USER = 1000

POD_SECURITY: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    # A new volume belongs to root; without the second line each start would walk through all files of a full one.
    "fsGroup": USER,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
}


def argo_containers_patch() -> str:
    """A patch of every pod for Argo's own containers: older versions give them more than `restricted` allows."""
    rights = {key: CONTAINER_SECURITY[key] for key in ("allowPrivilegeEscalation", "capabilities")}
    context = {"securityContext": rights}
    return json.dumps({"containers": [{"name": "wait"} | context], "initContainers": [{"name": "init"} | context]})
