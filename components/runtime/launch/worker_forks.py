"""Workers on one machine: forks of the stage, which end with it, and with a line and an exit code of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from components.runtime.errors import (
    EXIT_INPUT,
    EXIT_TRANSIENT,
    InputError,
    StageError,
    TransientError,
    classify,
    known,
)
from components.runtime.launch.warm import die_with_parent
from components.runtime.stage import scratch
from components.runtime.stage.executor import ERROR_PREFIX


def become(log: Path) -> None:
    """Has a fork print to a log of its own, and end when the stage does."""
    die_with_parent()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in (1, 2):
        os.dup2(descriptor, number)


@contextlib.contextmanager
def ending_as_worker() -> Iterator[None]:
    """Ends this process with what is inside: what is around it belongs to the chief."""
    code = 1
    try:
        yield
        code = 0
    except Exception as error:
        if classify(error) is None:
            traceback.print_exc()
        say(" ".join(str(known(error)).split()))
        code = known(error).exit_code
    finally:
        end(code)


def end(code: int) -> NoReturn:
    """Ends this process at once; what it has printed is kept, and its temporary files are not."""
    scratch.forget()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def say(error: str) -> None:
    """The line by which a stage tells why it ends."""
    sys.stderr.write(f"{ERROR_PREFIX}{error}\n")
    sys.stderr.flush()


def ended_by_signal(code: int) -> str:
    """How a process ended whose code is a signal's, less than 0."""
    try:
        name = signal.Signals(-code).name
    except ValueError:
        # Kubernetes says 255 of a container of which it knows no more: 128 and no signal.
        return f"ended with the code {128 - code}, and nothing is known of why; its node may be lost"
    return f"was ended by {name}" + ("; the machine may be out of memory" if name == "SIGKILL" else "")


def fault(who: str, code: int, printed: str) -> StageError:
    """Why a worker ended by itself: by its own line, where it wrote one.

    Args:
      who: the worker.
      code: its exit code, more than 0.
      printed: by it, or the end of that.
    """
    said = [line.removeprefix(ERROR_PREFIX) for line in printed.splitlines() if line.startswith(ERROR_PREFIX)]
    kind = {EXIT_INPUT: InputError, EXIT_TRANSIENT: TransientError}.get(code, StageError)
    return kind(f"{who}: {said[-1] if said else f'exit code {code}, without a word'}")
