"""A stage's folder for temporary files, which goes with it: what one that was killed has left, the next one removes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "millrace-stage-"

_own: tuple[int, Path] | None = None
"""The folder of this process; one that is forked off has the number of another."""


@contextlib.contextmanager
def scratch() -> Iterator[None]:
    """A folder in which all temporary files lie; a forked stage ends without Python's clean-up at exit."""
    global _own
    sweep()
    before = tempfile.tempdir
    folder, lock = _locked_folder()
    _own, tempfile.tempdir = (os.getpid(), folder), str(folder)
    try:
        yield
    finally:
        forget()
        os.close(lock)
        tempfile.tempdir = before


def forget() -> None:
    """Removes the folder, where this process made one: for those that end without coming back."""
    global _own
    if _own and _own[0] == os.getpid():
        shutil.rmtree(_own[1], ignore_errors=True)
        _own = None


def sweep() -> None:
    """Removes the folders of killed stages; those of living ones, and of processes forked off these, are locked."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/"):
        # (Another user's cannot be opened.)
        with contextlib.suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _locked_folder() -> tuple[Path, int]:
    """Makes a folder and locks it, and again where another stage's sweep came between the two."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            # (A disk that knows no locks is never swept.)
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)
