"""Runs a stage that has nothing of ours in its image: in a container beside this one, in the same pod of Argo.

The other container is started with this one, and waits until it may begin: Argo's executor, which stands before the
command of every container, has a pause for it (https://argo-workflows.readthedocs.io/en/latest/debug-pause/). It finds
its inputs and outputs at places that are the same in every pod; here they are made to lead to the volume. Argo's
executor leaves the exit code in the folder that all containers of the pod share, and what the command prints, where a
variable tells it to: there a link leads to the task's log on the volume. The pod's containers see each other's
processes, so that one that is not needed can be ended, and one that was lost is noticed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.runtime.errors import TransientError
from components.runtime.launch.execution import Completed
from components.runtime.launch.log_copy import copied
from components.runtime.records.argo_messages import STAGE_BEGAN
from components.runtime.stage import pod, progress

CONTAINER = "stage"
"""Name of the other container."""
PLACE = Path("/stage")
"""A volume of the pod's own, in both containers."""
INPUTS, OUTPUTS = PLACE / "inputs", PLACE / "outputs"
PAUSE_VARIABLE = "ARGO_DEBUG_PAUSE_BEFORE"
CAPTURE_VARIABLE = "ARGO_INCLUDE_SCRIPT_OUTPUT"
"""Has Argo's executor keep what a command prints; Argo sets it in all containers by itself, to false."""

_ARGO = Path("/var/run/argo/ctr")
_PROCESSES = Path("/proc")
_POLL_SECONDS = 0.5
_START_SECONDS = 15 * 60
"""How long the other container may take to start: its image may have to be fetched."""


class Beside:
    """The other container, as this one sees it."""

    def __init__(self, inputs: Mapping[str, Mapping[str, Any]]) -> None:
        """Begins nothing yet.

        Args:
          inputs: artifacts by input name, as in `Task`.
        """
        self._inputs = inputs
        self._folder = _ARGO / CONTAINER
        self._started = self._ended = False

    def run(self, command: list[str], log: Path, workplace: Path) -> Completed:
        """Lets the command begin; returns when it has ended.

        Raises:
          TransientError: its container did not start, or was lost.
        """
        INPUTS.mkdir(exist_ok=True)
        for name, artifact in self._inputs.items():
            (INPUTS / name).symlink_to(artifact["uri"])
        OUTPUTS.symlink_to(workplace)
        progress.report(f"lets the container {CONTAINER} begin")
        # Whoever ends all processes of the pod leaves this one no time to say more.
        pod.tell(STAGE_BEGAN)
        self._folder.mkdir(parents=True, exist_ok=True)
        log.touch()
        (self._folder / "combined").symlink_to(log)
        # Without what it prints as errors: the same once more.
        (self._folder / "stdout").symlink_to(os.devnull)
        with copied(log):
            (self._folder / "before").touch()
            code = self._exit_code()
        self._ended = True
        for path in [workplace, *workplace.rglob("*")]:
            if not path.is_symlink():
                # Argo lets everybody write what its containers write.
                path.chmod(path.stat().st_mode & ~stat.S_IWOTH)
        return Completed(exit_code=code, start_up_seconds=None, peak_memory_bytes=None)

    def close(self) -> None:
        """Ends the other container where its command was not let begin, or has not ended."""
        if self._ended or (self._folder / "exitcode").exists():
            return
        with contextlib.suppress(TransientError):
            if not self._started:
                self._wait_for_start()
        for process in self._executors():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                # The stage first: nobody else would end it.
                for child in _children(process):
                    os.kill(child, signal.SIGKILL)
                os.kill(process, signal.SIGKILL)

    def _exit_code(self) -> int:
        self._wait_for_start()
        self._started = True
        while True:
            # In this order: what is gone left its code before.
            lives = any(self._executors())
            with contextlib.suppress(FileNotFoundError, ValueError):
                code = int((self._folder / "exitcode").read_text())
                return code if code >= 0 else 128 - code
            if not lives:
                raise TransientError(
                    f"the container {CONTAINER} of the pod was lost; it may have taken more memory than it has"
                )
            time.sleep(_POLL_SECONDS)

    def _wait_for_start(self) -> None:
        begun = time.monotonic()
        while not any(self._executors()) and not (self._folder / "exitcode").exists():
            if time.monotonic() - begun > _START_SECONDS:
                raise TransientError(
                    f"the container {CONTAINER} of the pod did not start within {_START_SECONDS // 60} minutes; "
                    "`kubectl describe pod` says why: its image may not be there"
                )
            time.sleep(_POLL_SECONDS)

    def _executors(self) -> Iterator[int]:
        """Argo's executors of commands that are not this process's."""
        ours = set(_above(os.getpid()))
        for entry in _PROCESSES.iterdir():
            if entry.name.isdigit() and int(entry.name) not in ours:
                with contextlib.suppress(OSError):
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    if words[0].endswith(b"argoexec") and b"emissary" in words[:3]:
                        yield int(entry.name)


def _above(process: int) -> Iterator[int]:
    """A process and those that it descends from."""
    while process:
        yield process
        process = _parent(process)


def _children(process: int) -> list[int]:
    return [
        int(entry.name)
        for entry in _PROCESSES.iterdir()
        if entry.name.isdigit() and _parent(int(entry.name)) == process
    ]


def _parent(process: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        # Behind the name, which may have blanks and brackets.
        return int((_PROCESSES / str(process) / "stat").read_text().rpartition(")")[2].split()[1])
    return 0
