"""A warm process: imports heavy libraries once, then forks a child for every stage that it is asked to run.

The import of TensorFlow takes about ten seconds, more than most stages work. A fork is safe here because the warm
process only imports: it never runs an operation, opens a session or starts a thread of its own. Each stage still runs
in a process of its own, with its own memory figures and exit status.

Protocol: JSON lines on standard input, `{"id": 1, "argv": ["-m", "components.train", ...], "log": "<file>"}`, and on
standard output `{"id": 1, "pid": 42}` when the child runs and `{"id": 1, "status": <wait status>, "max_rss": <bytes>}`
when it has ended. Closing standard input ends the warm process and its children.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib
import json
import os
import runpy
import selectors
import signal
import sys
import traceback
from collections import deque
from typing import Any, NoReturn

from components.runtime.stage import imports

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Asks the kernel to end this process when the one that started it ends, however that ends (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class WarmProcess:
    """Serves requests between imports, so that a stage that needs only the first libraries starts early."""

    def __init__(self, preload: list[str], requests: int, events: int) -> None:
        """Starts nothing yet; `requests` and `events` are file descriptors."""
        self._preload = deque(preload)
        self._requests = requests
        self._events = events
        self._buffer = b""
        self._closed = False
        self._children: dict[int, int] = {}
        # A child's end must wake the loop, which otherwise sleeps until the next request.
        self._wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(self._wake_read, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(requests, selectors.EVENT_READ)
        self._selector.register(self._wake_read, selectors.EVENT_READ)

    def serve(self) -> None:
        """Runs until the requests are closed."""
        while not self._closed:
            if self._preload:
                self._import(self._preload.popleft())
            self._turn(timeout=0 if self._preload else None)
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _import(self, module: str) -> None:
        try:
            with imports.quick():
                importlib.import_module(module)
        except Exception:
            # The stage that needs it meets the same error in its own process and reports it there.
            traceback.print_exc()

    def _turn(self, timeout: float | None) -> None:
        for key, _ in self._selector.select(timeout):
            if key.fd == self._wake_read:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
            else:
                self._read()
        self._reap()

    def _read(self) -> None:
        data = os.read(self._requests, 1 << 16)
        if not data:
            self._closed = True
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._fork(json.loads(line))

    def _fork(self, request: dict[str, Any]) -> None:
        pid = os.fork()
        if pid == 0:
            self._become(request)
        self._children[pid] = request["id"]
        self._send({"id": request["id"], "pid": pid})

    def _become(self, request: dict[str, Any]) -> NoReturn:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            die_with_parent()
            log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            nowhere = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nowhere, 0)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.close(self._events)
            # Line by line, as Python does it for a terminal: the log is read while it grows.
            for number, name in ((1, "stdout"), (2, "stderr")):
                stream = os.fdopen(number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
                setattr(sys, name, stream)
            flag, module, *arguments = request["argv"]
            assert flag == "-m", request["argv"]
            sys.argv = [module, *arguments]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            # No clean-up at exit: it belongs to the parent, whose libraries this process only borrowed.
            os._exit(status)

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._children:
                self._send({"id": self._children.pop(pid), "status": status, "max_rss": usage.ru_maxrss * 1024})

    def _send(self, event: dict[str, Any]) -> None:
        os.write(self._events, json.dumps(event).encode() + b"\n")


def main() -> None:
    """`python -m components.runtime.launch.warm MODULE...`."""
    parser = argparse.ArgumentParser(description="Imports modules, then runs stages in forked processes.")
    parser.add_argument("preload", nargs="*")
    arguments = parser.parse_args()
    die_with_parent()
    # Libraries print while they are imported; only events may go to the real standard output.
    events = os.dup(1)
    os.dup2(2, 1)
    imports.postpone()
    WarmProcess(arguments.preload, requests=0, events=events).serve()


if __name__ == "__main__":
    main()
