"""The task `approve` as Argo runs it: a pod that asks, a suspended node while a person thinks, a pod that records.

Between the two pods there is none. Where the settings fuse the task with others, it waits in their pod as elsewhere.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from components.runtime.publish import suspension
from runners.argo.values import node_name
from runners.compiled.tasks import TaskSpec

STAGE = "approve"
ASK, WAIT = "-ask", "-wait"
"""What the names of the nodes before the task's own end with."""
TOLD = "told"
"""The input of the stage that says what the suspended node was told."""
_GIVEN = (suspension.QUESTION, *suspension.ANSWER)
ASKING = "components.approve.asking"
"""The module that the first of the pods runs."""


def suspends(tasks: Sequence[TaskSpec]) -> bool:
    """Whether the tasks of a pod are one that waits for a person, and that can be told what one has answered."""
    task = tasks[0]
    inputs = task.component.get("inputDefinitions", {}).get("parameters", {})
    return task.stage == STAGE and TOLD in inputs and not task.foreign and not task.fused


def nodes_before(tasks: Sequence[TaskSpec]) -> list[str]:
    """The names of the nodes before the one of such a task; none of other tasks."""
    return [node_name(tasks[0].name) + each for each in (ASK, WAIT)] if suspends(tasks) else []


def told() -> dict[str, Any]:
    """The source of the stage's input `told` in the launcher's specification: what the suspended node was told."""
    return {"parameters": {name: _parameter(name) for name in _GIVEN}}


def _parameter(name: str) -> str:
    return f"{STAGE}.{name}"


def dag_tasks(task: Mapping[str, Any], *, plain: bool) -> list[dict[str, Any]]:
    """The three nodes of the graph.

    Args:
      task: the one that it would be, if it waited itself.
      plain: whether the graph has `dependencies`, and not `depends`.
    """
    name = str(task["name"])
    given = {"parameters": list((task.get("arguments") or {}).get("parameters", []))}

    def behind(node: str) -> dict[str, Any]:
        return {"dependencies": [node]} if plain else {"depends": f"{node}.Succeeded"}

    def outputs(node: str, names: Sequence[str]) -> list[dict[str, str]]:
        return [{"name": each, "value": f"{{{{tasks.{node}.outputs.parameters.{each}}}}}"} for each in names]

    ask, wait = name + ASK, name + WAIT
    asked = outputs(ask, [suspension.QUESTION, suspension.SECONDS])
    answered = outputs(ask, [suspension.QUESTION]) + outputs(wait, suspension.ANSWER)
    return [
        {**task, "name": ask, "template": ask},
        {"name": wait, "template": wait, **behind(ask), "arguments": {"parameters": asked}},
        {
            "name": name,
            "template": name,
            **behind(wait),
            "arguments": {"parameters": [*given["parameters"], *answered]},
        },
    ]


def templates(template: dict[str, Any], outputs: str) -> list[dict[str, Any]]:
    """Their templates.

    Args:
      template: of the stage's pod, which becomes that of the last.
      outputs: where its container leaves what Argo reads.
    """
    name = str(template["name"])
    ask = copy.deepcopy(template)
    ask["name"] = name + ASK
    ask["container"]["command"] = ["python", "-m", ASKING]
    ask["metadata"]["labels"]["millrace/task"] = name + ASK
    made = [suspension.QUESTION, suspension.SECONDS]
    ask["outputs"] = {
        "parameters": [{"name": each, "valueFrom": {"path": f"{outputs}/{each}", "default": ""}} for each in made]
    }
    given = [{"name": each} for each in _GIVEN]
    for each in _GIVEN:
        template["container"]["args"] += ["--parameter", f"{_parameter(each)}={{{{inputs.parameters.{each}}}}}"]
    template["inputs"] = {"parameters": [*template.get("inputs", {}).get("parameters", []), *given]}
    approved, by, why = suspension.ANSWER
    wait = {
        "name": name + WAIT,
        # All are inputs and outputs: Argo's page offers the inputs to whoever resumes the node there, and sends all of
        # them back as outputs.
        "inputs": {
            "parameters": [
                *({"name": each} for each in made),
                {
                    "name": approved,
                    "default": suspension.NO,
                    "enum": [suspension.NO, suspension.YES],
                    "description": "Whether the model may be published.",
                },
                {"name": by, "default": "", "description": "Who answers."},
                {"name": why, "default": "", "description": "Why."},
            ]
        },
        "outputs": {
            "parameters": [
                {"name": each, "valueFrom": {"supplied": {}, "default": ""}} for each in (*made, *suspension.ANSWER)
            ]
        },
        "suspend": {"duration": f"{{{{inputs.parameters.{suspension.SECONDS}}}}}"},
    }
    return [ask, wait, template]
