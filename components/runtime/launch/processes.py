"""The processes that run stages in the environments of a machine, or of an image that has several."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.runtime.launch.execution import Completed
from components.runtime.launch.task import Task
from components.runtime.launch.warm import die_with_parent
from components.runtime.stage import progress

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Environment:
    """What stages run in.

    Attributes:
      name: of the environment.
      python: its interpreter.
      preload: modules that a warm process imports before a stage needs them; without any, each stage is a new process.
      folder: the working directory of the stages.
      variables: their environment variables.
    """

    name: str
    python: Path
    preload: tuple[str, ...]
    folder: Path
    variables: Mapping[str, str]


OnProgress = Callable[[str], None]


class LogReader:
    """Follows a stage's log for its progress lines."""

    def __init__(self, log: Path, on_progress: OnProgress) -> None:
        """Starts at the log's present end."""
        self._log = log
        self._on_progress = on_progress
        self._position = log.stat().st_size if log.exists() else 0
        self.started_at: float | None = None

    def read(self) -> None:
        """Reports the progress lines that are new."""
        if not self._log.exists():
            return
        with self._log.open("rb") as stream:
            stream.seek(self._position)
            data = stream.read()
        whole = data.rfind(b"\n") + 1
        self._position += whole
        for line in data[:whole].decode(errors="replace").splitlines():
            if line.startswith(progress.PREFIX):
                text = line.removeprefix(progress.PREFIX)
                if text == progress.STARTED:
                    self.started_at = time.monotonic()
                else:
                    self._on_progress(text)


_ENDED = Completed(128 + signal.SIGKILL, 0.0, 0)
"""How a stage ends that was not even started."""


class ColdProcess:
    """Runs each stage as a new process."""

    def __init__(self, environment: Environment) -> None:
        """Starts nothing yet."""
        self._environment = environment
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._closed = False

    def run(self, command: list[str], log: Path, on_progress: OnProgress) -> Completed:
        """Runs a command whose first word is `python`; returns when it has ended."""
        begun = time.monotonic()
        reader = LogReader(log, on_progress)
        with self._lock, log.open("ab") as stream:
            if self._closed:
                return _ENDED
            process = subprocess.Popen(
                [str(self._environment.python), *command[1:]],
                cwd=self._environment.folder,
                env=self._environment.variables,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
            self._running.add(process)
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                self._running.discard(process)
            reader.read()
            if pid:
                return _completed(process.returncode, usage.ru_maxrss * 1024, begun, reader.started_at)
            time.sleep(_POLL_SECONDS / 4)

    def close(self) -> None:
        """Ends the stages that still run, and starts no other."""
        with self._lock:
            self._closed = True
            for process in tuple(self._running):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


class StageServer:
    """A process that runs stages when it is asked to, by the protocol of warm.py."""

    def __init__(self, command: Sequence[str], name: str, **options: Any) -> None:
        """Starts the process; `options` are those of `subprocess.Popen`."""
        self._numbers = iter(range(1, 1 << 62))
        self._events: dict[int, queue.SimpleQueue[dict[str, Any] | None]] = {}
        self._lock = threading.Lock()
        self._alive = True
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, **options
        )
        threading.Thread(target=self._listen, daemon=True, name=f"listens to {name}").start()

    def run(self, command: list[str], log: Path, on_progress: OnProgress) -> Completed:
        """Runs a command whose first word is `python`; returns when it has ended."""
        begun = time.monotonic()
        reader = LogReader(log, on_progress)
        events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        with self._lock:
            number = next(self._numbers)
            self._events[number] = events
            alive = self._alive and self._ask({"id": number, "argv": command[1:], "log": str(log)})
        if not alive:
            return self._without(command, log, on_progress)
        running = False
        while True:
            event: dict[str, Any] | None = {}
            with contextlib.suppress(queue.Empty):
                event = events.get(timeout=_POLL_SECONDS)
            reader.read()
            if event is None:
                if running:
                    # The kernel ends a stage with the process that it was forked from, which tells why better.
                    return _completed(self._process.wait() or -signal.SIGKILL, 0, begun, reader.started_at)
                return self._without(command, log, on_progress)
            running = running or "pid" in event
            if "status" in event:
                code = os.waitstatus_to_exitcode(event["status"])
                return _completed(code, event["max_rss"], begun, reader.started_at)

    def close(self) -> None:
        """Ends the process and the stages that it still runs."""
        # It may be busy with an import, and holds nothing worth a clean end; the kernel ends its stages with it.
        self._process.kill()
        self._process.wait()

    def _without(self, command: list[str], log: Path, on_progress: OnProgress) -> Completed:
        """Runs a command that the process has not begun and never will."""
        raise NotImplementedError

    def _ask(self, request: dict[str, Any]) -> bool:
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return False
        return True

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            event = json.loads(line)
            self._events[event["id"]].put(event)
        with self._lock:
            self._alive = False
            for events in self._events.values():
                events.put(None)


class WarmProcess(StageServer):
    """Runs stages as forks of a process that has imported their libraries already."""

    def __init__(self, environment: Environment, log: Path) -> None:
        """Starts importing at once.

        Args:
          environment: of the stages.
          log: what the imports print.
        """
        self._cold = ColdProcess(environment)
        warm = [str(environment.python), "-m", "components.runtime.launch.warm", *environment.preload]
        with log.open("ab") as stream:
            super().__init__(
                warm, f"warm-{environment.name}", cwd=environment.folder, env=environment.variables, stderr=stream
            )

    def close(self) -> None:
        """Ends the process and the stages that it still runs."""
        super().close()
        self._cold.close()

    def _without(self, command: list[str], log: Path, on_progress: OnProgress) -> Completed:
        # It died before it forked, out of memory or by a broken library: the stage tells better.
        return self._cold.run(command, log, on_progress)


class Processes:
    """The processes of one run, one warm one per environment that has something to preload."""

    def __init__(self, find: Callable[[str, bool], Environment], logs: Path) -> None:
        """Starts nothing.

        Args:
          find: says in which environment a stage runs, and whether it does on Beam.
          logs: folder for what warm processes print.
        """
        self._find = find
        self._logs = logs
        self._started: dict[str, ColdProcess | WarmProcess] = {}
        self._lock = threading.Lock()

    def prepare(self, stage: str) -> None:
        """Starts importing what a stage will need."""
        self.of_stage(stage)

    def process(self, task: Task) -> ColdProcess | WarmProcess:
        """What runs a task."""
        return self.of_stage(task.stage, on_beam=task.on_beam)

    def of_stage(self, stage: str, *, on_beam: bool = False) -> ColdProcess | WarmProcess:
        """What runs a stage, or a stage with Beam's options; started if it does not run yet."""
        environment = self._find(stage, on_beam)
        with self._lock:
            if environment.name not in self._started:
                self._started[environment.name] = (
                    WarmProcess(environment, self._logs / f"warm-{environment.name}.log")
                    if environment.preload
                    else ColdProcess(environment)
                )
            return self._started[environment.name]

    def close(self) -> None:
        """Ends all of them."""
        with self._lock:
            for process in self._started.values():
                process.close()
            self._started = {}


def _completed(code: int, peak_memory_bytes: int, begun: float, started_at: float | None) -> Completed:
    """How a process ended, by its exit code as Python has it: that of a signal is negative."""
    return Completed(
        exit_code=code if code >= 0 else 128 - code,
        start_up_seconds=(started_at or time.monotonic()) - begun,
        peak_memory_bytes=peak_memory_bytes,
    )
