"""The fields of a compiled pipeline that KFP's server 2.5.0 knows, as a tree: what a newer one added is not in it.

The fields that Millrace uses of api/v2alpha1/pipeline_spec.proto and kubernetes_executor_config.proto in
kubeflow/pipelines. By its changelog, 2.5.0 (April 2025) brought the youngest of them: resources as text (#11501) and
the names of secrets and claims as parameters (#11621, #11770). Younger, and so not here: podMetadata with several
labels (2.14, #12049), subPath of a mount (#12595), optional of a
secret's variables (#12495), securityContext (#12832, #12859), limits of a whole run (#13184,
#13187).

The packages of that month, kfp-pipeline-spec 0.6.0 and kfp-kubernetes 1.5.0, were tried by hand: their messages take
the goldens and settings that say all there is, and refuse an unknown field.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

ANY = object()
"""A plain value, or a value of the user's."""

EACH = "*"
"""Stands for names of the pipeline's own, such as those of its tasks."""

_STRUCT_LITERAL = {"runtimeValue": {"constant": ANY}}
_PARAMETER_SOURCE = {
    **_STRUCT_LITERAL,
    "componentInputParameter": ANY,
    "taskOutputParameter": {"producerTask": ANY, "outputParameterKey": ANY},
}
_ARTIFACT_SOURCE = {
    "componentInputArtifact": ANY,
    "taskOutputArtifact": {"producerTask": ANY, "outputArtifactKey": ANY},
}
_SCHEMA = {"schemaTitle": ANY, "schemaVersion": ANY}
_DEFINITIONS = {
    "parameters": {EACH: {"parameterType": ANY, "defaultValue": ANY, "isOptional": ANY, "description": ANY}},
    "artifacts": {EACH: {"artifactType": _SCHEMA, "isOptional": ANY, "description": ANY}},
}
_TASK = {
    "taskInfo": {"name": ANY},
    "componentRef": {"name": ANY},
    "dependentTasks": ANY,
    "cachingOptions": {"enableCache": ANY, "cacheKey": ANY},
    "retryPolicy": {"maxRetryCount": ANY, "backoffDuration": ANY, "backoffFactor": ANY, "backoffMaxDuration": ANY},
    "triggerPolicy": {"condition": ANY, "strategy": ANY},
    "inputs": {"parameters": {EACH: _PARAMETER_SOURCE}, "artifacts": {EACH: _ARTIFACT_SOURCE}},
}
_COMPONENT = {
    "executorLabel": ANY,
    "inputDefinitions": _DEFINITIONS,
    "outputDefinitions": _DEFINITIONS,
    "dag": {"tasks": {EACH: _TASK}},
}
_RESOURCES = {
    **dict.fromkeys(("cpuLimit", "cpuRequest", "memoryLimit", "memoryRequest"), ANY),
    **{f"resource{name}": ANY for name in ("CpuLimit", "CpuRequest", "MemoryLimit", "MemoryRequest")},
    "accelerator": {"type": ANY, "count": ANY, "resourceType": ANY, "resourceCount": ANY},
}
_CONTAINER = {
    "image": ANY,
    "command": ANY,
    "args": ANY,
    "env": [{"name": ANY, "value": ANY}],
    "resources": _RESOURCES,
}
IR_2_5 = {
    "components": {EACH: _COMPONENT},
    "deploymentSpec": {"executors": {EACH: {"container": _CONTAINER}}},
    "pipelineInfo": {"name": ANY, "description": ANY},
    "root": _COMPONENT,
    "schemaVersion": ANY,
    "sdkVersion": ANY,
}

_SECRET = {"secretName": ANY, "secretNameParameter": _PARAMETER_SOURCE}
PLATFORM_2_5 = {
    "platforms": {
        "kubernetes": {
            "deploymentSpec": {
                "executors": {
                    EACH: {
                        "activeDeadlineSeconds": ANY,
                        "nodeSelector": {"labels": {EACH: ANY}},
                        "tolerations": [{"key": ANY, "operator": ANY, "value": ANY, "effect": ANY}],
                        # More than one label reaches the pod from 2.14 on (kubeflow/pipelines#12049).
                        "podMetadata": {"annotations": {EACH: ANY}},
                        "pvcMount": [{"constant": ANY, "mountPath": ANY, "pvcNameParameter": _PARAMETER_SOURCE}],
                        "secretAsEnv": [{**_SECRET, "keyToEnv": [{"secretKey": ANY, "envVar": ANY}]}],
                        "secretAsVolume": [{**_SECRET, "mountPath": ANY, "optional": ANY}],
                        "imagePullSecret": [{"secretName": ANY, "secretNameParameter": _PARAMETER_SOURCE}],
                    }
                }
            }
        }
    }
}


def unknown(content: Any, known: Any, path: str = "") -> Iterator[str]:
    """Yields the fields of a document that a tree of known ones does not have."""
    if known is ANY:
        return
    if isinstance(known, list):
        for number, item in enumerate(content):
            yield from unknown(item, known[0], f"{path}.{number}")
        return
    for key, value in content.items():
        if EACH in known:
            yield from unknown(value, known[EACH], f"{path}.{key}")
        elif key in known:
            yield from unknown(value, known[key], f"{path}.{key}")
        else:
            yield f"{path}.{key}"
