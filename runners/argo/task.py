"""One pod of the Workflow, of one task or several: its place in the DAG, and its template with the launcher in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.runtime.errors import InputError
from components.runtime.launch.command import EXECUTION_OUTPUT
from components.runtime.launch.task import SCHEDULED_PLACEHOLDER
from components.runtime.records import argo_messages
from components.runtime.records.argo_workflow import CLOSING, without_tags
from runners.argo import foreign, suspending, worker_pods
from runners.argo.conditions import reference, when
from runners.argo.options import ArgoOptions
from runners.argo.retries import strategy
from runners.argo.root import own_volumes, root_arguments, variables_of_bucket
from runners.argo.values import CREATED, SCHEDULED, node_name
from runners.compiled.conditions import Reference
from runners.compiled.images import FUSED
from runners.compiled.launching import LAUNCHER_RESOURCES, lender, parameters_of, read_from, specification, waits_for
from runners.compiled.pod_security import CONTAINER_SECURITY
from runners.compiled.pods import Pod, same_node
from runners.compiled.tasks import Constant, FinalStatus, Output, Parameter, Pipeline, Source, TaskSpec
from runners.settings.kubernetes_values import check_label

ENTRYPOINT = "pipeline"
EXIT = "exit"
OUTPUTS = "/tmp/outputs"
"""Where a container leaves what Argo reads; on a volume, because the root file system is read-only."""

_LONGEST_NAME = 63


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
                references[output] = reference(
                    Output(task.name, _prefix(task) + name), definition["parameterType"], self._nodes[task.name]
                )
        return references

    def dag_tasks(self, tasks: Sequence[TaskSpec]) -> list[dict[str, Any]]:
        """The nodes of these tasks in the DAG: that of their pod, and those before or beside it that it needs.

        Before it are those of what waits for a person, beside it the other workers of a training or a search.
        """
        node = self._dag_task(tasks)
        if (several := worker_pods.count(tasks)) > 1:
            return worker_pods.dag_tasks(node, tasks[0].stage, several)
        return suspending.dag_tasks(node, plain=self._plain) if suspending.suspends(tasks) else [node]

    @property
    def _plain(self) -> bool:
        """Whether no task has a condition, so that none is skipped."""
        return not any(each.conditions for each in self._pipeline.tasks.values())

    def _dag_task(self, tasks: Sequence[TaskSpec]) -> dict[str, Any]:
        """The pod of these tasks in the DAG: after what, when, with which arguments."""
        node = self._nodes[tasks[0].name]
        found: dict[str, Any] = {"name": node, "template": node} | self._after(tasks)
        # (Of several tasks none has a condition.)
        if condition := when(tasks[0].conditions, self._references):
            found["when"] = condition
        parameters = [
            {"name": name, "value": f"{{{{workflow.parameters.{name}}}}}"} for name in parameters_of(tasks)
        ] + [
            {
                "name": _execution_input(earlier),
                "value": f"{{{{tasks.{self._nodes[earlier]}.outputs.parameters.{self._execution_output(earlier)}}}}}",
            }
            for earlier in read_from(self._pipeline, tasks)
        ]
        parameters += [
            {"name": node_name(foreign.input_name(each)), "value": self._output_tag(each)}
            for each in foreign.reads(tasks[0])
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
        if names := parameters_of([task]):
            found["arguments"] = {
                "parameters": [{"name": name, "value": f"{{{{workflow.parameters.{name}}}}}"} for name in names]
            }
        return found

    def _execution_output(self, name: str) -> str:
        """The output parameter of its pod that says where the execution of a task lies."""
        return _prefix(self._pipeline.tasks[name]) + EXECUTION_OUTPUT

    def _after(self, tasks: Sequence[TaskSpec]) -> dict[str, Any]:
        """What a pod comes after: what it reads from must have succeeded, what it merely waits for may be skipped.

        Argo takes one of two forms in a graph. Where nothing has a condition, nothing is skipped, and the plain list
        says the same; it is the one whose edges Kubeflow's dashboard draws.
        """
        decisive, earlier_tasks = waits_for(self._pipeline, tasks)
        direct = {self._nodes[earlier] for earlier in earlier_tasks}
        nodes = [node for node in dict.fromkeys(self._nodes.values()) if node in direct]
        if not nodes:
            return {}
        if self._plain:
            return {"dependencies": nodes}
        succeeded = {self._nodes[earlier] for earlier in decisive}
        parts = [
            f"{node}.Succeeded" if node in succeeded else f"({node}.Succeeded || {node}.Skipped || {node}.Omitted)"
            for node in nodes
        ]
        return {"depends": " && ".join(parts)}

    def templates(self, tasks: Sequence[TaskSpec]) -> list[dict[str, Any]]:
        """The templates of the nodes of `dag_tasks`."""
        template = self._template(tasks)
        if (several := worker_pods.count(tasks)) > 1:
            return worker_pods.templates(template, tasks[0].stage, several)
        return suspending.templates(template, OUTPUTS) if suspending.suspends(tasks) else [template]

    def _template(self, tasks: Sequence[TaskSpec]) -> dict[str, Any]:
        """The pod of these tasks."""
        first, options, node = tasks[0], self._options, self._nodes[tasks[0].name]
        config = self._platform.get(first.executor, {})
        pod = Pod(first.pod, first.pod_container, config, options.claim, options.mount_path)
        self.pull_secrets.update(pod.pull_secrets)
        inputs = [*parameters_of(tasks), *(_execution_input(name) for name in read_from(self._pipeline, tasks))]
        inputs += [node_name(foreign.input_name(each)) for each in foreign.reads(first)]
        template: dict[str, Any] = {"name": node}
        if inputs:
            template["inputs"] = {"parameters": [{"name": name} for name in inputs]}
        template["outputs"] = {
            "parameters": [
                # A failed container writes nothing; without a default that would hide its own exit code.
                {"name": name, "valueFrom": {"path": f"{OUTPUTS}/{name}", "default": ""}}
                for name in (argo_messages.STATE_OUTPUT, *self._outputs(tasks))
            ]
        }
        template["metadata"] = {
            "labels": pod.labels | self._labels | self._pod_labels(first),
            # The cache of KFP v1, where it is installed, would answer for whole pods.
            "annotations": pod.annotations | {"pipelines.kubeflow.org/max_cache_staleness": "P0D"},
        }
        template["container"] = self._container(tasks, pod)
        template["volumes"] = [*own_volumes(options), *pod.volumes.values()]
        if first.foreign:
            template["sidecars"] = [foreign.container(first, pod, self._given)]
            template["volumes"] += foreign.VOLUMES
            template["podSpecPatch"] = foreign.POD_PATCH
        if options.task_deadline_seconds:
            template["activeDeadlineSeconds"] = options.task_deadline_seconds
        template |= pod.template
        if retry := strategy(first.retry, options, template.get("activeDeadlineSeconds")):
            template["retryStrategy"] = retry
        if options.access_mode != "ReadWriteMany" and not options.bucket:
            template["affinity"] = template.get("affinity", {}) | same_node("{{workflow.name}}")
        return template

    def _outputs(self, tasks: Sequence[TaskSpec]) -> Iterator[str]:
        """The output parameters that later pods, conditions, or who follows the run, read."""
        if len(tasks) > 1:
            yield argo_messages.TASKS_OUTPUT
        for task in tasks:
            yield self._execution_output(task.name)
            for name in task.component.get("outputDefinitions", {}).get("parameters", {}):
                yield _prefix(task) + name

    def _pod_labels(self, task: TaskSpec) -> dict[str, str]:
        labels = {"millrace/stage": FUSED if task.fused else task.stage, "millrace/task": self._nodes[task.name]}
        for key, value in labels.items():
            check_label(key, value)
        return labels | {"millrace/run": "{{workflow.name}}"}

    def _output_tag(self, source: Output) -> str:
        name = f"{_prefix(self._pipeline.tasks[source.task])}{source.name}"
        return f"{{{{tasks.{self._nodes[source.task]}.outputs.parameters.{name}}}}}"

    def _given(self, source: Source) -> str:
        """How a template names a parameter that it is given."""
        if isinstance(source, Output):
            return node_name(foreign.input_name(source))
        assert isinstance(source, Parameter), source
        return source.name

    def _container(self, tasks: Sequence[TaskSpec], pod: Pod) -> dict[str, Any]:
        beside = tasks[0].foreign
        env = {"HOME": {"name": "HOME", "value": "/tmp"}, "TMPDIR": {"name": "TMPDIR", "value": "/tmp"}}
        # What the settings say of the pod is of the stage's own container.
        env |= {} if beside else pod.env
        arguments = [*root_arguments(self._options), "--run", "{{workflow.name}}"]
        arguments += ["--started", CREATED]
        if any(Constant(SCHEDULED_PLACEHOLDER) in task.parameters.values() for task in tasks):
            arguments += [SCHEDULED, CREATED]
        for task in tasks:
            arguments += ["--task", without_tags(json.dumps(self._spec(task)))]
        for name in parameters_of(tasks):
            arguments += ["--parameter", f"{name}={{{{inputs.parameters.{name}}}}}"]
        for earlier in read_from(self._pipeline, tasks):
            arguments += ["--execution", f"{earlier}={{{{inputs.parameters.{_execution_input(earlier)}}}}}"]
        if FinalStatus() in tasks[0].parameters.values():
            arguments += ["--status", "{{workflow.status}}", "--failures", "{{workflow.failures}}"]
        return {
            "image": lender(self._pipeline, tasks[0], "Argo").pod_container["image"],
            "command": ["python", "-m", "components.runtime.launch"],
            "args": [*arguments, "--outputs", OUTPUTS],
            "env": [_checked(tasks[0].pod, variable) for variable in env.values()],
            **variables_of_bucket(self._options),
            "volumeMounts": [*pod.mounts, foreign.mount()] if beside else pod.mounts,
            "securityContext": CONTAINER_SECURITY,
            # The stage's one-line error becomes the message that Argo shows.
            "terminationMessagePolicy": "FallbackToLogsOnError",
            **({"resources": LAUNCHER_RESOURCES} if beside else pod.container),
        }

    def _spec(self, task: TaskSpec) -> dict[str, Any]:
        """What the launcher gets, see components.runtime.launch."""
        spec = specification(self._pipeline.name, task)
        if suspending.suspends([task]):
            spec["parameters"][suspending.TOLD] = suspending.told()
        return spec


def _execution_input(task: str) -> str:
    return f"{node_name(task)}-execution"


def _prefix(task: TaskSpec) -> str:
    """What begins the names of a task's output parameters, where its pod has several tasks."""
    return f"{task.name}-" if task.fused else ""


