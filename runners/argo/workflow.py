"""The Workflow: one DAG, a template for each task, the shared launcher in every container.

Format: Argo Workflows v1alpha1, held to hera's models, which are generated from Argo's own schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from components.runtime.errors import InputError
from components.runtime.launch import EXECUTION_OUTPUT
from runners.argo.conditions import Reference, reference, when
from runners.argo.options import ArgoOptions, check_label_pair
from runners.argo.pods import CONTAINER_SECURITY, POD_SECURITY, SCRATCH, VOLUME, Pod, argo_containers_patch
from runners.ir import Constant, Output, Parameter, Pipeline, Source, TaskSpec, read, task_parameters

ENTRYPOINT = "pipeline"
OUTPUTS = "/tmp/outputs"
"""Where a container leaves what Argo reads; on a volume, because the root file system is read-only."""

# generateName is completed by five characters, and the result is the value of a label.
_LONGEST_PIPELINE_NAME = 63 - len("-12345")
_LONGEST_TASK_NAME = 63


def compile_workflow(kfp_yaml: str, options: ArgoOptions | None = None) -> str:
    """Returns the Argo Workflow of a compiled pipeline as YAML; the same input gives the same text.

    Args:
      kfp_yaml: what kfp's compiler writes: the IR, and behind it, where there is one, the kubernetes platform spec.
      options: volume, place, deadlines.

    Raises:
      InputError: not a compiled pipeline; a construct that Argo cannot run; a name that Kubernetes refuses.
    """
    ir, platform = _documents(kfp_yaml)
    workflow = _Workflow(ir, platform, options or ArgoOptions()).document()
    _validate(workflow)
    # Through JSON, so that parts that are used twice are written twice, not as YAML's references.
    plain = json.loads(json.dumps(workflow))
    text: str = yaml.safe_dump(plain, sort_keys=False, width=120, allow_unicode=True)
    return f"# Argo Workflow of the pipeline {ir['pipelineInfo']['name']}, made from its IR.\n{text}"


def _documents(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The IR and the executors of the kubernetes platform spec."""
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise InputError(f"the compiled pipeline is not YAML: {' '.join(str(error).split())}") from None
    if not documents or not all(isinstance(document, dict) for document in documents):
        raise InputError("not a compiled pipeline: it holds no YAML mapping; make one with `make compile`")
    if documents[0].get("kind") == "Workflow":
        raise InputError("this is an Argo Workflow already (of KFP v1?); give the IR that kfp 2 compiles")
    platforms: dict[str, Any] = {}
    for document in documents[1:]:
        platforms |= document.get("platforms", {})
    if unknown := platforms.keys() - {"kubernetes"}:
        raise InputError(f"the platform spec is for {sorted(unknown)[0]!r}; Argo runs on kubernetes")
    kubernetes = platforms.get("kubernetes", {})
    if unknown := kubernetes.keys() - {"deploymentSpec"}:
        raise InputError(f"{sorted(unknown)[0]} of the platform spec cannot be translated to Argo; leave it out")
    executors: dict[str, Any] = kubernetes.get("deploymentSpec", {}).get("executors", {})
    return documents[0], executors


