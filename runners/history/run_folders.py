"""Folders of local runs: the lock that tells whether a run lives, and the removal of what killed ones left."""

from __future__ import annotations

import contextlib
import fcntl
import re
import shutil
import time
from pathlib import Path

from components.runtime.records import run_record

OWNER_LOCK = "owner.lock"
"""A file in a run's folder that its process keeps locked as long as it lives."""
PIPELINE = "pipeline.yaml"
"""The compiled pipeline, in a run's folder."""
_BEGINNING = re.compile(rf"{re.escape(OWNER_LOCK)}|{re.escape(PIPELINE)}|\.{re.escape(run_record.FILE)}\..*")
_BEGUN_SECONDS = 60.0


def sweep(root: Path) -> None:
    """Removes the folders of runs that were killed before they had a record, of which nothing else would tell."""
    for folder in (root / "runs").glob("*/"):
        with contextlib.suppress(OSError):
            if not all(_BEGINNING.fullmatch(entry.name) for entry in folder.iterdir()):
                continue
            # A run that begins right now may not hold its lock yet.
            if time.time() - folder.stat().st_mtime > _BEGUN_SECONDS and not is_held(folder / OWNER_LOCK):
                shutil.rmtree(folder, ignore_errors=True)


def is_held(lock: Path) -> bool:
    """Whether a living process holds a lock; of one that is not there, none does."""
    try:
        with lock.open() as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