def node_names(pipeline: Pipeline) -> dict[str, str]:
    """Argo's name for the pod of each task: that on display, in the letters that Kubernetes takes.

    Raises:
      InputError: a name that is too long, or that another task has too.
    """
    pods: dict[str, str] = {}
    more = {
        name: [*suspending.nodes_before(tasks), *worker_pods.nodes_beside(tasks)]
        for name, tasks in pipeline.pods.items()
    }
    of_others = {each for nodes in more.values() for each in nodes}
    for name in pipeline.pods:
        node = node_name(name)
        if not node or max(map(len, [node, *more[name]])) > _LONGEST_NAME:
            raise InputError(
                f"task name {name!r}: Kubernetes refuses it; use letters, digits and '-', at most {_LONGEST_NAME}"
            )
        if node in pods.values() or node in of_others or node in (ENTRYPOINT, EXIT, CLOSING):
            raise InputError(f"task name {name!r}: another has the same name in Argo, {node!r}; rename one of them")
        pods[name] = node
    return {name: pods[task.pod] for name, task in pipeline.tasks.items()}


def _checked(task: str, variable: Mapping[str, Any]) -> dict[str, Any]:
    if "{{" in str(variable.get("value", "")):
        raise InputError(
            f"task {task}: the variable {variable['name']} has a placeholder in its value; pass it as a parameter"
        )
    return dict(variable)
