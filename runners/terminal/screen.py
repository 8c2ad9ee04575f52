"""A terminal on which something is drawn again and again: nobody's typing may get between."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import termios
import threading
from collections.abc import Callable
from typing import Any, TextIO

_ECHO = 3
"""Where `termios.tcgetattr` has the local modes, of which ECHO is one."""


class Drawing:
    r"""Holds a terminal while something is drawn on it, and gives it back whenever somebody else has it.

    What is typed is not echoed meanwhile; it waits for whoever reads next. The terminal is given back as it was when
    the process is suspended (Ctrl-Z), ends by Ctrl-\, or ends at all; in the background nothing is drawn.
    """

    def __init__(self, stream: TextIO, begin: Callable[[], None], end: Callable[[], None]) -> None:
        """Takes the terminal's stream, and what begins and ends the drawing."""
        self._stream, self._begin, self._end = stream, begin, end
        self._modes: list[Any] | None = None
        self._is_drawing = False
        self._handlers: dict[int, Any] = {}

    @property
    def is_drawing(self) -> bool:
        """Whether the drawing has begun and not ended."""
        return self._is_drawing

    def open(self) -> None:
        """Begins to draw, now or when the process comes into the foreground."""
        # Python lets the main thread alone install handlers.
        if threading.current_thread() is threading.main_thread():
            for number, handler in (
                (signal.SIGTSTP, self._suspended),
                (signal.SIGCONT, self._continued),
                (signal.SIGQUIT, self._quit),
            ):
                self._handlers[number] = signal.signal(number, handler)
        atexit.register(self._echo, on=True)
        self._enter()

    def close(self) -> None:
        """Ends the drawing and gives the terminal back."""
        self._exit()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()
        atexit.unregister(self._echo)

    def _enter(self) -> None:
        if not self._is_drawing and self._in_foreground():
            self._echo(on=False)
            self._is_drawing = True
            self._begin()

    def _exit(self) -> None:
        if self._is_drawing:
            self._is_drawing = False
            self._end()
        self._echo(on=True)

    def _in_foreground(self) -> bool:
        """Whether the terminal listens to this process; without job control it does."""
        try:
            return os.tcgetpgrp(self._stream.fileno()) == os.getpgrp()
        except (OSError, ValueError):
            return True

    def _echo(self, *, on: bool) -> None:
        # A stream that only says that it is a terminal has no modes, and one that has gone away none any more.
        with contextlib.suppress(OSError, ValueError, termios.error):
            terminal = self._stream.fileno()
            if on and self._modes is not None:
                modes, self._modes = self._modes, None
                termios.tcsetattr(terminal, termios.TCSADRAIN, modes)
            elif not on and self._modes is None:
                modes = termios.tcgetattr(terminal)
                silent = [*modes]
                silent[_ECHO] &= ~termios.ECHO
                termios.tcsetattr(terminal, termios.TCSADRAIN, silent)
                self._modes = modes

    def _suspended(self, number: int, _frame: object) -> None:
        self._exit()
        signal.signal(number, signal.SIG_DFL)
        # Stops here, and goes on when SIGCONT has come, whose handler draws again.
        os.kill(os.getpid(), number)
        signal.signal(number, self._suspended)
        # Where nobody could wake it up again, as in a container's first process group, the kernel has not stopped it.
        self._enter()

    def _continued(self, _number: int, _frame: object) -> None:
        self._enter()

    def _quit(self, number: int, _frame: object) -> None:
        self._exit()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