class _Workflow:
    """Builds the document."""

    def __init__(self, ir: dict[str, Any], platform: dict[str, Any], options: ArgoOptions) -> None:
        self._options = options
        self._platform = platform
        self._pipeline: Pipeline = read(ir)
        self._description = ir["pipelineInfo"].get("description", "")
        self._check_name()
        self._check_definitions()
        self._nodes = _node_names(self._pipeline)
        self._references = self._all_references()
        self._pull_secrets: set[str] = set()

    def document(self) -> dict[str, Any]:
        options, name = self._options, self._pipeline.name
        templates = [self._template(task) for task in self._pipeline.tasks.values()]
        dag = {"name": ENTRYPOINT, "dag": {"tasks": [self._dag_task(task) for task in self._pipeline.tasks.values()]}}
        spec: dict[str, Any] = {
            "entrypoint": ENTRYPOINT,
            "arguments": {"parameters": self._parameters()},
            "templates": [dag, *templates],
            "activeDeadlineSeconds": options.deadline_seconds,
            "ttlStrategy": {"secondsAfterCompletion": options.ttl_seconds},
            # What failed can be looked at until the Workflow goes.
            "podGC": {"strategy": "OnWorkflowSuccess"},
            "securityContext": POD_SECURITY,
            "podSpecPatch": argo_containers_patch(),
        }
        if not spec["arguments"]["parameters"]:
            del spec["arguments"]
        if options.service_account:
            spec["serviceAccountName"] = options.service_account
        if self._pull_secrets:
            spec["imagePullSecrets"] = [{"name": secret} for secret in sorted(self._pull_secrets)]
        spec |= self._volume()
        metadata: dict[str, Any] = {
            "generateName": f"{name}-",
            "labels": self._labels(),
            # The KFP dashboard reads the description and the types of the parameters here.
            "annotations": {"pipelines.kubeflow.org/pipeline_spec": json.dumps(self._dashboard_spec())},
        }
        if options.namespace:
            metadata["namespace"] = options.namespace
        return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata, "spec": spec}

    def _check_name(self) -> None:
        name = self._pipeline.name
        if len(name) > _LONGEST_PIPELINE_NAME or not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name):
            raise InputError(
                f"pipeline name {name!r}: Kubernetes refuses it; use small letters, digits and '-', at most "
                f"{_LONGEST_PIPELINE_NAME} characters"
            )

    def _check_definitions(self) -> None:
        """Every required input of every task has a source, and no output is a list of artifacts."""
        for task in self._pipeline.tasks.values():
            inputs = task.component.get("inputDefinitions", {})
            outputs = task.component.get("outputDefinitions", {})
            for name, definition in (inputs.get("artifacts", {}) | outputs.get("artifacts", {})).items():
                if definition.get("isArtifactList"):
                    raise InputError(f"task {task.name}: {name!r} is a list of artifacts, which Argo cannot pass on")
            for kind, sources in (("parameters", task.parameters), ("artifacts", task.artifacts)):
                for name, definition in inputs.get(kind, {}).items():
                    if name not in sources and not definition.get("isOptional") and "defaultValue" not in definition:
                        raise InputError(f"task {task.name}: the {kind[:-1]} {name!r} is missing and has no default")
            if task.container.get("lifecycle"):
                raise InputError(f"task {task.name}: a lifecycle hook of the container runs on the KFP backend only")

    def _all_references(self) -> dict[Source, Reference]:
        references: dict[Source, Reference] = {}
        for name, definition in self._pipeline.parameters.items():
            parameter = Parameter(name)
            references[parameter] = reference(parameter, definition["parameterType"])
        for task in self._pipeline.tasks.values():
            for name, definition in task.component.get("outputDefinitions", {}).get("parameters", {}).items():
                output = Output(task.name, name)
                references[output] = reference(output, definition["parameterType"], self._nodes[task.name])
        return references

    def _parameters(self) -> list[dict[str, str]]:
        """The workflow's arguments; one without a default has to be given when it is submitted, as Argo demands."""
        given = dict(self._options.parameters)
        if unknown := sorted(given.keys() - self._pipeline.parameters.keys()):
            raise InputError(
                f"no parameter {unknown[0]!r}; the parameters are: {', '.join(self._pipeline.parameters) or 'none'}"
            )
        required = {
            name
            for name, definition in self._pipeline.parameters.items()
            if "defaultValue" not in definition and name not in given
        }
        values = self._pipeline.values(given | dict.fromkeys(required))
        parameters = []
        for name, definition in self._pipeline.parameters.items():
            parameter = {"name": name}
            if name not in required:
                parameter["value"] = _text(values[name])
            elif definition.get("isOptional"):
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

    # --- tasks

    def _read_from(self, task: TaskSpec) -> list[str]:
        """The tasks whose executions a task reads, in the pipeline's order."""
        sources = (*task.parameters.values(), *task.artifacts.values())
        names = {source.task for source in sources if isinstance(source, Output)}
        return [name for name in self._pipeline.tasks if name in names]

    def _dag_task(self, task: TaskSpec) -> dict[str, Any]:
        node = self._nodes[task.name]
        found: dict[str, Any] = {"name": node, "template": node}
        if depends := self._depends(task):
            found["depends"] = depends
        if condition := when(task.conditions, self._references):
            found["when"] = condition
        parameters = [
            {"name": name, "value": f"{{{{workflow.parameters.{name}}}}}"} for name in _workflow_parameters(task)
        ] + [
            {
                "name": _execution_input(self._nodes[earlier]),
                "value": f"{{{{tasks.{self._nodes[earlier]}.outputs.parameters.{EXECUTION_OUTPUT}}}}}",
            }
            for earlier in self._read_from(task)
        ]
        if parameters:
            found["arguments"] = {"parameters": parameters}
        return found

    def _depends(self, task: TaskSpec) -> str:
        """What a task reads from must have succeeded; what it merely waits for may have been skipped."""
        decisive = set(self._read_from(task))
        for condition in task.conditions:
            decisive |= {source.task for source in condition.values.values() if isinstance(source, Output)}
        # What another one waits for has ended before it.
        implied: set[str] = set().union(*(self._pipeline.ancestors(earlier) for earlier in decisive | task.after))
        parts = []
        for earlier in self._pipeline.tasks:
            node = self._nodes[earlier]
            if earlier in decisive:
                parts.append(f"{node}.Succeeded")
            elif earlier in task.after - implied:
                parts.append(f"({node}.Succeeded || {node}.Skipped || {node}.Omitted)")
        return " && ".join(parts)

    def _template(self, task: TaskSpec) -> dict[str, Any]:
        options, node = self._options, self._nodes[task.name]
        pod = Pod(task.name, task.container, self._platform.get(task.component["executorLabel"], {}), options.claim)
        self._pull_secrets.update(pod.pull_secrets)
        inputs = [*_workflow_parameters(task), *(_execution_input(self._nodes[name]) for name in self._read_from(task))]
        template: dict[str, Any] = {"name": node}
        if inputs:
            template["inputs"] = {"parameters": [{"name": name} for name in inputs]}
        template["outputs"] = {
            "parameters": [
                # A failed container writes nothing; without a default that would hide its own exit code.
                {"name": name, "valueFrom": {"path": f"{OUTPUTS}/{name}", "default": ""}}
                for name in (EXECUTION_OUTPUT, *task.component.get("outputDefinitions", {}).get("parameters", {}))
            ]
        }
        template["metadata"] = {
            "labels": pod.labels | self._labels() | self._pod_labels(task),
            # The cache of KFP v1, where it is installed, would answer for whole pods.
            "annotations": pod.annotations | {"pipelines.kubeflow.org/max_cache_staleness": "P0D"},
        }
        template["container"] = self._container(task, pod)
        if volumes := [{"name": SCRATCH, "emptyDir": {}}, *pod.volumes.values()]:
            template["volumes"] = volumes
        if retry := self._retry(task):
            template["retryStrategy"] = retry
        if options.task_deadline_seconds:
            template["activeDeadlineSeconds"] = options.task_deadline_seconds
        template |= pod.template
        if options.access_mode != "ReadWriteMany":
            template["affinity"] = template.get("affinity", {}) | _same_node()
        return template

    def _pod_labels(self, task: TaskSpec) -> dict[str, str]:
        labels = {"millrace/stage": task.stage, "millrace/task": self._nodes[task.name]}
        for key, value in labels.items():
            check_label_pair(key, value)
        return labels | {"millrace/run": "{{workflow.name}}"}

    def _container(self, task: TaskSpec, pod: Pod) -> dict[str, Any]:
        mounts = [
            {"name": VOLUME, "mountPath": self._options.mount_path},
            {"name": SCRATCH, "mountPath": "/tmp"},
            *pod.mounts,
        ]
        if len({mount["mountPath"] for mount in mounts}) < len(mounts):
            raise InputError(
                f"task {task.name}: another volume is mounted at {self._options.mount_path}, the place of the pipeline "
                "root; mount it elsewhere"
            )
        env = {"HOME": {"name": "HOME", "value": "/tmp"}, "TMPDIR": {"name": "TMPDIR", "value": "/tmp"}} | pod.env
        arguments = ["--root", self._options.mount_path, "--run", "{{workflow.name}}"]
        arguments += ["--task", _without_tags(json.dumps(self._spec(task)))]
        for name in _workflow_parameters(task):
            arguments += ["--parameter", f"{name}={{{{inputs.parameters.{name}}}}}"]
        for earlier in self._read_from(task):
            tag = f"{{{{inputs.parameters.{_execution_input(self._nodes[earlier])}}}}}"
            arguments += ["--execution", f"{earlier}={tag}"]
        return {
            "image": task.container["image"],
            "command": ["python", "-m", "components.runtime.launch"],
            "args": [*arguments, "--outputs", OUTPUTS],
            "env": [_checked(task.name, variable) for variable in env.values()],
            "volumeMounts": mounts,
            "securityContext": CONTAINER_SECURITY,
            # The stage's one-line error becomes the message that Argo shows.
            "terminationMessagePolicy": "FallbackToLogsOnError",
            **pod.container,
        }

    def _spec(self, task: TaskSpec) -> dict[str, Any]:
        """What the launcher gets, see components.runtime.launch."""
        constants = {name: source.value for name, source in task.parameters.items() if isinstance(source, Constant)}
        parameters: dict[str, Any] = {
            name: {"constant": value} for name, value in task_parameters(task, constants).items()
        }
        for name, source in task.parameters.items():
            if isinstance(source, Parameter):
                parameters[name] = {"parameter": source.name}
            elif isinstance(source, Output):
                parameters[name] = {"task": source.task, "output": source.name}
        artifacts = {}
        for name, source in task.artifacts.items():
            if not isinstance(source, Output):
                raise InputError(f"task {task.name}: the artifact {name!r} is an input of the pipeline; use ingest")
            artifacts[name] = {"task": source.task, "output": source.name}
        return {
            "pipeline": self._pipeline.name,
            "task": task.name,
            "stage": task.stage,
            "component": {
                key: task.component[key] for key in ("inputDefinitions", "outputDefinitions") if key in task.component
            },
            "container": {key: task.container[key] for key in ("image", "command", "args") if key in task.container},
            "parameters": parameters,
            "artifacts": artifacts,
            "cacheable": task.cacheable,
        }

    def _retry(self, task: TaskSpec) -> dict[str, Any]:
        options, policy = self._options, task.retry
        limit = int(policy.get("maxRetryCount", 0)) if policy else options.retries
        if not limit:
            return {}
        return {
            "limit": str(limit),
            "retryPolicy": "OnFailure",
            # Any other code says that trying again cannot help.
            "expression": "asInt(lastRetry.exitCode) == 75",
            "backoff": {
                "duration": str(policy.get("backoffDuration") or f"{options.backoff_seconds}s"),
                "factor": _text(policy.get("backoffFactor") or 2),
                "cap": str(policy.get("backoffMaxDuration") or f"{options.backoff_cap_seconds}s"),
            },
        }


