"""Works ahead: what comes next is made while the last is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_END = object()


def ahead(items: Iterator[Item], depth: int = 2) -> Iterator[Item]:
    """The same items in the same order, whatever the threads do.

    In a chain of these each link has its thread: what gives way to others (zlib, Arrow, TensorFlow) is done beside the
    rest.

    Args:
      items: made in the other thread, one after the other.
      depth: how many are made before they are asked for, so that memory stays flat.

    Raises:
      Exception: what `items` raises, when it is its turn.
    """
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[Future[Item | object]] = deque(pool.submit(next, items, _END) for _ in range(depth))
        try:
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(pool.submit(next, items, _END))
                yield item  # type: ignore[misc]
        finally:
            for future in waiting:
                future.cancel()


def in_order(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], waiting: int
) -> Iterator[Result]:
    """Calls a function with each item in a pool.

    Args:
      pool: of threads or processes.
      function: what is called.
      items: read only so far ahead, so that memory stays flat.
      waiting: how many results there may be, or be in the making, before they are asked for.

    Yields:
      The results, in the order of the items.

    Raises:
      Exception: what `function` raises, when it is its turn.
    """
    futures: deque[Future[Result]] = deque()
    try:
        for item in items:
            futures.append(pool.submit(function, item))
            if len(futures) > waiting:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
    finally:
        for future in futures:
            future.cancel()
