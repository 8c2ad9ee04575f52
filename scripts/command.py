"""What the scripts share: how they write files, and how they fail."""

from __future__ import annotations

import filecmp
import os
import sys
from collections.abc import Callable
from pathlib import Path

from components.runtime.errors import classify


def run(work: Callable[[], object]) -> int:
    """Calls `work`; an error for people becomes one line and its exit code, 65 or 75, a bug stays one."""
    try:
        work()
    except Exception as error:
        known = classify(error)
        if known is None:
            raise
        print(f"error: {known}", file=sys.stderr)
        return known.exit_code
    return 0


def write_whole(file: Path, write: Callable[[Path], object]) -> bool:
    """Makes a file appear whole or not at all, and leaves it alone when its content would be the same.

    The part lies beside the folder, so that a pipeline that reads the folder never meets it.

    Returns:
      Whether the file is new or has changed; otherwise its modification time stays, and so do caches that go by it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.parent.with_name(f".{file.parent.name}-{file.name}.{os.getpid()}.part")
    try:
        write(part)
        if file.is_file() and filecmp.cmp(part, file, shallow=False):
            return False
        os.replace(part, file)
        return True
    finally:
        part.unlink(missing_ok=True)


def shown(path: Path) -> Path:
    """A path as a person would type it."""
    absolute = path.absolute()
    return absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else path
