"""What a container of Kubernetes does besides its work: the line that its pod shows, the rights of its files, tries.

On Kubeflow Pipelines a stage is the container's own program; in an Argo Workflow the launcher is.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

from components.runtime.stage import progress

TERMINATION_LOG = Path("/dev/termination-log")
"""Kubernetes' default for terminationMessagePath; what is in it becomes the message of the ended container."""
WAITS = (5, 10)
"""Seconds before each further attempt at what met a passing fault."""

LONGEST_MESSAGE = 4096
"""Bytes that the kubelet reads."""
# Argo starts containers with none, so that everybody could write everything on the volume. The group keeps the right:
# pods of other users share the volume by its group (fsGroup).
_UMASK = 0o002
_ATTEMPT = "MILLRACE_ATTEMPT"


def on_kubeflow() -> bool:
    """Whether this is a pod of Kubeflow Pipelines: its compiler gives all their containers this variable."""
    return "KFP_POD_NAME" in os.environ


def limit_rights() -> None:
    """Lets others read what is written from now on, and only the user and the volume's group change it."""
    os.umask(_UMASK)


def tell(line: str) -> None:
    """Makes a line the container's message, where there is a place for it."""
    with contextlib.suppress(OSError):
        # Never made: outside a container nobody reads it.
        descriptor = os.open(TERMINATION_LOG, os.O_WRONLY | os.O_TRUNC)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(line.encode()[:LONGEST_MESSAGE])


def try_again(error: str) -> None:
    """Waits and starts this process's program anew; comes back where it has been tried often enough.

    A new program, since libraries keep state that a fault may have left half-made. The process stays the same, so that
    whoever ends the container ends it, in its wait too.

    Args:
      error: the passing fault.
    """
    attempt = int(os.environ.get(_ATTEMPT, "1"))
    if attempt > len(WAITS):
        return
    wait = WAITS[attempt - 1]
    progress.report(f"attempt {attempt} of {len(WAITS) + 1} met a passing fault, tried again in {wait:g} s: {error}")
    time.sleep(wait)
    os.environ[_ATTEMPT] = str(attempt + 1)
    os.execv(sys.executable, sys.orig_argv)
