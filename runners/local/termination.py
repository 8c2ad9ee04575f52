"""What Ctrl-C and SIGTERM do to a command, and to a run."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, NoReturn

from components.runtime.errors import EXIT_INTERRUPTED

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LINE = "interrupted"

_Handler = Callable[[int, FrameType | None], Any]


def command(body: Callable[[], None]) -> None:
    """Does what a command does; a signal ends it with one line and exit code 130 from its imports to its last act.

    Args:
      body: ends by SystemExit, as a command does, or returns.
    """
    _take_over(_raise_once)
    try:
        body()
    except KeyboardInterrupt:
        _take_over(_leave)
        print(_LINE, file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    finally:
        # What Python does at its end is nobody's to catch: an exception there would be a trace, and change no code.
        _take_over(_leave)


class Interruptions:
    """While it is entered, signals wait for a place where the run can be interrupted, and are counted.

    An exception from a signal may come between any two steps, such as the start of a thread and the note of it. So it
    comes only inside `heeded`, where the run waits or reads and changes nothing; before, the signal is kept for it.
    """

    def __init__(self) -> None:
        """Changes nothing yet."""
        self.count = 0
        self._told = 0
        self._heeding = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruptions:
        """Takes the signals over."""
        self._before = _take_over(self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives the signals back; one that found no place is a KeyboardInterrupt now."""
        for each, handler in self._before.items():
            signal.signal(each, handler)
        if kind is None:
            self._tell()

    @contextlib.contextmanager
    def heeded(self) -> Iterator[None]:
        """A signal is a KeyboardInterrupt here, as is one that came before and was not told of yet."""
        self._heeding = True
        try:
            self._tell()
            yield
        finally:
            self._heeding = False

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self._heeding:
            self._tell()

    def _tell(self) -> None:
        if self.count > self._told:
            self._told, self._heeding = self.count, False
            raise KeyboardInterrupt


def _take_over(handler: _Handler) -> dict[signal.Signals, Any]:
    """Sets what signals do and returns what they did; only a process's first thread can."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    # A job in the background of a shell script is told to ignore Ctrl-C, and does.
    heeded = [each for each in _SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    return {each: signal.signal(each, handler) for each in heeded}


def _raise_once(number: int, frame: FrameType | None) -> NoReturn:
    # Who asks for a second time does not wait for what the first exception ends.
    _take_over(_leave)
    raise KeyboardInterrupt


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        # The signal may have come while it was written to.
        with contextlib.suppress(Exception):
            stream.flush()
    with contextlib.suppress(OSError):
        os.write(2, f"{_LINE}\n".encode())
    os._exit(EXIT_INTERRUPTED)
