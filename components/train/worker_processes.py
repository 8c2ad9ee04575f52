"""The workers of a training: on one machine forks of the stage, which is their chief, and end with it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from components.runtime.errors import StageError, TransientError
from components.runtime.launch.worker_forks import become, end, ended_by_signal, ending_as_worker, say
from components.runtime.launch.worker_forks import fault as own_fault
from components.runtime.module_file import workers
from components.runtime.stage import pod, progress
from components.train import handing_over, kubeflow_workers

_FOUND_SECONDS = 1800.0
"""In which all have to be there: a node may have to come, and an image. TensorFlow's chief would wait for ever."""

_SAYS_SECONDS = 5.0
_AGAIN_SECONDS = 0.5
_INDEX_BYTES = 2
_GO = b"!"
"""What a worker and the chief say to each other before TensorFlow does."""

_ENDS_SECONDS = 3.0
"""In which a worker whose connection is lost turns out to have ended."""


@contextlib.contextmanager
def together(count: int, inputs: handing_over.Inputs) -> Iterator[None]:
    """Runs what is inside in so many processes; behind it only the chief goes on.

    Where TF_CONFIG says who this process is, the others run elsewhere, and none is started.

    Args:
      count: how many, with the chief.
      inputs: what the training is called with, for workers that run elsewhere and are started from here.

    Raises:
      TransientError: a worker was lost.
      InputError: a worker says that the input is at fault.
    """
    if count == 1 and workers.count() == 1:
        yield
        return
    if workers.count() > 1:
        # (TensorFlow would wait at a worker's exit for a chief that has gone.)
        with ending_as_worker() if workers.index() else contextlib.nullcontext(), _told_of_the_lost(None):
            _find_each_other()
            yield
        return
    if pod.on_kubeflow():
        with kubeflow_workers.beside(count, inputs) as others, _told_of_the_lost(others):
            _find_each_other(others.give_up)
            yield
        return
    addresses = _free_addresses(count)
    with tempfile.TemporaryDirectory() as logs:
        started: dict[int, int] = {}
        for index in range(1, count):
            # (TensorFlow is imported, which takes seconds, and has not begun to work: a fork is safe.)
            if (pid := os.fork()) == 0:
                become(Path(logs) / f"{index}.log")
                os.environ[workers.VARIABLE] = workers.configuration(addresses, index)
                with ending_as_worker(), _told_of_the_lost(None):
                    _find_each_other()
                    yield
            started[pid] = index
        os.environ[workers.VARIABLE] = workers.configuration(addresses, 0)
        progress.report(f"training with {count} workers on this machine")
        children = _Children(started, count, Path(logs))
        try:
            with _told_of_the_lost(children):
                _find_each_other()
                yield
        finally:
            children.end()
            del os.environ[workers.VARIABLE]


def _give_up(fault: StageError) -> NoReturn:
    say(str(fault))
    end(fault.exit_code)


def _find_each_other(give_up: Callable[[StageError], NoReturn] = _give_up) -> None:
    """Returns when all workers are there; where they do not come, ends this process with a line and 75."""
    fault = TransientError(
        f"not all of {workers.count()} workers were there within {round(_FOUND_SECONDS / 60)} minutes; see why "
        "their pods do not start or do not find each other (manifests/workers; on Kubeflow manifests/trainer), and try "
        "again"
    )
    late = threading.Timer(_FOUND_SECONDS, give_up, [fault])
    late.daemon = True
    late.start()
    try:
        # While TensorFlow waits for the others nothing else of this process goes on, not even what ends it.
        _report() if workers.index() else _gather()
        workers.strategy()
    finally:
        late.cancel()


def _gather() -> None:
    """Returns when all other workers have said that they are there; at the port where TensorFlow listens then."""
    here: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as opened:
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        server = opened.enter_context(
            socket.create_server(("", workers.chief()[1]), family=family, dualstack_ipv6=both)
        )
        while len(here) < workers.count() - 1:
            connection, _ = server.accept()
            opened.enter_context(connection)
            connection.settimeout(_SAYS_SECONDS)
            # (Whoever else asks at this port says nothing, or goes.)
            with contextlib.suppress(OSError):
                if (said := int.from_bytes(connection.recv(_INDEX_BYTES))) in range(1, workers.count()):
                    here[said] = connection
            gone = select.select(here.values(), [], [], 0)[0]
            here = {index: each for index, each in here.items() if each not in gone}
        for each in here.values():
            with contextlib.suppress(OSError):
                each.sendall(_GO)