def _workflow_parameters(task: TaskSpec) -> list[str]:
    return sorted({source.name for source in task.parameters.values() if isinstance(source, Parameter)})


def _execution_input(node: str) -> str:
    return f"{node}-execution"


def _same_node() -> dict[str, Any]:
    """Draws a run's pods to one node, as its volume is: elsewhere they may have to wait. A wish: a GPU may be elsewhere."""
    term = {
        "labelSelector": {"matchLabels": {"millrace/run": "{{workflow.name}}"}},
        "topologyKey": "kubernetes.io/hostname",
    }
    return {
        "podAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}],
        }
    }


def _node_names(pipeline: Pipeline) -> dict[str, str]:
    """Argo's name for each task: that on display, in the letters that Kubernetes takes."""
    nodes: dict[str, str] = {}
    for name in pipeline.tasks:
        node = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        if not node or len(node) > _LONGEST_TASK_NAME:
            raise InputError(
                f"task name {name!r}: Kubernetes refuses it; use letters, digits and '-', at most {_LONGEST_TASK_NAME}"
            )
        if node in nodes.values() or node == ENTRYPOINT:
            raise InputError(f"task name {name!r}: another has the same name in Argo, {node!r}; rename one of them")
        nodes[name] = node
    return nodes


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _without_tags(text: str) -> str:
    """JSON in which Argo finds no tag of its own: KFP's placeholders begin with two braces too."""
    return text.replace("{{", "\\u007b\\u007b")


