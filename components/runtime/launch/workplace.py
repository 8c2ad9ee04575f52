"""Where an execution is made: a locked folder beside its home, published by one rename, swept where its run is gone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from components.runtime.records import execution_record
from components.runtime.stage.artifacts import sync

_LOCK = "owner.lock"


def sweep(root: Path) -> None:
    """Removes what killed executions left half-written; those of living ones are locked and stay."""
    for folder in (root / "artifacts").glob("*/*/.*/"):
        # One that was killed before it made its lock is told by a lock that nobody else has.
        with contextlib.suppress(FileNotFoundError, BlockingIOError), (folder / _LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def sweep_run(root: Path, run: str) -> int:
    """Removes what killed executions of a run that has ended left half-written; returns how many.

    For volumes of several machines, where one machine's locks may not be seen by another.
    """
    removed = 0
    for lock in (root / "artifacts").glob(f"*/*/.*/{_LOCK}"):
        with contextlib.suppress(FileNotFoundError):
            if lock.read_text() == run:
                shutil.rmtree(lock.parent, ignore_errors=True)
                removed += 1
    return removed


@contextlib.contextmanager
def workplace(home: Path, run: str) -> Iterator[Path]:
    """A run's locked folder beside the execution's home, gone afterwards unless it was published."""
    folder, lock = _locked_folder(home)
    with lock:
        lock.write(run)
        lock.flush()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _locked_folder(home: Path) -> tuple[Path, IO[str]]:
    """Makes a folder with a lock in it, and again where another run's sweep came between the two."""
    while True:
        folder = _beside(home)
        folder.mkdir(parents=True)
        with contextlib.suppress(FileNotFoundError):
            lock = (folder / _LOCK).open("w")
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (folder / _LOCK).exists():
                return folder, lock
            lock.close()


def _beside(home: Path) -> Path:
    return home.with_name(f".{home.name[:8]}-{uuid.uuid4().hex[:8]}")


def publish(root: Path, workplace: Path, home: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Makes what is in a workplace the execution at `home`; returns the record of the one that is there then.

    Raises:
      OSError: it cannot be moved there.
    """
    sync(workplace)
    while True:
        try:
            os.rename(workplace, home)
        except OSError:
            if not home.exists():
                raise
            try:
                # Another run finished the same execution meanwhile; its artifacts are as good, and may be in use.
                return execution_record.usable(root, home)
            except execution_record.Unusable:
                _put_away(home)
        else:
            (home / _LOCK).unlink()
            sync(home.parent, inside=False)
            return record


def _put_away(home: Path) -> None:
    """Removes an execution that cannot be used; at once for those who look for one."""
    aside = _beside(home)
    with contextlib.suppress(FileNotFoundError):
        os.rename(home, aside)
    shutil.rmtree(aside, ignore_errors=True)
