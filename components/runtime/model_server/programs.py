"""The programs that serve models, and their command lines."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from components.runtime.data.bucket import is_bucket
from components.runtime.errors import InputError

PROGRAM_VARIABLE = "MILLRACE_MODEL_SERVER"
"""TensorFlow Serving's program, where it is not on the path under its own name; `kserve` for the one built in."""

TENSORFLOW = "tensorflow"
KSERVE = "kserve"
NAMES = (TENSORFLOW, KSERVE)

_TENSORFLOW_PROGRAM = "tensorflow_model_server"
_POLL_SECONDS = 1
_BUCKET_POLL_SECONDS = 5
"""Each look at a bucket is a request that is paid for."""


@dataclass(frozen=True)
class Program:
    """A program that serves models.

    Attributes:
      name: tensorflow or kserve.
      words: the beginning of its command line.
    """

    name: str
    words: tuple[str, ...]

    @property
    def title(self) -> str:
        """As people call it."""
        return "TensorFlow Serving" if self.name == TENSORFLOW else "the built-in server (KServe)"

    def command(self, model: str, folder: Path | str, rest_port: int, grpc_port: int, address: str = "") -> list[str]:
        """The command line that serves a model.

        Args:
          model: its name in requests.
          folder: its serving directory, also in gs:// or s3://.
          rest_port: of REST.
          grpc_port: of gRPC.
          address: where it listens; this machine alone where none is given. TensorFlow Serving listens everywhere.
        """
        poll = _BUCKET_POLL_SECONDS if is_bucket(str(folder)) else _POLL_SECONDS
        options = [
            f"--model_name={model}",
            f"--model_base_path={folder}",
            f"--port={grpc_port}",
            f"--rest_api_port={rest_port}",
            f"--file_system_poll_wait_seconds={poll}",
        ]
        if address and self.name == KSERVE:
            options.append(f"--address={address}")
        return [*self.words, *options]


def find(name: str = "", python: Path | None = None) -> Program:
    """The program to serve with: TensorFlow Serving where it is, else the one built in.

    Args:
      name: of the one wanted.
      python: the interpreter that the built-in server runs in; this process's where none is given.

    Raises:
      InputError: TensorFlow Serving is asked for, and is not here.
    """
    chosen = os.environ.get(PROGRAM_VARIABLE, "").strip()
    if not name and chosen == KSERVE:
        name = KSERVE
    if name != KSERVE:
        program = shutil.which(chosen or _TENSORFLOW_PROGRAM)
        if program:
            return Program(TENSORFLOW, (program,))
        if chosen:
            raise InputError(f"{PROGRAM_VARIABLE}={chosen}: no such program; name TensorFlow Serving's, or {KSERVE}")
        if name == TENSORFLOW:
            raise InputError(
                f"{_TENSORFLOW_PROGRAM} is not on the path; install it, name it in {PROGRAM_VARIABLE}, or take {KSERVE}"
            )
    return Program(KSERVE, (str(python or sys.executable), "-m", "model_server"))
