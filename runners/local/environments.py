"""The locked environments on this machine, and the processes that run stages in them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from components.runtime.errors import InputError, StageError
from components.runtime.launch.execution import Completed
from components.runtime.launch.task import Task
from components.runtime.launch.warm import die_with_parent
from components.runtime.stage import progress
from components.runtime.stage.artifacts import file_digest
from runners import PROJECT

_POLL_SECONDS = 0.1

OnProgress = Callable[[str], None]


@functools.cache
def _environments() -> dict[str, dict[str, Any]]:
    content: dict[str, dict[str, Any]] = yaml.safe_load((PROJECT / "images" / "environments.yaml").read_text())
    return content


def names() -> list[str]:
    """Names of the environments that stages run in."""
    return list(_environments())


def environment_of(stage: str) -> str:
    """Name of the environment that a stage runs in.

    Raises:
      InputError: no environment has that stage.
    """
    for name, environment in _environments().items():
        if stage in environment["stages"]:
            return name
    raise InputError(f"no environment runs the stage {stage!r}; add it to images/environments.yaml")


def is_made(environment: str) -> bool:
    """Whether an environment is there, whole, and made from the locks that are there now."""
    return _stamp(environment).exists()


def _stamp(environment: str) -> Path:
    """As the Makefile names what it leaves in an environment that is made."""
    locks = [PROJECT / "images" / "locks" / f"{name}.txt" for name in (environment, "test")]
    digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()
    return PROJECT / ".venv" / environment / f".made-from-{digest[:16]}"


def make(target: str, **variables: str) -> None:
    """Has the Makefile make something; it tells on standard error what it does.

    Raises:
      StageError: it did not.
    """
    words = ["make", "--directory", str(PROJECT), "--no-print-directory", target]
    given = [f"{name}={value}" for name, value in variables.items()]
    # Not as a part of the make that called this, if one did.
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    try:
        ended = subprocess.run([*words, *given], env=environment, stdout=sys.stderr, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise InputError(f"make is not installed, which `make {target}` needs; install it") from None
    if ended.returncode != 0:
        raise StageError(f"`{' '.join(['make', target, *given])}` in {PROJECT} failed; the reason stands above")


def interpreter(environment: str) -> Path:
    """The Python of an environment.

    Raises:
      InputError: it is not installed, or its installation was interrupted.
    """
    folder = PROJECT / ".venv" / environment
    python = folder / "bin" / "python"
    if not python.exists():
        raise InputError(f"the environment {environment!r} is not installed in .venv/{environment}; run `make setup`")
    if not any(folder.glob(".made-from-*")):
        raise InputError(f"the environment {environment!r} in .venv/{environment} is half made; run `make setup`")
    return python


@functools.cache
def code_digest(stage: str) -> str:
    """Identifies what a stage runs: its own code, what all stages share, and the lock of its environment."""
    files = [
        *sorted((PROJECT / "components" / stage).rglob("*.py")),
        *sorted((PROJECT / "components" / "runtime").rglob("*.py")),
        PROJECT / "images" / "locks" / f"{environment_of(stage)}.txt",
    ]
    listing = "".join(f"{file.relative_to(PROJECT)} {file_digest(file)}\n" for file in files)
    return hashlib.sha256(listing.encode()).hexdigest()


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


def stage_variables() -> dict[str, str]:
    """Environment variables of every stage."""
    return {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        # Logs and files are UTF-8, whatever the terminal is.
        "PYTHONUTF8": "1",
        "PYTHONIOENCODING": "utf-8",
        # TensorFlow's start-up chatter would hide a stage's own lines; errors still show.
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # Keras 3 where a library would choose the legacy one on import.
        "TF_USE_LEGACY_KERAS": "0",
    }


_ENDED = Completed(128 + signal.SIGKILL, 0.0, 0)
"""How a stage ends that was not even started."""


class ColdProcess:
    """Runs each stage as a new process."""

    def __init__(self, environment: str) -> None:
        """Takes the name of an installed environment."""
        self._python = interpreter(environment)
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
                [str(self._python), *command[1:]],
                cwd=PROJECT,
                env=stage_variables(),
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


class WarmProcess:
    """Runs stages as forks of a process that has imported their libraries already."""

    def __init__(self, environment: str, log: Path) -> None:
        """Starts importing at once.

        Args:
          environment: name of an installed environment.
          log: what the imports print.
        """
        self._cold = ColdProcess(environment)
        self._numbers = iter(range(1, 1 << 62))
        self._events: dict[int, queue.SimpleQueue[dict[str, Any] | None]] = {}
        self._lock = threading.Lock()
        self._alive = True
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [
                    str(interpreter(environment)),
                    "-m",
                    "components.runtime.launch.warm",
                    *_environments()[environment]["preload"],
                ],
                cwd=PROJECT,
                env=stage_variables(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                start_new_session=True,
            )
        threading.Thread(target=self._listen, daemon=True, name=f"warm-{environment}").start()

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
            return self._cold.run(command, log, on_progress)
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
                # The warm process died before it forked, out of memory or by a broken library: the stage tells better.
                return self._cold.run(command, log, on_progress)
            running = running or "pid" in event
            if "status" in event:
                code = os.waitstatus_to_exitcode(event["status"])
                return _completed(code, event["max_rss"], begun, reader.started_at)

    def close(self) -> None:
        """Ends the process and the stages that it still runs."""
        # It may be busy with an import, and holds nothing worth a clean end; the kernel ends its stages with it.
        self._process.kill()
        self._process.wait()
        self._cold.close()

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


class Processes:
    """The processes of one run, one warm one per environment that has something to preload."""

    def __init__(self, logs: Path) -> None:
        """Takes the folder for the logs of warm processes; starts nothing."""
        self._logs = logs
        self._started: dict[str, ColdProcess | WarmProcess] = {}
        self._lock = threading.Lock()

    def prepare(self, stage: str) -> None:
        """Starts importing what a stage will need."""
        self.start(environment_of(stage))

    def process(self, task: Task) -> ColdProcess | WarmProcess:
        """What runs a task."""
        return self.start(environment_of(task.stage))

    def start(self, environment: str) -> ColdProcess | WarmProcess:
        """Starts the environment's process if it does not run yet."""
        with self._lock:
            if environment not in self._started:
                self._started[environment] = (
                    WarmProcess(environment, self._logs / f"warm-{environment}.log")
                    if _environments()[environment]["preload"]
                    else ColdProcess(environment)
                )
            return self._started[environment]

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
