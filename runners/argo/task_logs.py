"""Logs of tasks: their own lines in a pod's log; and where the pod is gone, what a helper reads on the volume.

The launcher writes each task's log there too.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from components.runtime.errors import InputError
from components.runtime.launch.fused import FUSED_TASK
from components.runtime.stage import progress
from runners.argo.helpers import helper
from runners.argo.suspending import ASKING

_TEMPLATE = "read-logs"
_MOST_BYTES = 8_000_000
"""What of a log is read, from its end: beyond 10 MB a node keeps no more of what a container printed."""

_OF_ARGO = re.compile(r'time="[^"]*" level=\w+ msg=.* argo=true\b')
"""What the emissary executor, Argo's own program in the container, logs there."""
MOST_OF_ARGO = 50
"""More lines than it logs at the end of a container."""

_READ = """
import os, sys
boundary, tail, most, *pairs = sys.argv[1:]
for name, file in zip(pairs[::2], pairs[1::2]):
    print(boundary, name, flush=True)
    try:
        with open(file, "rb") as stream:
            size = os.stat(file).st_size
            left_out = max(0, size - int(most) * 2 // len(pairs))
            stream.seek(left_out)
            lines = stream.read().splitlines(keepends=True)[bool(left_out):]
    except OSError as error:
        print(f"(no log; what came from the cache, or did not run, leaves none: {file}: {error.strerror})", flush=True)
        continue
    if tail:
        lines = lines[len(lines) - min(len(lines), int(tail)):]
    elif left_out:
        print(f"(the beginning is left out; the volume has all of it: {file})", flush=True)
    sys.stdout.buffer.write(b"".join(lines))
    sys.stdout.buffer.write(b"" if not lines or lines[-1].endswith(b"\\n") else b"\\n")
    sys.stdout.flush()
"""


def reader(workflow: Mapping[str, Any], tasks: Mapping[str, Mapping[str, Any]], tail: int | None, boundary: str) -> Any:
    """The Workflow that prints logs of another one's tasks.

    Args:
      workflow: whose logs.
      tasks: its nodes, by the name that goes before each log.
      tail: how many of the last lines; None for all.
      boundary: what each line before a log begins with.

    Raises:
      InputError: there is no volume that has them any more, or nobody wrote them to one.
    """
    name = str(workflow["metadata"]["name"])
    try:
        made = helper(workflow, _TEMPLATE, ["python", "-c", _READ])
    except InputError as error:
        raise InputError(f"{name}: no log: the pods are gone, and {error}") from None
    arguments = [boundary, "" if tail is None else str(tail), str(_MOST_BYTES)]
    for task, node in tasks.items():
        root, written = _places(workflow, node)
        if not written:
            raise InputError(f"task {task} of {name}: no log: its pod is gone, and it writes none to the volume")
        for each in written:
            # A pod of several tasks writes a log for each.
            arguments += [f"{task} {each}" if len(written) > 1 else task, f"{root}/runs/{name}/{each}.log"]
    made["spec"]["templates"][0]["container"]["args"] = arguments
    return made


def own(pieces: Iterable[str]) -> Iterator[str]:
    """A container's log, line by line, without what Argo's executor prints around the task."""
    return (line for line in _lines(pieces) if not _OF_ARGO.match(line))


def part(pieces: Iterable[str], task: str) -> Iterator[str]:
    """Of the log of a pod of several tasks the lines of one, as they come."""
    heading, inside = f"{progress.PREFIX}{FUSED_TASK} ", False
    for line in _lines(pieces):
        if line.startswith(heading):
            inside = line.rstrip("\n") == heading + task
        elif inside:
            yield line


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + piece).split("\n")
        yield from (f"{line}\n" for line in lines)
    if rest:
        yield rest


def tasks_of(workflow: Mapping[str, Any], node: Mapping[str, Any]) -> list[str]:
    """The tasks of the pod of a node, where it has several."""
    tasks = _places(workflow, node)[1]
    return tasks if len(tasks) > 1 else []


def keeps(workflow: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    """Whether the log of a node is written to the volume too: the launcher does that, the last pod has no need to."""
    return bool(_places(workflow, node)[1])


def split(text: str, boundary: str) -> dict[str, str]:
    """The logs by task."""
    logs: dict[str, str] = {}
    for part in text.split(f"{boundary} ")[1:]:
        name, _, log = part.partition("\n")
        task, _, one = name.partition(" ")
        # As the pod's own log parts them.
        heading = f"{progress.PREFIX}{FUSED_TASK} {one}\n" if one else ""
        logs[task] = f"{logs.get(task, '')}{heading}{log}"
    return logs


def _places(workflow: Mapping[str, Any], node: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The pipeline root that the launcher in a node's pod has, and the names that it gives the logs of its tasks."""
    templates = {each["name"]: each for each in workflow["spec"].get("templates") or []}
    container = (templates.get(str(node.get("templateName"))) or {}).get("container") or {}
    if ASKING in (container.get("command") or []):
        # It has the task of the launcher behind it, and writes no log there.
        return "", []
    arguments = container.get("args") or []
    given = list(itertools.pairwise(arguments))
    tasks = [str(json.loads(value)["task"]) for option, value in given if option == "--task"]
    root = dict(given).get("--root", "")
    return (root, tasks) if root and tasks else ("", [])
