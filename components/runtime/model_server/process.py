"""A model server as a process of its own, for as long as somebody asks it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from components.runtime.errors import StageError, TransientError
from components.runtime.model_server.client import Client
from components.runtime.model_server.programs import Program

_PROJECT = Path(__file__).resolve().parents[3]
"""Where the built-in server lies beside what stages share, whatever folder a stage is called in."""
_STOP_SECONDS = 15
_LAST_LINES = 5


class ServerError(StageError):
    """The server did not start, or ended; its own words are in the message."""


@dataclass
class Server:
    """A server that was started.

    Attributes:
      program: that it runs.
      client: asks it.
      grpc: its address for gRPC, `host:port`.
      log: where its output goes.
    """

    program: Program
    client: Client
    grpc: str
    log: Path
    process: subprocess.Popen[bytes]

    def wait_until_ready(self, seconds: float) -> float:
        """Waits until the model answers.

        Args:
          seconds: as long, at most.

        Returns:
          seconds since the call.

        Raises:
          ServerError: it has ended, refuses the model, or is not ready in time.
        """
        begun = time.monotonic()
        while True:
            if (code := self.process.poll()) is not None:
                raise ServerError(f"{self.program.title} ended with {code}: {self.last_words()}")
            state = self.client.state()
            if state.available:
                return time.monotonic() - begun
            if state.error:
                raise ServerError(f"{self.program.title} cannot load the model: {state.error}")
            if time.monotonic() - begun > seconds:
                raise ServerError(f"{self.program.title} was not ready after {seconds:.0f} s: {self.last_words()}")
            time.sleep(0.05)

    def peak_memory(self) -> int | None:
        """The largest resident memory of the process until now, in bytes; None where the system does not tell."""
        try:
            lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        except OSError:
            return None
        found = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
        return int(found) * 1024 if found else None

    def last_words(self) -> str:
        """The last lines of its log, in one."""
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return " / ".join(line.strip() for line in lines[-_LAST_LINES:]) or "it said nothing"

    def stop(self) -> None:
        """Ends it: asks first, and kills what does not end."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


@contextlib.contextmanager
def started(program: Program, model: str, folder: Path, log: Path, variables: Mapping[str, str]) -> Iterator[Server]:
    """Starts a server on free ports of this machine's loopback, and ends it.

    Args:
      program: to run.
      model: its name in requests.
      folder: the serving directory.
      log: gets its output.
      variables: of its environment.

    Raises:
      TransientError: it cannot be started.
    """
    rest_port, grpc_port = _free_ports()
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                program.command(model, folder, rest_port, grpc_port),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**variables, "PYTHONPATH": str(_PROJECT)},
                start_new_session=True,
            )
        except OSError as error:
            raise TransientError(f"{program.words[0]} cannot be started: {error.strerror}") from None
    server = Server(program, Client(f"http://127.0.0.1:{rest_port}", model), f"127.0.0.1:{grpc_port}", log, process)
    try:
        yield server
    finally:
        server.stop()


def _free_ports() -> tuple[int, int]:
    # Both at once, so that they differ.
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]
