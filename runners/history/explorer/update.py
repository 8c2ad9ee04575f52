"""Brings the explorer of a pipeline root up to date, by reading no more than has changed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

from components.runtime.records import run_record
from runners.history.explorer import files
from runners.history.explorer.from_records import read
from runners.history.explorer.model import Index, Row
from runners.history.explorer.served import versions
from runners.history.pages import run_report
from runners.history.records import GOES_ON, list_open, load_recorded

_SECONDS = 2.0
"""So long a run waits at its end for earlier ones that are not in the explorer yet; the command reads the rest."""


def update(root: Path, *, seconds: float = _SECONDS, first: str = "", thoroughly: bool = False) -> int:
    """Writes the explorer's files beside the runs.

    Args:
      root: the pipeline root.
      seconds: how long records are read; those that are left come the next time.
      first: a run that comes before all others.
      thoroughly: also look for reports of stages that belong to no run any more where none is gone.

    Returns:
      How many runs are left to read.

    Raises:
      OSError: nothing can be written there.
    """
    folder = root / files.FOLDER
    files.write_page(folder)
    with files.locked(folder):
        known = {row.id: row for row in files.read_rows(folder)}
        stamps = _stamps(root)
        rows = {
            name: row
            for name, row in known.items()
            if name in stamps
            and row.stamp == stamps[name]
            and row.state not in GOES_ON
            and files.has_detail(folder, name)
        }
        changed = sorted(stamps.keys() - rows.keys(), reverse=True)
        changed.sort(key=lambda name: name != first)
        until, damaged, left = time.monotonic() + seconds, [], 0
        for place, name in enumerate(changed):
            if place and time.monotonic() > until:
                left = len(changed) - place
                break
            if (row := _read(root, folder, name, stamps[name])) is None:
                damaged.append(name)
            else:
                rows[name] = row
        for run in list_open(root):
            row, detail = read(run)
            files.write_detail(folder, detail)
            rows[run.id] = row
        ordered = sorted(rows.values(), key=lambda row: (row.started, row.id), reverse=True)
        files.sweep(folder, ordered, thoroughly=thoroughly and not left)
        note = f"{left:,} more runs are not here yet: ./millrace explore reads them" if left else ""
        files.write_index(
            folder, Index(str(root), files.now(), ordered, versions(ordered, root), sorted(damaged), note)
        )
    return left


def complete(root: Path, tell: Callable[[int], None]) -> Path:
    """Brings all runs into the explorer; returns its page.

    Args:
      root: the pipeline root.
      tell: is told how many runs are left, from time to time.
    """
    left = math.inf
    while left:
        now = update(root, thoroughly=True)
        # (Damaged ones are never left; a root that changes faster than it is read is one for the next call.)
        if now >= left:
            break
        left = now
        if left:
            tell(left)
    return root / files.FOLDER / files.PAGE


def _read(root: Path, folder: Path, name: str, stamp: list[int]) -> Row | None:
    run = load_recorded(root, name)
    if run is None:
        return None
    row, detail = read(run)
    row.stamp = stamp
    files.write_detail(folder, detail)
    return row


def _stamps(root: Path) -> dict[str, list[int]]:
    """How the record of every run looks: when it was written and its size, and whether there is a report."""
    found = {}
    for folder in (root / "runs").glob("*/"):
        try:
            about = (folder / run_record.FILE).stat()
        except OSError:
            continue
        found[folder.name] = [about.st_mtime_ns, about.st_size, int((folder / run_report.FILE).exists())]
    return found
