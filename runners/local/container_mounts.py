"""What a container of a task sees of this machine, and where it may write."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from components.runtime.data.query_sources import FILES, LAKES
from components.runtime.launch.fingerprints import WORKING_DIRECTORY, named_paths
from components.runtime.launch.task import Task

USER = "1000:1000"
"""Whom the images run as."""

NETWORK_STAGES = ("push_hub",)
"""The stages whose work is to talk to somebody."""

_DESTINATIONS = ("MILLRACE_NOTIFY_URL", "MILLRACE_MAIL_USER", "MILLRACE_MAIL_PASSWORD")
_PATTERN = re.compile(r"[*?\[{]")


@dataclass(frozen=True)
class Mounts:
    """What a container sees of this machine, at the same paths as here."""

    readable: tuple[Path, ...]
    writable: tuple[Path, ...]

    def options(self) -> list[str]:
        """Options of `podman run` and `docker run`; what lies inside another mount comes after it."""
        chosen = dict.fromkeys(self.readable, True) | dict.fromkeys(self.writable, False)
        options = []
        for path in sorted(chosen):
            fields = [
                "type=bind",
                f"source={path.resolve()}",
                f"target={path}",
                *(["readonly"] if chosen[path] else []),
            ]
            line = io.StringIO()
            csv.writer(line, lineterminator="").writerow(fields)
            options += ["--mount", line.getvalue()]
        return options


def mounts(task: Task, workplace: Path) -> Mounts:
    """What a task may see, and where it may write.

    Args:
      task: with its parameters and input artifacts resolved.
      workplace: the folder of its outputs.
    """
    readable = [Path(artifact["uri"]) for artifact in task.inputs.values() if "://" not in artifact["uri"]]
    writable = [workplace]
    for name, value in task.parameters.items():
        if isinstance(value, dict | list):
            readable += [path for path in named_paths(value) if not path.is_relative_to(WORKING_DIRECTORY)]
        if not isinstance(value, str) or not os.path.isabs(value):
            continue
        path = Path(value)
        if task.stage in ("approve", "push") and name == "destination":
            writable.append(path)
        elif name.endswith("_file"):
            # A module imports its neighbours; it may be a link to elsewhere.
            readable += [path.parent, *([] if path.resolve().parent == path.parent.resolve() else [path.resolve()])]
        else:
            readable.append(_without_pattern(path))
    return Mounts(tuple(path for path in readable if path.exists()), tuple(writable))


def needs_network(task: Task) -> bool:
    """Whether the stage talks to somebody, or anything that the task is given lies behind a URI.

    Of the exit task, and of one that asks, whether it has somebody to tell.
    """
    if task.stage in NETWORK_STAGES:
        return True
    if task.stage == "notify":
        return bool(destinations(task) or task.parameters.get("mail"))
    if task.stage == "query" and task.parameters["source"]["kind"] not in (*FILES, *LAKES):
        return True
    if destinations(task):
        return True
    given = [*task.parameters.values(), *(artifact["uri"] for artifact in task.inputs.values())]
    return any("://" in json.dumps(value) for value in given)


def destinations(task: Task) -> list[str]:
    """The variables set here that say whom the exit task tells, or one that asks."""
    known = _DESTINATIONS if task.stage == "notify" else _DESTINATIONS[:1] if task.stage == "approve" else ()
    asks = task.stage != "approve" or bool(task.parameters.get("webhook"))
    return [name for name in known if asks and os.environ.get(name)]


def _without_pattern(path: Path) -> Path:
    """The innermost folder that holds all files of a pattern such as /data/span-{SPAN}/*.csv; a plain path as it is."""
    for number, part in enumerate(path.parts):
        if _PATTERN.search(part):
            return Path(*path.parts[:number])
    return path


@contextlib.contextmanager
def lent(folders: tuple[Path, ...]) -> Iterator[None]:
    """Lends folders of root to the user of the containers; a person who is not root is that user."""
    if os.geteuid() != 0:
        yield
        return
    user, group = (int(number) for number in USER.split(":"))
    for folder in folders:
        _give(folder, user, group)
    try:
        yield
    finally:
        for folder in folders:
            _give(folder, os.geteuid(), os.getegid())


def _give(folder: Path, user: int, group: int) -> None:
    for path in [folder, *folder.rglob("*")]:
        with contextlib.suppress(FileNotFoundError):
            os.chown(path, user, group, follow_symlinks=False)
