"""The last pod of a Workflow: it writes the run's record on the volume, for `runs`, `compare` and `report`."""

from __future__ import annotations

import json
from typing import Any

from components.runtime.records.argo_workflow import CLOSING, without_tags
from runners.argo import suspending, worker_pods
from runners.argo.options import ArgoOptions
from runners.argo.retries import attempts
from runners.argo.root import own_volumes, root_arguments, variables_of_bucket
from runners.compiled.launching import CLOSING_SECONDS, CLOSING_TASK, LAUNCHER_RESOURCES, closer, plan
from runners.compiled.pod_security import CONTAINER_SECURITY
from runners.compiled.pods import Pod, same_node
from runners.compiled.tasks import Pipeline, TaskSpec


def step() -> dict[str, Any]:
    """The step of the exit handler; it may fail, because the run has done its work without it."""
    return {"name": CLOSING, "template": CLOSING, "continueOn": {"failed": True, "error": True}}


def template(pipeline: Pipeline, options: ArgoOptions, labels: dict[str, str]) -> dict[str, Any]:
    """The pod: the launcher's code is in every image, so one that the run has pulled anyway serves.

    Args:
      pipeline: of the Workflow.
      options: volume and deadlines.
      labels: of all its pods.
    """
    lender = closer(pipeline, "Argo")
    pod = Pod(CLOSING, {}, {}, options.claim, options.mount_path)
    variables = {"HOME": "/tmp", "TMPDIR": "/tmp"}
    arguments = [
        *root_arguments(options),
        "--run",
        "{{workflow.name}}",
        "--plan",
        without_tags(json.dumps(_plan(pipeline, options))),
    ]
    arguments += ["--started", "{{workflow.creationTimestamp.RFC3339}}"]
    arguments += ["--status", "{{workflow.status}}", "--failures", "{{workflow.failures}}"]
    for name in pipeline.parameters:
        arguments += ["--parameter", f"{name}={{{{workflow.parameters.{name}}}}}"]
    made = {
        "name": CLOSING,
        "activeDeadlineSeconds": CLOSING_SECONDS,
        "metadata": {
            "labels": labels
            | {"millrace/stage": lender.stage, "millrace/task": CLOSING_TASK, "millrace/run": "{{workflow.name}}"},
            "annotations": {"pipelines.kubeflow.org/max_cache_staleness": "P0D"},
        },
        "container": {
            "image": lender.pod_container["image"],
            "command": ["python", "-m", "components.runtime.close_workflow"],
            "args": arguments,
            "env": [{"name": name, "value": value} for name, value in variables.items()],
            **variables_of_bucket(options),
            "volumeMounts": pod.mounts,
            "securityContext": CONTAINER_SECURITY,
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "resources": LAUNCHER_RESOURCES,
        },
        "volumes": own_volumes(options),
    }
    return made | (
        {} if options.access_mode == "ReadWriteMany" or options.bucket else {"affinity": same_node("{{workflow.name}}")}
    )


def _plan(pipeline: Pipeline, options: ArgoOptions) -> dict[str, Any]:
    """What the record says of tasks that did not run, and what tells a stop from other ends."""
    retries = {task.pod: attempts(task.retry, options) for task in pipeline.tasks.values()}
    told = plan(pipeline)
    return {
        "pipeline": pipeline.name,
        "retries": {pod: count for pod, count in retries.items() if count},
        "deadline_seconds": options.deadline_seconds,
        "parameters": told["parameters"],
        "tasks": [
            each | ({"nodes": more} if (more := _more_nodes(pipeline.tasks[each["name"]])) else {})
            for each in told["tasks"]
        ],
    }


def _more_nodes(task: TaskSpec) -> list[str]:
    """The nodes of a task besides the one that has its name."""
    return [*suspending.nodes_before([task]), *worker_pods.nodes_beside([task])]
