"""Runs a stage's command as a process inside the container, its output copied to the log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from components.runtime.errors import InputError
from components.runtime.launch.execution import Completed
from components.runtime.launch.warm import die_with_parent
from components.runtime.stage import progress

# The kernel allows a container 30 s between SIGTERM and SIGKILL; a stage gets this much of it.
_GRACE_SECONDS = 20.0
VARIABLES = {
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_USE_LEGACY_KERAS": "0",
}


def run_stage(command: list[str], log: Path, _workplace: Path | None = None) -> Completed:
    """Runs a stage's command as a process; what it prints goes to the container's log and to `log`.

    Raises:
      InputError: the image does not have the command.
    """
    begun = time.monotonic()
    with log.open("ab") as stream:
        try:
            process = subprocess.Popen(
                command,
                env=VARIABLES | os.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A signal may end the launcher before it knows of the stage that it has begun.
                preexec_fn=die_with_parent,
            )
        except (FileNotFoundError, PermissionError):
            raise InputError(f"the image has no command {command[0]!r}; mend the component's command") from None
        assert process.stdout
        printed = _Copy(process.stdout, [sys.stdout.buffer, stream])
        try:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if process.returncode is None:
                _end(process)
        printed.finish()
    code = process.returncode
    return Completed(
        exit_code=code if code >= 0 else 128 - code,
        start_up_seconds=(printed.started_at or time.monotonic()) - begun,
        peak_memory_bytes=usage.ru_maxrss * 1024,
    )


class _Copy(threading.Thread):
    """Copies what a process prints, line by line; a fault of one of the targets is raised by `finish`."""

    def __init__(self, source: IO[bytes], targets: Sequence[IO[bytes]]) -> None:
        super().__init__(daemon=True)
        self._source = source
        self._targets = targets
        self._fault: OSError | None = None
        self.started_at: float | None = None
        self.start()

    def run(self) -> None:
        started = f"{progress.PREFIX}{progress.STARTED}\n".encode()
        for line in self._source:
            if line == started and self.started_at is None:
                self.started_at = time.monotonic()
            try:
                for target in self._targets if self._fault is None else ():
                    target.write(line)
                    target.flush()
            except OSError as fault:
                # Reading goes on: a process whose pipe is full would never end.
                self._fault = fault

    def finish(self) -> None:
        # What the stage left running (a library's helper process) may hold the pipe open; the stage has ended.
        self.join(timeout=5)
        if self._fault:
            raise self._fault


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a stage with all that it started."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(_GRACE_SECONDS)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
