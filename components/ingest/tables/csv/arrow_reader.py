"""Arrow's streaming reader of CSV over a Python stream, which may be left before the stream's end."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from typing import Any, Protocol

import pyarrow as pa
from pyarrow import csv

_FREED_SECONDS = 0.05
_ASKED_SECONDS = 0.2
"""In which the thread asks once more, unless it has read ahead as far as it may."""


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, empty at the end."""
        ...


def read_batches(stream: Readable, **options: Any) -> Iterator[pa.RecordBatch]:
    """The batches of a CSV file, as `pyarrow.csv.open_csv` reads them; its options, and errors.

    Arrow reads ahead in a thread of its own. One that still reads while Python ends takes the process down by a signal,
    in place of the exit code: so it is waited for where the reader ends before the stream.
    """
    stoppable, whole = _Stoppable(stream), False
    try:
        yield from csv.open_csv(stoppable, **options)
        whole = True
    finally:
        stoppable.stop()
        if not whole:
            stoppable.wait()


class _Stoppable(io.RawIOBase):
    """A stream that ends when it is told to, and knows whether its end was read."""

    def __init__(self, stream: Readable) -> None:
        super().__init__()
        self._stream = stream
        self._stopped = False
        self._ended = threading.Event()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = b"" if self._stopped else self._stream.read(size)
        if not data:
            self._ended.set()
        return data

    def stop(self) -> None:
        self._stopped = True

    def wait(self) -> None:
        self._ended.wait(_ASKED_SECONDS)
        # What it has read it frees with Python's lock.
        time.sleep(_FREED_SECONDS)
