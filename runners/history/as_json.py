"""Runs, comparisons and lineage as documents for programs; docs/json.md tells their keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runners.history.comparison import Comparison, MetricRow, Row, parameter_values
from runners.history.lineage_nodes import ArtifactNode, Lineage
from runners.history.outcome import outcome
from runners.history.records import Run, Task


def run(found: Run, *, tasks: bool = True) -> dict[str, Any]:
    """A run and what came of it.

    Args:
      found: the run.
      tasks: whether its tasks and its parameters are told, too.
    """
    made = outcome(found)
    document: dict[str, Any] = {
        "run": found.id,
        "pipeline": found.pipeline,
        "target": found.target,
        "state": found.state,
        "part": found.part or None,
        "decision": found.decision or None,
        "watched": found.watched or None,
        "started": found.started,
        "finished": found.finished,
        "seconds": found.elapsed,
        "metrics": made.metrics or None,
        "blessed": made.blessed,
        "reason": made.reason or None,
        "pushed": {"version": _version(made.version), "destination": made.destination or None}
        if made.version
        else None,
        "error": found.error or None,
    }
    if tasks:
        document |= {"parameters": found.parameters, "tasks": [_task(each) for each in found.tasks]}
    return document


def _version(version: str) -> int | str:
    return int(version) if version.isdecimal() else version


def _task(task: Task) -> dict[str, Any]:
    ended = task.state not in ("waiting", "running", "skipped", "unknown")
    return {
        "task": task.name,
        "stage": task.stage,
        "state": task.state,
        "cached": task.state == "cached" if ended else None,
        "started": task.started,
        "seconds": task.seconds,
        "rows": task.rows,
        "peak_memory_bytes": task.peak_memory_bytes,
        "found": task.facts or None,
        "error": task.error or None,
        "log": task.log or None,
    }


def comparison(compared: Comparison) -> dict[str, Any]:
    """Two runs side by side, all that is known of both."""
    values = parameter_values(compared.left), parameter_values(compared.right)
    return {
        "left": run(compared.left, tasks=False),
        "right": run(compared.right, tasks=False),
        "metrics": [metric(row) for row in compared.metrics],
        "work": [metric(row) for row in compared.work],
        "parameters": [
            {"name": row.name, **_sides(*(side.get(row.name) for side in values)), "differs": _differs(row)}
            for row in compared.parameters
        ],
        "files": [side_by_side(row) for row in compared.files],
        "artifacts": [side_by_side(row) for row in compared.artifacts],
    }


def metric(row: MetricRow) -> dict[str, Any]:
    """A metric of two runs; `better` says whether the right one is."""
    sides = _sides(row.left, row.right)
    return {"name": row.name, **sides, "difference": row.difference, "better": row.is_better, "differs": row.differs}


def side_by_side(row: Row) -> dict[str, Any]:
    """A value of two runs."""
    return {"name": row.name, **_sides(row.left or None, row.right or None), "differs": _differs(row)}


def _sides(left: Any, right: Any) -> dict[str, Any]:
    return {"left": left, "right": right}


def _differs(row: Row) -> bool | None:
    return None if row.unknown else row.differs


def lineage(graph: Lineage, nodes: Sequence[ArtifactNode], direction: str | None) -> dict[str, Any]:
    """Artifacts, and the executions and artifacts that made them or came of them.

    Args:
      graph: has all that is known.
      nodes: the artifacts that were asked for.
      direction: `up` for what made them alone, `down` for what came of them, None for both.
    """
    artifacts: dict[str, ArtifactNode] = {node.id: node for node in nodes}
    executions: dict[str, Any] = {}
    for way in ("up", "down"):
        waiting, seen = list(nodes) if direction in (None, way) else [], set()
        while waiting:
            node = waiting.pop()
            if node.id in seen:
                continue
            seen.add(node.id)
            artifacts[node.id] = node
            for identity in [node.maker] * bool(node.maker) if way == "up" else node.users:
                execution = executions[identity] = graph.executions[identity]
                beyond = execution.inputs if way == "up" else execution.outputs
                waiting += [graph.artifacts[each] for each in beyond.values()]
    return {
        "asked": [node.id for node in nodes],
        "artifacts": [
            {
                "id": node.id,
                "name": node.name,
                "uri": node.uri,
                "digest": node.digest or None,
                "type": node.type or None,
                "metadata": node.metadata,
                "made_by": node.maker or None,
                "used_by": node.users,
            }
            for node in artifacts.values()
        ],
        "executions": [
            {
                "id": each.id,
                "pipeline": each.pipeline,
                "task": each.task,
                "stage": each.stage or None,
                "run": each.run,
                "state": each.state,
                "time": each.time or None,
                "error": each.error or None,
                "parameters": each.parameters,
                "inputs": each.inputs,
                "outputs": each.outputs,
                "reused_by": each.reused_by,
            }
            for each in executions.values()
        ],
    }
