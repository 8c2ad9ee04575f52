"""Copies what others write into a log on the volume to the log of this container, while they do."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

_POLL_SECONDS = 0.1


@contextlib.contextmanager
def copied(log: Path) -> Iterator[None]:
    """Copies what is added to a file to standard output."""
    ended = threading.Event()
    # Before anything is added.
    begin = log.stat().st_size if log.exists() else 0
    copier = threading.Thread(target=_copy, args=(log, begin, ended), daemon=True)
    copier.start()
    try:
        yield
    finally:
        ended.set()
        copier.join()


def _copy(log: Path, begin: int, ended: threading.Event) -> None:
    log.touch()
    with log.open("rb") as stream:
        stream.seek(begin)
        while True:
            last = ended.wait(_POLL_SECONDS)
            if data := stream.read():
                sys.stdout.buffer.write(data)
                sys.stdout.flush()
            if last:
                return
