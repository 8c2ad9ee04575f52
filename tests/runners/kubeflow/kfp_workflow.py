"""The Workflow that a Kubeflow Pipelines server makes of a pipeline, and what its API tells of it.

Shapes as a real 2.17.0 has them: `test_kubeflow_recorded` holds them to its answers.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
Node = dict[str, Any]


@dataclass
class Progress:
    """How far a run is, and what becomes of it.

    Attributes:
      step: so many stages are through.
      fails_at: the key of a stage whose pod ends with an error.
      pending: why the pod of the next stage waits; None where it runs.
      cached: keys of stages that are taken from the cache.
      attempts: so many pods of a stage, of which the last counts.
      outer: every node is one for the attempts at it, as with KFP's own `workflowDefaults`.
    """

    step: int = 0
    fails_at: str = ""
    pending: str | None = None
    cached: frozenset[str] = frozenset()
    attempts: dict[str, int] = field(default_factory=dict)
    outer: bool = False


def leaves(ir: dict[str, Any], component: dict[str, Any] | None = None) -> list[str]:
    """The keys of the stages of a pipeline, as they follow each other in the file."""
    found: list[str] = []
    for key, task in ((component or ir["root"])["dag"]["tasks"]).items():
        inside = ir["components"][task["componentRef"]["name"]]
        found += leaves(ir, inside) if "dag" in inside else [key]
    return found


def nodes(workflow: str, ir: dict[str, Any], progress: Progress) -> dict[str, Node]:
    """The nodes of the Workflow of a pipeline that runs its stages one after the other."""
    return {node["id"]: node for node in _Maker(workflow, ir, progress).nodes()}


def phase(ir: dict[str, Any], progress: Progress) -> str:
    """The phase of the Workflow."""
    order = leaves(ir)
    if progress.fails_at and order.index(progress.fails_at) < progress.step:
        return "Failed"
    return "Succeeded" if progress.step >= len(order) else "Running"


def details(run: str, found: dict[str, Node]) -> list[dict[str, Any]]:
    """The tasks that the API makes of nodes: no errors, no parents, and a nameless one for each execution."""
    states = {"Pending": "PENDING", "Running": "RUNNING", "Succeeded": "SUCCEEDED", "Skipped": "SKIPPED"}
    states |= {"Failed": "FAILED", "Error": "FAILED"}
    told = []
    for node in sorted(found.values(), key=lambda each: str(uuid.uuid5(uuid.NAMESPACE_OID, each["id"]))):
        task = {"run_id": run, "task_id": str(uuid.uuid5(uuid.NAMESPACE_OID, node["id"]))}
        task |= {"display_name": node["displayName"], "create_time": _time(0), "start_time": node["startedAt"]}
        task |= {"end_time": node["finishedAt"]} if node.get("finishedAt") else {}
        # (A node that was left out has no state.)
        task |= {"state": states[node["phase"]]} if node["phase"] in states else {}
        task |= {"child_tasks": [{"pod_name": child} for child in node.get("children") or []]}
        told.append(task)
    return [*told, {"run_id": run, "task_id": str(uuid.uuid4()), "execution_id": "7", "create_time": _time(0)}]


class _Maker:
    def __init__(self, workflow: str, ir: dict[str, Any], progress: Progress) -> None:
        self._workflow, self._ir, self._progress = workflow, ir, progress
        self._order = leaves(ir)
        self._phase = phase(ir, progress)

    def nodes(self) -> Iterator[Node]:
        yield self._node([], "DAG", self._phase, 0)
        yield self._node(["root-driver"], "Pod", "Succeeded", 0)
        yield self._node(["root"], "DAG", self._phase, 0)
        yield from self._inside(["root"], self._ir["root"])

    def _inside(self, path: list[str], component: dict[str, Any]) -> Iterator[Node]:
        for key, task in component["dag"]["tasks"].items():
            inner = self._ir["components"][task["componentRef"]["name"]]
            first = self._order.index((leaves(self._ir, inner) if "dag" in inner else [key])[0])
            failed_at = self._order.index(self._progress.fails_at) if self._phase == "Failed" else len(self._order)
            if first > failed_at:
                # What comes behind a failure is left out, with all that is in it.
                yield from (self._node([*path, name], "Skipped", "Omitted", first) for name in (f"{key}-driver", key))
            elif first <= self._progress.step:
                yield self._node([*path, f"{key}-driver"], "Pod", "Succeeded", first)
                if "dag" in inner:
                    yield self._node([*path, key], "DAG", self._phase, first)
                    yield from self._inside([*path, key], inner)
                else:
                    yield from self._stage([*path, key], first)

    def _stage(self, path: list[str], place: int) -> Iterator[Node]:
        key, progress = path[-1], self._progress
        is_through = place < progress.step
        state = "Failed" if is_through and key == progress.fails_at else "Succeeded" if is_through else "Running"
        cached = key in progress.cached
        given = [{"name": "cached-decision", "default": "false", "value": str(cached).lower()}]
        yield self._node(path, "DAG", state, place, "retry-system-container-executor", inputs={"parameters": given})
        if cached:
            skipped = "when 'true != true' evaluated false"
            yield self._node([*path, "executor"], "Skipped", "Skipped", place, "retry-system-container-impl", skipped)
            return
        count = progress.attempts.get(key, 1)
        outer = "No more retries left" if state == "Failed" else ""
        yield self._node([*path, "executor"], "Retry", state, place, "retry-system-container-impl", outer)
        for attempt in range(count):
            own = "Failed" if attempt < count - 1 else state
            # (The server's launcher ends with 1, whatever the stage ended with.)
            message = "main: Error (exit code 1)" if own == "Failed" else ""
            if own == "Running" and progress.pending is not None:
                own, message = "Pending", progress.pending
            logs = {"artifacts": [{"name": "main-logs"}]} if own in ("Failed", "Succeeded") else {}
            name = [*path, f"executor({attempt})"]
            yield self._node(name, "Pod", own, place, "retry-system-container-impl", message, outputs=logs)

    def _node(
        self, path: list[str], kind: str, state: str, place: int, template: str = "", message: str = "", **more: Any
    ) -> Node:
        parts = [f"{part}(0)" for part in path[:-1]] + path[-1:] if self._progress.outer else path
        head = f"{self._workflow}(0)" if self._progress.outer and path else self._workflow
        name = ".".join([head, *parts])
        # (Argo's own number is a hash of the name too.)
        identity = f"{self._workflow}-{uuid.uuid5(uuid.NAMESPACE_OID, name).int % 10**9}" if path else self._workflow
        made = {"id": identity, "name": name, "displayName": path[-1] if path else self._workflow, "type": kind}
        made |= {"phase": state, "templateName": template or "system-dag-driver", "startedAt": _time(place)} | more
        made |= {"finishedAt": _time(place, 7)} if state not in ("Pending", "Running") else {}
        return made | ({"message": message} if message else {})


def _time(place: int, more: int = 0) -> str:
    return (START + timedelta(seconds=10 * place + more)).strftime("%Y-%m-%dT%H:%M:%SZ")
