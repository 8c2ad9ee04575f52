"""A training or a search with several workers as Argo runs it: the task's own pod is the chief, beside it the others.

They find each other by names that the headless service of manifests/workers gives to their pods. Nothing waits for the
others in the graph: they end when the chief does. Of a training none of them goes on without all; a search does.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from components.runtime.module_file import workers
from components.runtime.records import argo_messages
from runners.argo.values import node_name
from runners.compiled import training_workers
from runners.compiled.tasks import TaskSpec

SERVICE = "millrace-workers"
"""The service of manifests/workers, and the label that it and the network policy choose pods by."""
LABEL = "millrace/workers"
PORTS = {"train": ("workers", 2222), "tune": ("tcp-searches", 2223)}
"""Where a stage's chief is found: the name and number of the service's ports."""


def count(tasks: Sequence[TaskSpec]) -> int:
    """How many pods the tasks of a pod need, to work together; 1 where they are one pod.

    Raises:
      InputError: several, of a task that shares its pod with others.
    """
    for task in tasks:
        if (several := training_workers.count(task)) > 1:
            if task.fused:
                raise training_workers.shares_its_pod(task.name, task.stage, several, task.fused.name)
            return several
    return 1


def nodes_beside(tasks: Sequence[TaskSpec]) -> list[str]:
    """The names of the nodes beside the one of such a task; none of other tasks."""
    return [_node(node_name(tasks[0].name), index) for index in range(1, count(tasks))]


def _node(node: str, index: int) -> str:
    return f"{node}-worker-{index}"


def dag_tasks(task: dict[str, Any], stage: str, several: int) -> list[dict[str, Any]]:
    """The nodes of the graph: the task's own, and beside it those of the others."""
    name = str(task["name"])
    # (Argo has no `continueOn` in a graph of `depends`, which is that of a pipeline with conditions.)
    outlived = {"continueOn": {"failed": True, "error": True}} if stage == "tune" and "depends" not in task else {}
    return [
        task,
        *(
            {**task, "name": _node(name, index), "template": _node(name, index)} | outlived
            for index in range(1, several)
        ),
    ]


def templates(template: dict[str, Any], stage: str, several: int) -> list[dict[str, Any]]:
    """Their templates; that of the task's own pod becomes the chief's."""
    port_name, port = PORTS[stage]
    made = [copy.deepcopy(template) for _ in range(several)]
    node = str(template["name"])
    hosts = [f"{{{{workflow.name}}}}-{node}-{index}" for index in range(several)]
    addresses = [f"{host}.{SERVICE}.{{{{workflow.namespace}}}}.svc:{port}" for host in hosts]
    for index, each in enumerate(made):
        each["metadata"]["labels"][LABEL] = "true"
        each["podSpecPatch"] = json.dumps({"hostname": hosts[index], "subdomain": SERVICE})
        configuration = workers.configuration(addresses, index)
        each["container"]["env"].append({"name": workers.VARIABLES[stage], "value": configuration})
        each["container"]["ports"] = [{"name": port_name, "containerPort": port}]
        if index:
            each["name"] = each["metadata"]["labels"]["millrace/task"] = _node(node, index)
            state = [one for one in each["outputs"]["parameters"] if one["name"] == argo_messages.STATE_OUTPUT]
            each["outputs"] = {"parameters": state}
    return made
