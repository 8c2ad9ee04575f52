"""Processes forked off a stage: they have the libraries that it has imported, in the same memory, and end with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from components.runtime.data.ahead import in_order
from components.runtime.errors import TransientError
from components.runtime.launch.warm import die_with_parent

Item = TypeVar("Item")
Result = TypeVar("Result")

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of processors in a period of so many; `max` in place of the first where there is no limit. Source: the
kernel's documentation of control groups, version 2."""

_MEMORY = Path("/sys/fs/cgroup/memory.max")
"""Bytes, or `max`; same source."""


def processors(quota: Path = _QUOTA) -> int:
    """How many processors this process may use: a container with a limit of two has two, whatever its node has."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        used, period = quota.read_text().split()
        return max(1, min(allowed, round(int(used) / int(period))))
    except (OSError, ValueError):
        return allowed


def affordable(wanted: int, own_bytes: int, each_bytes: int, limit: Path = _MEMORY) -> int:
    """How many processes there is memory for.

    Args:
      wanted: how many there would be.
      own_bytes: that the process which forks them takes.
      each_bytes: that each of them takes besides what it shares.
      limit: file that says how much the container may take; all of the machine's memory where it says `max`.
    """
    try:
        most = int(limit.read_text())
    except (OSError, ValueError):
        most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(wanted, (most - own_bytes) // each_bytes))


@contextmanager
def forked(processes: int, does: str, begin: Callable[[], None] | None = None) -> Iterator[Executor | None]:
    """Forks all processes at once; do so before this one has threads, or TensorFlow works in it.

    Args:
      processes: how many; nothing is forked for fewer than two.
      does: what each of them does, for the message about one that was killed.
      begin: called in each first.

    Yields:
      What runs functions in them; None where none was forked.

    Raises:
      TransientError: one was killed.
    """
    if processes < 2:
        yield None
        return
    with ProcessPoolExecutor(processes, get_context("fork"), _begun, (begin,)) as pool:
        try:
            pool.submit(int).result()
            yield pool
        except BrokenProcessPool:
            raise TransientError(
                f"a process that {does} was killed, most likely for memory; give the stage more of it"
            ) from None
        finally:
            # (One fault is enough.)
            pool.shutdown(cancel_futures=True)


@contextmanager
def mapped(
    function: Callable[[Item], Result], items: Iterable[Item], processes: int, does: str
) -> Iterator[Iterator[Result]]:
    """Calls a function with each item in forked processes, or in this one where `forked` forks none.

    Args:
      function: must be picklable, as its items and results.
      items: read only as far ahead as the processes need, so that memory stays bounded.
      processes: as of `forked`.
      does: as of `forked`.

    Yields:
      The results, in the order of the items.

    Raises:
      TransientError: a process was killed.
    """
    with forked(processes, does) as pool:
        yield in_order(pool, function, items, processes + 1) if pool else map(function, items)


def _begun(begin: Callable[[], None] | None) -> None:
    die_with_parent()
    if begin:
        begin()