def _report() -> None:
    """Tells the chief that this worker is there, until all are, and TensorFlow listens at the chief."""
    while not _told_to_go():
        time.sleep(_AGAIN_SECONDS)
    # (TensorFlow gives a chief that does not listen yet ten seconds.)
    while not _listens(workers.chief()):
        time.sleep(_AGAIN_SECONDS)


def _told_to_go() -> bool:
    with (
        contextlib.suppress(OSError),
        socket.create_connection(workers.chief(), timeout=_SAYS_SECONDS) as connection,
    ):
        connection.settimeout(None)
        connection.sendall(workers.index().to_bytes(_INDEX_BYTES))
        return connection.recv(1) == _GO
    return False


def _listens(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, timeout=_SAYS_SECONDS):
            return True
    except OSError:
        return False


def _free_addresses(count: int) -> list[str]:
    """Ports of the loopback interface that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


@contextlib.contextmanager
def _told_of_the_lost(others: _Children | kubeflow_workers.Workers | None) -> Iterator[None]:
    """Says which worker is gone, in place of what TensorFlow says of its connection to it."""
    try:
        yield
    except Exception as error:
        if (peer := workers.lost(error)) is None:
            raise
        if others and (fault := others.fault(_ENDS_SECONDS)):
            raise fault from error
        which = f"worker {peer}" if peer > 0 else "the chief (worker 0)" if peer == 0 else "a worker"
        more = others.alive(peer) if isinstance(others, _Children) else "its own log says more"
        raise TransientError(
            f"{which} of {workers.count()} cannot be reached any more, and they train together or not at all; {more}; "
            "try again"
        ) from error


def _stands(pid: int) -> str:
    """Whether a process was stopped; source of the letter: proc_pid_stat(5)."""
    with contextlib.suppress(OSError):
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "tT":
            return "was stopped (as by SIGSTOP)"
    return "is there, and does not answer"


class _Children(threading.Thread):
    """Looks after the workers, and ends the chief where one is gone and the chief waits for it."""

    def __init__(self, started: dict[int, int], count: int, logs: Path) -> None:
        """Takes their numbers by process id."""
        super().__init__(daemon=True)
        self._running = dict(started)
        self._count = count
        self._logs = logs
        self._fault: StageError | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.2):
            self._look()
            if self._fault and not self._over.wait(kubeflow_workers.NOTICED_SECONDS):
                # (None of them writes into the folder that is removed.)
                self._kill()
                _give_up(self._fault)

    def _look(self) -> None:
        with self._lock:
            for pid in list(self._running):
                ended, status = os.waitpid(pid, os.WNOHANG)
                # (What ends by a signal is what the others miss, which end soon after.)
                if ended and (code := os.waitstatus_to_exitcode(status)) and (code < 0 or self._fault is None):
                    self._fault = self._described(self._running[pid], code)
                if ended:
                    del self._running[pid]

    def _described(self, index: int, code: int) -> StageError:
        log = self._logs / f"{index}.log"
        sys.stderr.write(log.read_text(errors="replace"))
        who = f"worker {index} of {self._count}"
        if code < 0:
            return TransientError(f"{who} {ended_by_signal(code)}; they train together or not at all: try again")
        return own_fault(who, code, log.read_text(errors="replace"))

    def fault(self, seconds: float) -> StageError | None:
        """How a worker ended that did not end well; waits for so long."""
        until = time.monotonic() + seconds
        while not self._fault and time.monotonic() < until:
            self._look()
            time.sleep(0.05)
        return self._fault

    def alive(self, peer: int) -> str:
        """What is known of a worker that has not ended and is out of reach; what it has printed is printed.

        Args:
          peer: which one; less than 1 for any of them.
        """
        told = []
        with self._lock:
            for pid, index in self._running.items():
                if peer < 1 or peer == index:
                    sys.stderr.write((self._logs / f"{index}.log").read_text(errors="replace"))
                    told.append(f"its process, {pid}, {_stands(pid)}")
        return f"{' or '.join(told) or 'it has ended'}, and what it has printed stands above"

    def end(self) -> None:
        """Ends the workers: the chief has what it needs."""
        self._over.set()
        self._kill()

    def _kill(self) -> None:
        with self._lock:
            for pid in self._running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in self._running:
                os.waitpid(pid, 0)
            self._running = {}
