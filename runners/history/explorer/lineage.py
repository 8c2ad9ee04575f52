"""A run's part of the lineage as plain data: its executions, and all that they came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from components.runtime.records.facts import SPAN_BYTES, size
from components.runtime.stage.artifacts import BOOKKEEPING
from runners.history.explorer.model import Artifact, Execution
from runners.history.lineage_nodes import ArtifactNode, Lineage
from runners.terminal import text

_ELSEWHERE = BOOKKEEPING | {SPAN_BYTES, "confidenceMetrics", "confusionMatrix"}
_LONGEST = 200


def lineage_of(graph: Lineage, run: str, page: Callable[[ArtifactNode], str]) -> tuple[list[Execution], list[Artifact]]:
    """The executions that answered a run's tasks, those whose artifacts they read, and so on up to the raw data.

    Args:
      graph: has at least these.
      run: its id.
      page: where the browser finds a report page; empty where it does not.
    """
    waiting = [graph.runs[run, task] for task in graph.tasks(run)]
    executions: dict[str, Execution] = {}
    artifacts: dict[str, Artifact] = {}
    while waiting:
        identity = waiting.pop(0)
        if identity in executions or identity not in graph.executions:
            continue
        node = graph.executions[identity]
        outputs = [graph.artifacts[each] for each in node.outputs.values()]
        executions[identity] = Execution(
            id=identity,
            task=node.task,
            stage=node.stage,
            run=node.run,
            state=node.state,
            time=node.time,
            error=node.error,
            parameters={name: text.clipped(value, _LONGEST) for name, value in node.parameters.items() if value},
            inputs=dict(node.inputs),
            outputs=dict(node.outputs),
            page=next((found for each in outputs if each.type == "system.HTML" and (found := page(each))), ""),
        )
        for each in [*outputs, *(graph.artifacts[name] for name in node.inputs.values())]:
            artifacts.setdefault(each.id, _artifact(each))
            if each.maker:
                waiting.append(each.maker)
    return list(executions.values()), list(artifacts.values())


def sources(artifacts: Iterable[Artifact]) -> list[str]:
    """Ids of what came from outside of the pipeline."""
    return [each.id for each in artifacts if each.type == "file"]


def _artifact(node: ArtifactNode) -> Artifact:
    facts = {name: _text(value) for name, value in node.metadata.items() if name not in _ELSEWHERE}
    if counted := size(node.metadata):
        facts["size"] = text.size(counted) if isinstance(counted, int | float) else str(counted)
    return Artifact(
        id=node.id,
        name=node.name,
        type=node.type,
        uri=node.uri,
        digest=node.digest,
        maker=node.maker,
        facts={name: value for name, value in facts.items() if value},
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else text.number(value)
    if isinstance(value, list):
        return text.clipped(", ".join(map(str, value)), _LONGEST)
    return text.clipped(str(value), _LONGEST) if value is not None and not isinstance(value, dict) else ""
