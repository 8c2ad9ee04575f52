"""One task of the Workflow: its place in the DAG, and the template of its pod with the launcher in it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from components.runtime.errors import InputError
from components.runtime.launch.command import EXECUTION_OUTPUT
from components.runtime.launch.executor_files import RUN_PLACEHOLDER
from runners.argo.conditions import Reference, reference, when
from runners.argo.options import ArgoOptions, check_label
from runners.argo.pod_security import CONTAINER_SECURITY
from runners.argo.pods import SCRATCH, Pod, same_node
from runners.argo.retries import strategy
from runners.argo.values import CLOSING, without_tags
from runners.compiled.tasks import Constant, FinalStatus, Output, Parameter, Pipeline, Source, TaskSpec, task_parameters

ENTRYPOINT = "pipeline"
EXIT = "exit"
OUTPUTS = "/tmp/outputs"
"""Where a container leaves what Argo reads; on a volume, because the root file system is read-only."""

_LONGEST_NAME = 63
_BACKEND_PLACEHOLDER = re.compile(r"\{\{\$\.(?!inputs\.parameters\[)[^}]*\}\}")


class Tasks:
    """Translates the tasks of one pipeline."""

    def __init__(
        self, pipeline: Pipeline, platform: Mapping[str, Any], options: ArgoOptions, labels: Mapping[str, str]
    ) -> None:
        """Takes what is common to all.

        Args:
          pipeline: the pipeline.
          platform: the executors of the kubernetes platform spec.
          options: of the Workflow.
          labels: of all pods.
        """
        self._pipeline = pipeline
        self._platform = platform
        self._options = options
        self._labels = dict(labels)
        self._nodes = node_names(pipeline)
        self._references = self._all_references()
        self.pull_secrets: set[str] = set()

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

    def _read_from(self, task: TaskSpec) -> list[str]:
        """The tasks whose executions a task reads, in the pipeline's order."""
        sources = (*task.parameters.values(), *task.artifacts.values())
        names = {source.task for source in sources if isinstance(source, Output)}
        return [name for name in self._pipeline.tasks if name in names]

    def dag_task(self, task: TaskSpec) -> dict[str, Any]:
        """The task in the DAG: after what, when, with which arguments."""
        node = self._nodes[task.name]
        found: dict[str, Any] = {"name": node, "template": node} | self._after(task)
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

    def exit_step(self, task: TaskSpec) -> dict[str, Any]:
        """The exit task as a step of the exit handler.

        It may fail: else Argo would count a run that did all its work as failed because nobody could be told.
        """
        node = self._nodes[task.name]
        found: dict[str, Any] = {"name": node, "template": node, "continueOn": {"failed": True, "error": True}}
        if names := _workflow_parameters(task):
            found["arguments"] = {
                "parameters": [{"name": name, "value": f"{{{{workflow.parameters.{name}}}}}"} for name in names]
            }
        return found

    def _after(self, task: TaskSpec) -> dict[str, Any]:
        """What a task comes after: what it reads from must have succeeded, what it merely waits for may be skipped.

        Argo takes one of two forms in a graph. Where nothing has a condition, nothing is skipped, and the plain list
        says the same; it is the one whose edges Kubeflow's dashboard draws.
        """
        decisive = set(self._read_from(task))
        for condition in task.conditions:
            decisive |= {source.task for source in condition.values.values() if isinstance(source, Output)}
        # What another one waits for has ended before it.
        implied: set[str] = set().union(*(self._pipeline.ancestors(earlier) for earlier in decisive | task.after))
        nodes = {earlier: self._nodes[earlier] for earlier in self._pipeline.tasks}
        direct = [node for earlier, node in nodes.items() if earlier in decisive | (task.after - implied)]
        if not direct:
            return {}
        if not any(each.conditions for each in self._pipeline.tasks.values()):
            return {"dependencies": direct}
        parts = [
            f"{node}.Succeeded" if earlier in decisive else f"({node}.Succeeded || {node}.Skipped || {node}.Omitted)"
            for earlier, node in nodes.items()
            if node in direct
        ]
        return {"depends": " && ".join(parts)}

    def template(self, task: TaskSpec) -> dict[str, Any]:
        """The task's pod."""
        options, node = self._options, self._nodes[task.name]
        config = self._platform.get(task.component["executorLabel"], {})
        pod = Pod(task.name, task.container, config, options.claim, options.mount_path)
        self.pull_secrets.update(pod.pull_secrets)
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
            "labels": pod.labels | self._labels | self._pod_labels(task),
            # The cache of KFP v1, where it is installed, would answer for whole pods.
            "annotations": pod.annotations | {"pipelines.kubeflow.org/max_cache_staleness": "P0D"},
        }
        template["container"] = self._container(task, pod)
        if volumes := [{"name": SCRATCH, "emptyDir": {}}, *pod.volumes.values()]:
            template["volumes"] = volumes
        if options.task_deadline_seconds:
            template["activeDeadlineSeconds"] = options.task_deadline_seconds
        template |= pod.template
        if retry := strategy(task.retry, options, template.get("activeDeadlineSeconds")):
            template["retryStrategy"] = retry
        if options.access_mode != "ReadWriteMany":
            template["affinity"] = template.get("affinity", {}) | same_node()
        return template

    def _pod_labels(self, task: TaskSpec) -> dict[str, str]:
        labels = {"millrace/stage": task.stage, "millrace/task": self._nodes[task.name]}
        for key, value in labels.items():
            check_label(key, value)
        return labels | {"millrace/run": "{{workflow.name}}"}

    def _container(self, task: TaskSpec, pod: Pod) -> dict[str, Any]:
        env = {"HOME": {"name": "HOME", "value": "/tmp"}, "TMPDIR": {"name": "TMPDIR", "value": "/tmp"}} | pod.env
        arguments = ["--root", self._options.mount_path, "--run", "{{workflow.name}}"]
        arguments += ["--started", "{{workflow.creationTimestamp.RFC3339}}"]
        arguments += ["--task", without_tags(json.dumps(self._spec(task)))]
        for name in _workflow_parameters(task):
            arguments += ["--parameter", f"{name}={{{{inputs.parameters.{name}}}}}"]
        for earlier in self._read_from(task):
            tag = f"{{{{inputs.parameters.{_execution_input(self._nodes[earlier])}}}}}"
            arguments += ["--execution", f"{earlier}={tag}"]
        if FinalStatus() in task.parameters.values():
            arguments += ["--status", "{{workflow.status}}", "--failures", "{{workflow.failures}}"]
        return {
            "image": task.container["image"],
            "command": ["python", "-m", "components.runtime.launch"],
            "args": [*arguments, "--outputs", OUTPUTS],
            "env": [_checked(task.name, variable) for variable in env.values()],
            "volumeMounts": pod.mounts,
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
            elif isinstance(source, FinalStatus):
                parameters[name] = {"final_status": True}
        for name, value in constants.items():
            if value != RUN_PLACEHOLDER and (found := _BACKEND_PLACEHOLDER.search(str(value))):
                raise InputError(f"task {task.name}: {name!r} has the placeholder {found[0]}, which only KFP knows")
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


def _workflow_parameters(task: TaskSpec) -> list[str]:
    return sorted({source.name for source in task.parameters.values() if isinstance(source, Parameter)})


def _execution_input(node: str) -> str:
    return f"{node}-execution"


def node_names(pipeline: Pipeline) -> dict[str, str]:
    """Argo's name for each task: that on display, in the letters that Kubernetes takes.

    Raises:
      InputError: a name that is too long, or that another task has too.
    """
    nodes: dict[str, str] = {}
    for name in pipeline.tasks:
        node = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        if not node or len(node) > _LONGEST_NAME:
            raise InputError(
                f"task name {name!r}: Kubernetes refuses it; use letters, digits and '-', at most {_LONGEST_NAME}"
            )
        if node in nodes.values() or node in (ENTRYPOINT, EXIT, CLOSING):
            raise InputError(f"task name {name!r}: another has the same name in Argo, {node!r}; rename one of them")
        nodes[name] = node
    return nodes


def _checked(task: str, variable: Mapping[str, Any]) -> dict[str, Any]:
    if "{{" in str(variable.get("value", "")):
        raise InputError(
            f"task {task}: the variable {variable['name']} has a placeholder in its value; pass it as a parameter"
        )
    return dict(variable)
