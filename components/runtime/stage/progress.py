"""How a stage tells what it is doing: lines on standard output, for the log and for a runner that shows them live."""

from __future__ import annotations

import time

from components.runtime.text.visible import in_one_line

PREFIX = "progress: "
STARTED = "started"

_INTERVAL_SECONDS = 0.5
_last = 0.0


def report(text: str, *, force: bool = True) -> None:
    """Says what the stage is doing, in a few words such as `step 120/500 loss 0.43`.

    Args:
      text: one line.
      force: print even if the last line is less than half a second old; False in loops.
    """
    global _last
    now = time.monotonic()
    if force or now - _last >= _INTERVAL_SECONDS:
        _last = now
        print(f"{PREFIX}{in_one_line(text)}", flush=True)
