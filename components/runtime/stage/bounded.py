"""Talks to servers that may be slow without an end."""

from __future__ import annotations

import threading
from collections.abc import Callable

SILENCE_SECONDS = 10.0
"""How long a server may say nothing."""

TOTAL_SECONDS = 20.0
"""How long all of it may take: a server that sends a letter every nine seconds is never silent."""


def bounded(talk: Callable[[], None], whom: str) -> None:
    """Calls `talk`, and stops waiting for it after TOTAL_SECONDS.

    Args:
      talk: speaks to a server.
      whom: for the message.

    Raises:
      TimeoutError: the time is up.
      Exception: whatever `talk` raises.
    """
    faults: list[BaseException] = []

    def call() -> None:
        try:
            talk()
        except BaseException as fault:
            faults.append(fault)

    # A daemon, so that it does not outlive the stage.
    thread = threading.Thread(target=call, daemon=True, name="talk")
    thread.start()
    thread.join(TOTAL_SECONDS)
    if thread.is_alive():
        raise TimeoutError(f"{whom}: {TOTAL_SECONDS:g} s have passed")
    if faults:
        raise faults[0]
