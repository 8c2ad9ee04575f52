"""Reads what became of each stage from the Workflow behind a run: Argo's nodes say more than the API's tasks.

Of one stage Kubeflow Pipelines makes several nodes: a driver, the stage itself, and in it one pod for each attempt.
With the `workflowDefaults` of a default install each of them lies in a node of its own for the attempts at it, whose
name ends with their number: `ingest`, in it `ingest(0)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Node = dict[str, Any]

_FAILED = ("Failed", "Error")
_ATTEMPT = re.compile(r"\(\d+\)$")
_STARTING = ("", "ContainerCreating", "PodInitializing")
"""Said of every pod that starts, so it tells nobody anything."""

_STOPPED = re.compile(r"exceeded (?:its|workflow) deadline")
"""The server stops a run by a deadline that is over, and Argo says so of what it ends."""


@dataclass(frozen=True)
class Seen:
    """What became of a stage.

    Attributes:
      state: as in RemoteTask.
      message: Argo's own, of a stage that failed or waits.
      attempts: how many pods were made for its work; none for one that was taken from the cache.
      pod: the node of the pod that failed, whose log says more.
    """

    state: str
    started: str | None = None
    ended: str | None = None
    message: str = ""
    attempts: int = 0
    pod: Node | None = None


def seen(nodes: Iterable[Node], stages: Mapping[str, str], *, stopped: bool) -> dict[str, Seen]:
    """What became of the stages that the Workflow knows, by their keys.

    Args:
      nodes: of the Workflow.
      stages: as `stages.names` gives them.
      stopped: whether somebody stopped the run.
    """
    groups: dict[str, _Group] = {key: _Group() for key in stages}
    for node in sorted(nodes, key=lambda each: str(each.get("startedAt") or "~")):
        path = _path(node)
        if path[-1] == "executor" and len(path) > 1 and path[-2] in groups:
            groups[path[-2]].work.append(node)
        elif path[-1] in groups:
            groups[path[-1]].own.append(node)
        elif (key := path[-1].removesuffix("-driver")) in groups and key != path[-1]:
            groups[key].drivers.append(node)
    return {key: group.read(stopped) for key, group in groups.items() if group.own or group.drivers}


def failure(nodes: Iterable[Node]) -> tuple[str, Node] | None:
    """The pod that failed first, and what is told of it: for a run none of whose stages came so far."""
    failed = [node for node in nodes if node.get("type") == "Pod" and node.get("phase") in _FAILED]
    if not failed:
        return None
    node = min(failed, key=lambda each: str(each.get("finishedAt") or "~"))
    return _path(node)[-1], node


def message(node: Node) -> str:
    """What Argo says of a node, in one line."""
    return " ".join(str(node.get("message") or "").split())


def waits(nodes: Iterable[Node]) -> str:
    """Why a pod of a run waits, where one does and there is more to say than that it starts."""
    told = (_reason(node) for node in nodes if node.get("type") == "Pod" and node.get("phase") == "Pending")
    return next(filter(None, told), "")


class _Group:
    """The nodes of one stage, those that began first in front."""

    def __init__(self) -> None:
        self.own: list[Node] = []
        self.work: list[Node] = []
        self.drivers: list[Node] = []

    def read(self, stopped: bool) -> Seen:
        own, driver = _whole(self.own), _whole(self.drivers)
        pods, phase = _pods(self.work), own.get("phase")
        attempts, last = len(pods), pods[-1] if pods else {}
        started, ended = own.get("startedAt"), own.get("finishedAt")
        if phase in _FAILED:
            failed = last or own
            # An outer node that says something which its pod does not, such as that no pod could be made.
            told = message(failed) or message(own)
            state = "stopped" if stopped and _STOPPED.search(told) else "failed"
            return Seen(state, started, ended, told, attempts, failed if last else None)
        if phase == "Succeeded":
            return Seen("cached" if _is_cached(self.own) else "done", started, ended, attempts=attempts)
        if driver.get("phase") in _FAILED:
            failed = (_pods(self.drivers) or [driver])[-1]
            state = "stopped" if stopped and _STOPPED.search(message(failed)) else "failed"
            return Seen(state, driver.get("startedAt"), driver.get("finishedAt"), message(failed), 0, failed)
        if phase in ("Skipped", "Omitted"):
            return Seen("skipped")
        # (A pod that is through is still at its stage until Argo has noticed.)
        if last.get("phase") in ("Running", "Succeeded"):
            return Seen("running", started, attempts=attempts)
        between = last.get("phase") in _FAILED
        told = message(_whole(self.work)) if between else _reason(last) or waits(self.drivers)
        return Seen("waiting", started if between else None, message=told, attempts=attempts)


def _path(node: Node) -> list[str]:
    name = str(node.get("name") or node.get("displayName") or node.get("id") or "")
    return [_ATTEMPT.sub("", part) for part in name.split(".")]


def _whole(nodes: list[Node]) -> Node:
    """The node that stands for all attempts."""
    whole = [node for node in nodes if not _ATTEMPT.search(str(node.get("displayName") or ""))]
    return (whole or nodes or [{}])[-1]


def _pods(nodes: list[Node]) -> list[Node]:
    return [node for node in nodes if node.get("type") == "Pod"]


def _reason(node: Node) -> str:
    told = message(node)
    return "" if told in _STARTING else told


def _is_cached(nodes: list[Node]) -> bool:
    given = (each for node in nodes for each in (node.get("inputs") or {}).get("parameters") or [])
    return any(each.get("name") == "cached-decision" and each.get("value") == "true" for each in given)