def _checked(task: str, variable: Mapping[str, Any]) -> dict[str, Any]:
    if "{{" in str(variable.get("value", "")):
        raise InputError(
            f"task {task}: the variable {variable['name']} has a placeholder in its value; pass it as a parameter"
        )
    return dict(variable)


def _validate(document: dict[str, Any]) -> None:
    """Holds the document to Argo's schema: what hera's models do not keep whole, Argo does not know."""
    # The import takes a second.
    from hera.workflows.models import Workflow

    kept = Workflow.model_validate(document).model_dump(mode="json", by_alias=True, exclude_none=True)
    if kept != document:
        raise AssertionError(f"not a Workflow of Argo's schema: {_difference(document, kept)}")


def _difference(wanted: Any, kept: Any, path: str = "") -> str:
    if isinstance(wanted, dict) and isinstance(kept, dict):
        for key in wanted.keys() | kept.keys():
            if wanted.get(key) != kept.get(key):
                return _difference(wanted.get(key), kept.get(key), f"{path}.{key}")
    if isinstance(wanted, list) and isinstance(kept, list) and len(wanted) == len(kept):
        for index, pair in enumerate(zip(wanted, kept, strict=True)):
            if pair[0] != pair[1]:
                return _difference(*pair, f"{path}[{index}]")
    return f"{path}: {wanted!r} became {kept!r}"
