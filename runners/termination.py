"""What Ctrl-C and SIGTERM do to a run."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruptions:
    """While it is entered, SIGTERM is what Ctrl-C is, a KeyboardInterrupt, and both are counted."""

    def __init__(self) -> None:
        """Changes nothing yet."""
        self.count = 0
        self._ignored = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruptions:
        """Takes the signals over; only a process's first thread can."""
        if threading.current_thread() is threading.main_thread():
            # A job in the background of a shell script is told to ignore Ctrl-C, and does.
            heeded = [each for each in _SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
            self._before = {each: signal.signal(each, self._interrupt) for each in heeded}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives the signals back."""
        for each, handler in self._before.items():
            signal.signal(each, handler)

    @contextlib.contextmanager
    def ignored(self) -> Iterator[None]:
        """Nothing interrupts what is done here: it has to be short."""
        self._ignored = True
        try:
            yield
        finally:
            self._ignored = False

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if not self._ignored:
            self.count += 1
            raise KeyboardInterrupt
