"""What Vertex AI is told of accelerators: it has names of its own where Kubernetes has resources and node labels."""

from __future__ import annotations

import copy
from typing import Any

from components.runtime.errors import InputError
from components.runtime.publish.vertex_accelerators import ACCELERATORS, GKE_LABEL, from_gke
from runners.compiled.ir import VERTEX_ANNOTATION


def named(ir: dict[str, Any], platform: dict[str, Any], where: str) -> dict[str, Any]:
    """The IR with every accelerator under its name on Vertex AI.

    The name is the settings' own (`resources.<stage>.gpu.vertex`), or what GKE's node label means.

    Args:
      ir: the pipeline.
      platform: the document of Kubernetes that was compiled with it.
      where: the file, for the error.

    Raises:
      InputError: an accelerator whose name cannot be known.
    """
    result = copy.deepcopy(ir)
    pods = platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    for label, executor in result.get("deploymentSpec", {}).get("executors", {}).items():
        asked = executor.get("container", {}).get("resources", {}).get("accelerator")
        if not asked:
            continue
        resource = str(asked.get("resourceType") or asked.get("type", ""))
        name = resource if resource in ACCELERATORS else _name(pods.get(label, {}))
        if not name:
            stage = label.removeprefix("exec-")
            raise InputError(
                f"{where}: the task {stage} asks for {resource}, and Vertex AI must be told which accelerator that is:"
                f" give resources.{stage}.gpu.vertex, such as NVIDIA_TESLA_T4, in the settings and compile again"
            )
        asked |= {key: name for key in ("type", "resourceType") if key in asked}
    return result


def _name(pod: dict[str, Any]) -> str:
    given = pod.get("podMetadata", {}).get("annotations", {}).get(VERTEX_ANNOTATION, "")
    return given or from_gke(pod.get("nodeSelector", {}).get("labels", {}).get(GKE_LABEL, ""))
