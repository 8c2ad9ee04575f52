"""Tasks on a server that stand for several (`cluster.fuse`), told as the ones that they were made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from components.runtime.launch.fused import inner_name
from runners.compiled.ir import parts_of
from runners.kubeflow.executions import Execution

Part = Mapping[str, Any]
_Value = TypeVar("_Value")


def parts_by_task(ir: Mapping[str, Any]) -> dict[str, Sequence[Part]]:
    """The specifications of the tasks that were fused, by the name on display of the one in their place."""
    found: dict[str, Sequence[Part]] = {}
    components = ir.get("components") or {}
    executors = (ir.get("deploymentSpec") or {}).get("executors") or {}
    for group in (ir.get("root") or {}, *components.values()):
        for task in ((group.get("dag") or {}).get("tasks") or {}).values():
            component = components.get(str((task.get("componentRef") or {}).get("name"))) or {}
            executor = executors.get(str(component.get("executorLabel"))) or {}
            if parts := parts_of(executor.get("container") or {}):
                found[str((task.get("taskInfo") or {}).get("name"))] = parts
    return found


def split(executions: Iterable[Execution], fused: Mapping[str, Sequence[Part]]) -> list[Execution]:
    """Executions as they would be without `cluster.fuse`.

    One that failed stays whole: the server has none of its outputs, and its error names the part.

    Args:
      executions: of a run.
      fused: what `parts_by_task` says of its pipeline.
    """
    return [
        each
        for execution in executions
        for each in (
            _parts(execution, fused[execution.task])
            if execution.task in fused and execution.state != "failed"
            else [execution]
        )
    ]


def _parts(execution: Execution, parts: Sequence[Part]) -> Iterator[Execution]:
    for part in parts:
        task = str(part["task"])
        outputs = (part["component"].get("outputDefinitions") or {}).get("artifacts") or {}
        yield dataclasses.replace(
            execution,
            id=f"{execution.id}/{task}",
            task=task,
            parameters=_given(part["parameters"], execution.parameters, {}),
            inputs=_given(part["artifacts"], execution.inputs, execution.outputs),
            outputs={
                name: execution.outputs[inner_name(task, name)]
                for name in outputs
                if inner_name(task, name) in execution.outputs
            },
        )


def _given(
    sources: Mapping[str, Mapping[str, str]], inputs: Mapping[str, _Value], outputs: Mapping[str, _Value]
) -> dict[str, _Value]:
    """What a part was given: of the whole task's inputs, or of the outputs of a part before it."""
    found = {}
    for name, source in sources.items():
        inner = source.get("input") or inner_name(source["task"], source["output"])
        given = inputs if "input" in source else outputs
        if inner in given:
            found[name] = given[inner]
    return found
