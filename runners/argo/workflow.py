"""The Workflow: one DAG, a template for each task, the shared launcher in every container.

Format: Argo Workflows v1alpha1, held to hera's models, which are generated from Argo's own schema.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from components.runtime.errors import InputError
from components.runtime.text import yaml_files
from runners.argo import closing
from runners.argo.options import ArgoOptions
from runners.argo.schema import validate
from runners.argo.task import ENTRYPOINT, EXIT, Tasks
from runners.argo.values import DASHBOARD_SPEC, as_text
from runners.compiled.ir import documents
from runners.compiled.launching import read_launchable
from runners.compiled.platform_spec import claim_at, read_platform
from runners.compiled.pod_security import CONTAINER_SECURITY, POD_SECURITY
from runners.compiled.pods import VOLUME
from runners.compiled.tasks import Pipeline
from runners.settings.kubernetes_values import pipeline_name


def compile_workflow(kfp_yaml: str, options: ArgoOptions | None = None) -> str:
    """Returns the Argo Workflow of a compiled pipeline as YAML; the same input gives the same text.

    Args:
      kfp_yaml: what kfp's compiler writes: the IR, and behind it, where there is one, the kubernetes platform spec.
      options: volume, place, deadlines. Without a claim in them, one that the platform spec mounts at their mount path
        is the volume.

    Raises:
      InputError: not a compiled pipeline; a construct that Argo cannot run; a name that Kubernetes refuses.
    """
    ir, platform = documents(kfp_yaml)
    if ir.get("kind") == "Workflow":
        raise InputError("this is an Argo Workflow already (of KFP v1?); give the IR that kfp 2 compiles")
    options = options or ArgoOptions()
    executors, limits = read_platform(platform, "Argo")
    if not options.claim and (claim := claim_at(executors, options.mount_path)):
        options = dataclasses.replace(options, claim=claim)
    workflow = _Workflow(ir, executors, dataclasses.replace(options, **limits)).document()
    validate(workflow)
    # Through JSON, so that parts that are used twice are written twice, not as YAML's references.
    plain = json.loads(json.dumps(workflow))
    return f"# Argo Workflow of the pipeline {ir['pipelineInfo']['name']}, made from its IR.\n{yaml_files.dump(plain)}"


class _Workflow:
    """Builds the document."""

    def __init__(self, ir: dict[str, Any], platform: dict[str, Any], options: ArgoOptions) -> None:
        self._options = options
        self._pipeline: Pipeline = read_launchable(ir, "Argo")
        self._description = ir["pipelineInfo"].get("description", "")
        self._check_name()
        self._tasks = Tasks(self._pipeline, platform, options, self._labels())

    def document(self) -> dict[str, Any]:
        options, name = self._options, self._pipeline.name
        pods = self._pipeline.pods.values()
        last = [tasks[0] for tasks in pods if tasks[0].is_exit]
        dag = {
            "name": ENTRYPOINT,
            "dag": {"tasks": [each for tasks in pods if not tasks[0].is_exit for each in self._tasks.dag_tasks(tasks)]},
        }
        spec: dict[str, Any] = {
            "entrypoint": ENTRYPOINT,
            "arguments": {"parameters": self._parameters()},
            "templates": [dag, *(each for tasks in pods for each in self._tasks.templates(tasks))],
            "activeDeadlineSeconds": options.deadline_seconds,
            "ttlStrategy": {"secondsAfterCompletion": options.ttl_seconds},
            # What failed can be looked at until the Workflow goes.
            "podGC": {"strategy": "OnWorkflowSuccess"},
            "securityContext": POD_SECURITY,
            "podSpecPatch": _argo_containers_patch(),
        }
        exit_steps = [[self._tasks.exit_step(task)] for task in last]
        spec["onExit"] = EXIT
        spec["templates"].append({"name": EXIT, "steps": [*exit_steps, [closing.step()]]})
        spec["templates"].append(closing.template(self._pipeline, options, self._labels()))
        if not spec["arguments"]["parameters"]:
            del spec["arguments"]
        if options.service_account:
            spec["serviceAccountName"] = options.service_account
        if self._tasks.pull_secrets:
            spec["imagePullSecrets"] = [{"name": secret} for secret in sorted(self._tasks.pull_secrets)]
        spec |= self._volume()
        metadata: dict[str, Any] = {
            "generateName": f"{name}-",
            "labels": self._labels(),
            # The KFP dashboard reads the description and the types of the parameters here.
            "annotations": {DASHBOARD_SPEC: json.dumps(self._dashboard_spec())},
        }
        if options.namespace:
            metadata["namespace"] = options.namespace
        return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata, "spec": spec}

    def _check_name(self) -> None:
        try:
            pipeline_name(self._pipeline.name)
        except ValueError as error:
            raise InputError(f"pipeline name {self._pipeline.name!r}: {error}") from None

    def _parameters(self) -> list[dict[str, str]]:
        """The workflow's arguments; one without a default has to be given when it is submitted, as Argo demands."""
        given = {name: value for name, value in self._options.parameters.items() if value is not None}
        withheld = self._options.parameters.keys() - given.keys()
        if unknown := sorted(self._options.parameters.keys() - self._pipeline.parameters.keys()):
            raise InputError(
                f"no parameter {unknown[0]!r}; the parameters are: {', '.join(self._pipeline.parameters) or 'none'}"
            )
        required = {
            name
            for name, definition in self._pipeline.parameters.items()
            if name in withheld or ("defaultValue" not in definition and name not in given)
        }
        values = self._pipeline.values(given | dict.fromkeys(required))
        parameters = []
        for name, definition in self._pipeline.parameters.items():
            parameter = {"name": name}
            if name not in required:
                parameter["value"] = as_text(name, values[name])
            elif definition.get("isOptional") and name not in withheld:
                raise InputError(
                    f"the parameter {name!r} may be None, which Argo's parameters cannot; give it a default"
                )
            parameters.append(parameter)
        return parameters

    def _labels(self) -> dict[str, str]:
        name = self._pipeline.name
        return dict(self._options.labels) | {
            "app.kubernetes.io/part-of": "millrace",
            "millrace/pipeline": name,
            "millrace/model": self._options.model or name,
        }

    def _volume(self) -> dict[str, Any]:
        options = self._options
        if options.bucket:
            # Each pod has a folder of its own.
            return {}
        if options.claim:
            return {"volumes": [{"name": VOLUME, "persistentVolumeClaim": {"claimName": options.claim}}]}
        claim: dict[str, Any] = {
            "accessModes": [options.access_mode],
            "resources": {"requests": {"storage": options.size}},
        }
        if options.storage_class:
            claim["storageClassName"] = options.storage_class
        return {
            "volumeClaimTemplates": [{"metadata": {"name": VOLUME}, "spec": claim}],
            # What a failed run left is kept: `argo retry` goes on with it.
            "volumeClaimGC": {"strategy": "OnWorkflowSuccess"},
        }

    def _dashboard_spec(self) -> dict[str, Any]:
        kinds = {"NUMBER_INTEGER": "Integer", "NUMBER_DOUBLE": "Float", "BOOLEAN": "Boolean", "STRING": "String"}
        return {
            "name": self._pipeline.name,
            "description": self._description,
            "inputs": [
                {
                    "name": name,
                    "type": kinds.get(definition["parameterType"], "JsonObject"),
                    "optional": bool(definition.get("isOptional")),
                }
                for name, definition in self._pipeline.parameters.items()
            ],
        }


def _argo_containers_patch() -> str:
    """A patch of every pod for Argo's own containers: older versions give them more than `restricted` allows."""
    rights = {key: CONTAINER_SECURITY[key] for key in ("allowPrivilegeEscalation", "capabilities")}
    context = {"securityContext": rights}
    return json.dumps({"containers": [{"name": "wait"} | context], "initContainers": [{"name": "init"} | context]})
