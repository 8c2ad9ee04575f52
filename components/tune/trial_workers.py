"""A search with several workers: who this process is, the workers that it starts, and the server that they ask.

The stage's own process has the oracle and runs no trial: what ends a trial's process does not end the search.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from components.runtime.errors import StageError, TransientError, known
from components.runtime.launch import worker_forks
from components.runtime.module_file import workers
from components.runtime.stage import progress
from components.runtime.stage.executor import ERROR_PREFIX
from components.tune.clerk import OVER, Clerk
from components.tune.search import Search

_SILENT_SECONDS = 60.0
"""After which a worker that says nothing is taken for lost: it speaks every two seconds, whatever a step takes."""

_ENDS_SECONDS = 3.0
"""In which a worker whose connection is lost turns out to have ended."""

Address = tuple[str, int]


@dataclass(frozen=True)
class Worker:
    """This process runs trials.

    Attributes:
      index: which one.
      address: of the search.
      apart: whether it is on another machine than the search.
    """

    index: int
    address: Address
    apart: bool


@contextlib.contextmanager
def together(count: int, logs: Path) -> Iterator[Worker | Server | None]:
    """Runs what is inside in the workers of a search and in its own process; behind it only the latter goes on.

    Where the environment says that workers run elsewhere, one runs beside the search, and the others are awaited.

    Args:
      count: of workers.
      logs: folder for what they print.

    Yields:
      What this process is: a worker or the server; None where one runs its trials itself.
    """
    elsewhere = workers.count(workers.SEARCH_VARIABLE)
    if count == 1 and elsewhere == 1:
        yield None
        return
    if index := workers.index(workers.SEARCH_VARIABLE):
        with worker_forks.ending_as_worker():
            yield Worker(index, workers.chief(workers.SEARCH_VARIABLE), apart=True)
    here = count if elsewhere == 1 else 1
    port = 0 if elsewhere == 1 else workers.chief(workers.SEARCH_VARIABLE)[1]
    server = Server(("127.0.0.1" if elsewhere == 1 else "", port), max(count, elsewhere), logs)
    for index in range(here):
        # (TensorFlow is imported, which takes seconds, and has not begun to work: a fork is safe.)
        if (pid := os.fork()) == 0:
            worker_forks.become(logs / f"{index}.log")
            with worker_forks.ending_as_worker():
                server.server_close()
                _take_gpu(index)
                yield Worker(index, ("127.0.0.1", server.server_address[1]), apart=False)
        server.children[pid] = index
    # The search builds a model to see what can be tried, and shall take no memory of a GPU for that.
    tf.config.set_visible_devices([], "GPU")
    where = "on this machine" if elsewhere == 1 else f"{elsewhere - 1} of them in pods of their own"
    progress.report(f"searching with {server.count} workers, {where}")
    try:
        yield server
    finally:
        server.close()


def _take_gpu(index: int) -> None:
    """Has workers beside each other take turns at the GPUs, and none of them all memory of one."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        own = gpus[index % len(gpus)]
        tf.config.set_visible_devices([own], "GPU")
        tf.config.experimental.set_memory_growth(own, True)


