"""Records what each execution read and made as OpenLineage events: in files, and at a server where one is configured.

They go through threads: the library takes half a second to import, and neither that nor a slow server may hold up a
run.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 (the library needs it, and while a process ends it is too late to import)
import copy
import functools
import importlib.util
import logging
import os
import queue
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.runtime.lineage.events import event
from components.runtime.text.redaction import redact

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import RunEvent

FLUSH_SECONDS = 5.0
_WRITE_SECONDS = 60.0
"""On a machine that is busy the library's import alone takes more than a server is given."""

_STATES = {"done": "COMPLETE", "cached": "COMPLETE", "failed": "FAIL", "stopped": "ABORT"}
_log = logging.getLogger("millrace.lineage")


def started(root: Path, run: str, execution: dict[str, Any]) -> None:
    """Records that an execution has begun.

    Args:
      root: the pipeline root.
      run: the pipeline run that it belongs to.
      execution: as execution.json will hold it, as far as it is known now.
    """
    _events.put(root, run, execution, "START")


def ended(root: Path, run: str, execution: dict[str, Any], state: str, error: str = "") -> None:
    """Records that an execution has ended.

    Args:
      root: the pipeline root.
      run: the pipeline run that it belongs to. Where it is not the one that made the execution, the artifacts came from
        the cache.
      execution: what execution.json holds.
      state: done, cached, failed or stopped.
      error: the one-line error of a failed execution.
    """
    _events.put(root, run, execution, _STATES[state], error)


def flush(timeout: float = FLUSH_SECONDS) -> bool:
    """Waits until what was recorded is in the files, and for a server at most `timeout` seconds; happens at exit too.

    Returns:
      Whether all is written.
    """
    return _events.flush(timeout)


class _Worker:
    """Calls functions one after the other in a thread of its own, which starts with the first one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._idle = threading.Condition()
        self._open = 0
        self._thread: threading.Thread | None = None

    def call(self, function: Callable[[], None]) -> None:
        with self._idle:
            self._open += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
        self._calls.put(function)

    def wait(self, seconds: float) -> bool:
        with self._idle:
            return self._idle.wait_for(lambda: self._open == 0, max(seconds, 0.0))

    def _work(self) -> None:
        while True:
            function = self._calls.get()
            try:
                function()
            except Exception as error:  # lineage is a by-product: it must never end a run
                _log.warning("lineage: %s: %s", type(error).__name__, " ".join(str(error).split()))
            finally:
                with self._idle:
                    self._open -= 1
                    self._idle.notify_all()


class _Events:
    """Turns executions into events, in order."""

    def __init__(self) -> None:
        self._writer = _Worker("lineage-writer")
        self._sender = _Worker("lineage-sender")
        self._begun: set[tuple[Path, str, str]] = set()
        self._client: OpenLineageClient | None = None
        self._sends = _server_is_configured()

    def put(self, root: Path, run: str, execution: dict[str, Any], kind: str, error: str = "") -> None:
        execution = copy.deepcopy(execution)
        now = datetime.now(UTC).isoformat()
        self._writer.call(lambda: self._write(root, run, execution, kind, error, now))

    def flush(self, timeout: float) -> bool:
        # Writing is quick but for the first import, and what is not written is lost; what is not sent is in the files.
        written = self._writer.wait(max(timeout, _WRITE_SECONDS))
        if self._sends and not self._sender.wait(timeout):
            self._give_up(f"no answer within {timeout:g} s")
            return False
        return written

    def _write(self, root: Path, run: str, execution: dict[str, Any], kind: str, error: str, now: str) -> None:
        if importlib.util.find_spec("openlineage") is None:
            return
        task = execution["task"]
        kinds = [kind] if kind == "START" or (root, run, task) in self._begun else ["START", kind]
        self._begun.add((root, run, task))
        events = [event(root, run, execution, each, error=error, now=now) for each in kinds]
        _append(root / "lineage" / run / f"{task}.jsonl", events)
        for each in events if self._sends else []:
            self._sender.call(functools.partial(self._send, each))

    def _send(self, run_event: RunEvent) -> None:
        if not self._sends:
            return
        try:
            if self._client is None:
                from openlineage.client import OpenLineageClient

                self._client = OpenLineageClient()
            self._client.emit(run_event)
        except Exception as error:
            self._give_up(" ".join(str(error).split()))

    def _give_up(self, reason: str) -> None:
        """A server that is down stays so for this run, and each attempt costs many seconds."""
        if self._sends:
            self._sends = False
            shown = redact(reason, also={"key": os.environ.get("OPENLINEAGE_API_KEY", "")})
            _log.warning("lineage: the OpenLineage server gets no events of this run, the files have them: %s", shown)


def _append(file: Path, events: list[RunEvent]) -> None:
    from openlineage.client.serde import Serde

    file.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{Serde.to_json(each)}\n" for each in events).encode()
    # One write of a descriptor in append mode: lines of two processes never mix.
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(descriptor, lines)
    finally:
        os.close(descriptor)


def _server_is_configured() -> bool:
    if os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return False
    if any(name.startswith(("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE__")) for name in os.environ):
        return True
    return any(path.is_file() for path in (Path("openlineage.yml"), Path.home() / ".openlineage" / "openlineage.yml"))


_events = _Events()
# Executions end until the very last moment of a process.
atexit.register(flush)
