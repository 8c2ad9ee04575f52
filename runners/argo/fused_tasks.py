"""The tasks of a pod that has several: the launcher tells of each in its log, and in an output when the pod ends."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from components.runtime.launch.command import FROM_CACHE
from components.runtime.launch.fused import FUSED_TASK
from components.runtime.stage import progress
from runners.settings.parameters import moment
from runners.terminal.follow import RemoteTask

_HEADING = f"{progress.PREFIX}{FUSED_TASK} "
_CACHED = f"{progress.PREFIX}{FROM_CACHE} "


@dataclass(frozen=True)
class Told:
    """What the launcher says of a task that it began.

    Attributes:
      state: done, cached, failed or stopped; empty as long as it says nothing of its end.
    """

    task: str
    state: str = ""
    started: datetime | None = None
    ended: datetime | None = None


def from_output(text: str) -> list[Told]:
    """What the output parameter says, see `argo_messages.TASKS_OUTPUT`."""
    return [
        Told(each["task"], each["state"], moment(each["started"]), moment(each["ended"])) for each in json.loads(text)
    ]


def from_log(lines: Iterable[str], run: str, known: Sequence[Told] = ()) -> list[Told]:
    """What a log says whose lines begin with their times, as Kubernetes puts them there.

    Args:
      lines: of the pod.
      run: its Workflow; what an earlier attempt made is not from the cache.
      known: what earlier lines said; they may come once more.
    """
    found = {each.task: each for each in known}
    task = ""
    for line in lines:
        time, _, text = line.rstrip("\n").partition(" ")
        if text.startswith(_HEADING):
            task = text.removeprefix(_HEADING)
            if task not in found:
                if found:
                    before = found[next(reversed(found))]
                    found[before.task] = replace(before, state=before.state or "done", ended=moment(time))
                found[task] = Told(task, started=moment(time))
        elif task in found and text.startswith(_CACHED):
            state = "done" if text.removeprefix(_CACHED).rpartition(" ")[2] == run else "cached"
            found[task] = replace(found[task], state=state)
    return list(found.values())


def spread(
    pod: RemoteTask, tasks: Sequence[str], told: Sequence[Told] | None, since: datetime | None
) -> list[RemoteTask]:
    """The tasks of a pod in the states that they have; the pod itself where nobody knows which it was at.

    Args:
      pod: as a task: its state is that of the task that it is at, or that it ended with.
      tasks: of the pod, in the order in which they run.
      told: those that began; None where nobody may know.
      since: when its last attempt began.
    """
    if not told and pod.state in ("failed", "stopped"):
        return [pod]
    if told is None and pod.state == "running":
        pod = replace(pod, error="or one behind it: the log of its pod cannot be read")
    told = told or ()
    ended = [RemoteTask(each.task, each.state, each.started, each.ended) for each in told if _is_done(each)]
    begun = {each.task for each in told}
    rest = [each.task for each in told if not _is_done(each)] + [task for task in tasks if task not in begun]
    if pod.state in ("done", "cached"):
        # Of an older launcher, which tells nothing, the times are unknown.
        found = [*ended, *(RemoteTask(task, pod.state) for task in rest)]
    else:
        later = "waiting" if pod.state in ("waiting", "running") else "skipped"
        at = [_at(pod, name, next((each for each in told if each.task == name), None)) for name in rest[:1]]
        found = [*ended, *at, *(RemoteTask(task, later) for task in rest[1:])]
    if pod.attempts > 1 and since:
        # The first one that worked in the last attempt is the one that the attempt before it ended with.
        again = (place for place, task in enumerate(found) if task.state not in ("waiting", "skipped", "cached"))
        place = next((each for each in again if (begin := found[each].started) and begin >= since), None)
        if place is not None:
            found[place] = replace(found[place], attempts=pod.attempts)
    return found


def _is_done(told: Told) -> bool:
    return told.state in ("done", "cached")


def _at(pod: RemoteTask, task: str, told: Told | None) -> RemoteTask:
    """The task that the pod is at, or ended with."""
    started = told.started if told else None
    ended = ((told.ended if told else None) or pod.ended) if pod.state in ("failed", "stopped") else None
    # Of a pod it is the question which task failed, and the launcher says so.
    return RemoteTask(task, pod.state, started, ended, pod.error.replace(f"{task}: ", "", 1))
