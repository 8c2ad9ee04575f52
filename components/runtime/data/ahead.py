"""Works ahead: what comes next is made in a thread of its own while the last is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")

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