class Server(socketserver.ThreadingTCPServer):
    """Answers the workers of a search, and looks after those that it started.

    Attributes:
      count: of all workers.
      children: those that it started, by process id.
    """

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, address: Address, count: int, logs: Path) -> None:
        """Takes a place to be found at; nobody is answered yet."""
        super().__init__(address, _Handler)
        self.count = count
        self.children: dict[int, int] = {}
        self._logs = logs
        self._connected: dict[int, socket.socket] = {}
        self._lock = threading.RLock()
        self._fault: StageError | None = None
        self._last_fault: StageError | None = None
        self._search: Search | None = None

    def run(self, search: Search) -> None:
        """Has the workers search until it is over.

        Raises:
          InputError: the input is at fault, or so many trials failed that the search is given up.
          TransientError: no worker is left.
        """
        self._search = search
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        while not search.is_over:
            self._look()
            if self._fault:
                raise self._fault
            with self._lock:
                left = bool(self.children or self._connected)
            if not left and not search.is_over:
                raise self._nobody_left(search)
            time.sleep(0.1)

    def close(self) -> None:
        """Tells the workers elsewhere that it is over, and ends those here."""
        if self._search:
            self.shutdown()
        self.server_close()
        with self._lock:
            for connection in self._connected.values():
                send(connection, OVER)
            for pid in self.children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in self.children:
                os.waitpid(pid, 0)
            self.children = {}

    def joined(self, worker: int, connection: socket.socket) -> None:
        """Takes note of a worker; one of the same number that was there before is gone."""
        with self._lock:
            if worker in self._connected:
                self._lose(worker, "began again")
            self._connected[worker] = connection
            if self._search:
                self._search.gone.pop(worker, None)

    def left(self, worker: int, connection: socket.socket, reason: str) -> None:
        """Takes note that a worker is not there any more."""
        with self._lock:
            if self._connected.get(worker) is connection:
                del self._connected[worker]
                how = self._ended(worker, reason)
                self._lose(worker, how)
                if worker not in self.children.values() and not (self._search and self._search.has_stopped):
                    self._tell_gone(worker, how)

    def answer(self, worker: int, connection: socket.socket, asked: dict[str, Any]) -> dict[str, Any] | None:
        """What a worker's message is answered with; None where it waits for no answer."""
        assert self._search is not None
        with self._lock:
            if self._connected.get(worker) is not connection:
                # Another one has its number now.
                return OVER
        try:
            return Clerk(self._search, worker, self.count).answer(**asked)
        except Exception as error:
            self._fault = self._fault or known(error)
            return OVER

    def _lose(self, worker: int, reason: str) -> None:
        assert self._search is not None
        try:
            self._search.lose(worker, f"worker {worker} {reason}")
        except Exception as error:
            self._search.is_broken = True
            self._fault = self._fault or known(error)

    def _look(self) -> None:
        """Takes note of the workers here that have ended."""
        assert self._search is not None
        with self._lock:
            for pid, worker in list(self.children.items()):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if not ended:
                    continue
                del self.children[pid]
                code = os.waitstatus_to_exitcode(status)
                if code or not self._search.has_stopped:
                    self._tell_gone(worker, self._how(worker, code))

    def _how(self, worker: int, code: int) -> str:
        """How a worker here ended, by its exit code and by what it printed, which is printed."""
        log = self._logs / f"{worker}.log"
        # (Its error is not the stage's, which may go on.)
        lines = log.read_text(errors="replace").splitlines(keepends=True)
        sys.stderr.writelines(line for line in lines if not line.startswith(ERROR_PREFIX))
        if code > 0:
            self._last_fault = worker_forks.fault(
                f"worker {worker} of {self.count}", code, log.read_text(errors="replace")
            )
            return f"ended by itself: {str(self._last_fault).partition(': ')[2]}"
        return worker_forks.ended_by_signal(code) if code else "ended by itself, with exit code 0"

    def _tell_gone(self, worker: int, how: str) -> None:
        assert self._search is not None
        gone = self._search.gone
        if worker not in gone and not self._fault:
            gone[worker] = how
            progress.report(f"worker {worker} {how}; {self.count - len(gone)} of {self.count} left")

    def _ended(self, worker: int, reason: str) -> str:
        """How a worker ended whose connection is gone; one here that hangs is ended."""
        assert self._search is not None
        until = time.monotonic() + _ENDS_SECONDS
        while worker in self.children.values() and time.monotonic() < until:
            self._look()
            time.sleep(0.05)
        for pid in [pid for pid, each in self.children.items() if each == worker]:
            self._tell_gone(worker, reason)
            os.kill(pid, signal.SIGKILL)
        return self._search.gone.get(worker, reason)

    def _nobody_left(self, search: Search) -> StageError:
        if self._last_fault and not search.trials:
            return self._last_fault
        ends = "; ".join(f"worker {worker} {how}" for worker, how in sorted(search.gone.items()))
        return TransientError(
            f"no worker of {self.count} is left, and the search is not over, with {len(search.trials)} trials ended: "
            f"{ends or 'they cannot be reached any more'}; try again"
        )


class _Handler(socketserver.StreamRequestHandler):
    """Speaks with one worker."""

    disable_nagle_algorithm = True
    server: Server

    def handle(self) -> None:
        """Until it has gone, or says nothing any more."""
        connection: socket.socket = self.connection
        connection.settimeout(_SILENT_SECONDS)
        worker, reason = None, "cannot be reached any more"
        try:
            for line in self.rfile:
                asked = json.loads(line)
                if worker is None:
                    worker = int(asked["worker"])
                    self.server.joined(worker, connection)
                elif (answer := self.server.answer(worker, connection, asked)) is not None:
                    send(connection, answer)
        except TimeoutError:
            reason = f"has not been heard of for {_SILENT_SECONDS:g} seconds"
        except OSError:
            pass
        if worker is not None:
            self.server.left(worker, connection, reason)


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """Sends a message, if there is still somebody to send it to."""
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(message, default=float).encode() + b"\n")
