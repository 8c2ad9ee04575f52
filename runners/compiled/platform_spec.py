"""The second document of a compiled pipeline: what the kubernetes platform spec says of the run, and of its volume.

The format is kubeflow/pipelines, kubernetes_platform/proto/kubernetes_executor_config.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from components.runtime.errors import InputError

if TYPE_CHECKING:
    from runners.settings.model import Settings

_RUN_LIMITS = {"activeDeadlineSeconds": "deadline_seconds", "resourceTtlOnCompletion": "ttl_seconds"}
"""Limits of a run in the platform spec, and the options of a target that they stand in place of."""


def read_platform(document: dict[str, Any], target: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The executors of the kubernetes platform spec, and what it says of the whole run.

    Args:
      document: the spec; empty where there is none.
      target: what runs the pipeline, for messages.

    Returns:
      What is said of each executor's pod, and `deadline_seconds` and `ttl_seconds` where they are given.

    Raises:
      InputError: something in it that our targets do not know.
    """
    platforms = document.get("platforms", {})
    if unknown := platforms.keys() - {"kubernetes"}:
        raise InputError(f"the platform spec is for {sorted(unknown)[0]!r}; {target} runs on kubernetes")
    kubernetes = platforms.get("kubernetes", {})
    run = kubernetes.get("pipelineConfig", {})
    for where, section, known in (
        ("", kubernetes, {"deploymentSpec", "pipelineConfig"}),
        ("pipelineConfig.", run, _RUN_LIMITS.keys()),
    ):
        if unknown := section.keys() - known:
            raise InputError(
                f"{where}{sorted(unknown)[0]} of the platform spec cannot be translated to {target}; leave it out"
            )
    executors: dict[str, Any] = kubernetes.get("deploymentSpec", {}).get("executors", {})
    return executors, {_RUN_LIMITS[name]: int(value) for name, value in run.items()}


def claim_at(executors: dict[str, Any], path: str) -> str:
    """The claim that a pod mounts as the pipeline root, as KFP needs it for raw data and served models."""
    mounts = [mount for executor in executors.values() for mount in executor.get("pvcMount", [])]
    claims = {mount.get("constant", "") for mount in mounts if mount["mountPath"] == path and "subPath" not in mount}
    return claims.pop() if len(claims) == 1 else ""


def parameters_on_volume(settings: Settings, declared: Mapping[str, Any] | None = None) -> dict[str, str | None]:
    """Parameters that name places, where our launcher runs the tasks and the pipeline root is the volume, or a bucket.

    Raw data and served models lie there, unless the settings name another place.

    Args:
      settings: of the model.
      declared: the parameters of its pipeline, where it has one of its own, which may lack some of the default
        one's, or have defaults of its own.

    Returns:
      Values by name; None for one that has to be given when a run begins: a run's own claim is empty when it begins
      and gone when it has ended.
    """
    cluster, model = settings.cluster, settings.folder.name
    root = cluster.bucket.uri if cluster.bucket else cluster.mount_path
    kept = {"data": f"{root}/data/{model}", "serving_directory": f"{root}/serving/{model}"}
    stays = bool(cluster.bucket or cluster.volume.claim)
    return {
        name: getattr(settings, name) or (path if stays else None)
        for name, path in kept.items()
        if declared is None or (name in declared and not declared[name].get("defaultValue"))
    }
