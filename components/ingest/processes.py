"""A function over a stream of items in processes of their own, in the order of the items, with bounded memory."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from components.runtime.errors import TransientError

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def mapped(function: Callable[[Item], Result], items: Iterator[Item], *, processes: int) -> Iterator[Iterator[Result]]:
    """Calls a function with each item.

    Args:
      function: must be picklable, as its items and results.
      items: read only as far ahead as the processes need.
      processes: how many to start; 0 calls the function in this one.

    Yields:
      The results, in the order of the items.

    Raises:
      TransientError: a process was killed.
    """
    if not processes:
        yield (function(item) for item in items)
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("fork")) as pool:
        try:
            # The first task forks all processes: now, before reading or writing starts threads.
            pool.submit(int).result()
            yield _in_order(pool, function, items, ahead=processes + 1)
        except BrokenProcessPool:
            raise TransientError("a process that encodes records was ended; the machine may be out of memory") from None
        finally:
            pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor, function: Callable[[Item], Result], items: Iterator[Item], *, ahead: int
) -> Iterator[Result]:
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
