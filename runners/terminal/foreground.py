"""A program that runs until a person ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from types import FrameType

from components.runtime.launch.warm import die_with_parent
from runners.terminal import output


def run(command: list[str], variables: Mapping[str, str], started: Callable[[], None] = lambda: None) -> int:
    """Runs a server until it ends by itself, or by Ctrl-C, which is no fault; it may end what it began first.

    Args:
      command: its command line.
      variables: of its environment, besides those of this process.
      started: is called when it has begun.

    Returns:
      its exit code; 0 where a person ended it.
    """
    # In a group of its own, for the terminal would send it Ctrl-C too, of which some make a question.
    server = subprocess.Popen(
        command,
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        # What it says is no part of what this command prints.
        stdout=sys.stderr,
        process_group=0,
        preexec_fn=die_with_parent,
    )
    asked = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        # Who asks for a second time does not wait.
        (server.kill if asked else server.terminate)()
        asked = True

    handlers = {each: signal.signal(each, end) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        started()
        code = server.wait()
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
        for each, handler in handlers.items():
            signal.signal(each, handler)
    if asked:
        output.note("ended")
    return 0 if asked else code
