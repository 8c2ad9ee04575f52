"""Requests that come together are answered by one run of the model, as TensorFlow Serving batches them.

Of several small requests most of the time goes into starting the graph, not into its numbers. A batch takes further
requests for some milliseconds, and for as long as it waits for its turn; then the model runs once over the rows of all,
and each gets its own. A batch is of one version, one signature and one shape of rows.
https://github.com/tensorflow/serving/blob/master/tensorflow_serving/batching/README.md
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from model_server.errors import NotReadyError
from model_server.signature import Signature, Tensor

Arrays = Mapping[str, np.ndarray[Any, Any]]
Run = Callable[[Arrays], dict[str, Any]]
_Key = tuple[Any, ...]


@dataclass(frozen=True)
class Limits:
    """Of batches.

    Attributes:
      rows: of a batch, at most; a request that has as many or more is run alone.
      seconds: that the first request of a batch waits for others.
      waiting: requests that may wait at once; more are refused.
    """

    rows: int
    seconds: float
    waiting: int


@dataclass
class _Batch:
    members: list[tuple[Arrays, Future[dict[str, Any]]]] = field(default_factory=list)
    rows: int = 0
    closed: bool = False


class Batches:
    """The batches that wait; any thread may ask."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: dict[_Key, _Batch] = {}
        self._waiting = 0
        # TensorFlow uses every processor for one batch where it can: more batches at once only take from each other.
        self._turns = len(os.sched_getaffinity(0))
        self._changed = threading.Condition()

    def run(
        self, run: Run, model: object, signature: Signature, given: Arrays, outputs: tuple[str, ...]
    ) -> dict[str, Any]:
        """Answers one request, with others where there are some.

        Args:
          run: the model, over any number of rows.
          model: that it is; none has a part in a batch of another.
          signature: that is asked.
          given: arrays by input, which fit it.
          outputs: the names wanted.

        Returns:
          arrays by output, of the rows of this request.

        Raises:
          NotReadyError: too many requests wait.
          Exception: whatever `run` raises for the rows of this request; those of others have no part in it.
        """
        rows = _rows(signature, given, outputs)
        if not 0 < rows < self._limits.rows:
            return run(given)
        kinds = tuple((name, array.dtype.kind, array.shape[1:]) for name, array in sorted(given.items()))
        key = model, signature.name, outputs, kinds
        mine: Future[dict[str, Any]] = Future()
        with self._changed:
            if self._waiting >= self._limits.waiting:
                raise NotReadyError(f"{self._waiting} requests wait already; ask again later")
            batch, is_first = self._place(key, rows)
            batch.members.append((given, mine))
            batch.rows += rows
            self._waiting += 1
            if batch.rows >= self._limits.rows:
                self._close(key, batch)
        # (The thread of its first request runs a batch, the others wait for what it finds.)
        if is_first:
            self._lead(run, key, batch)
        return mine.result()

    def _place(self, key: _Key, rows: int) -> tuple[_Batch, bool]:
        found = self._open.get(key)
        if found and found.rows + rows <= self._limits.rows:
            return found, False
        if found:
            self._close(key, found)
        self._open[key] = made = _Batch()
        return made, True

    def _close(self, key: _Key, batch: _Batch) -> None:
        if not batch.closed:
            batch.closed = True
            del self._open[key]
            self._changed.notify_all()

    def _lead(self, run: Run, key: _Key, batch: _Batch) -> None:
        with self._changed:
            self._changed.wait_for(lambda: batch.closed, self._limits.seconds)
            self._changed.wait_for(lambda: self._turns > 0)
            self._turns -= 1
            self._close(key, batch)
            self._waiting -= len(batch.members)
        try:
            _answer(run, batch.members)
        finally:
            with self._changed:
                self._turns += 1
                self._changed.notify_all()


def _answer(run: Run, members: Sequence[tuple[Arrays, Future[dict[str, Any]]]]) -> None:
    """Gives each request its answer. Where the model refuses the rows of all, halves find out whose they are."""
    if len(members) == 1:
        [(given, future)] = members
        try:
            future.set_result(run(given))
        except BaseException as error:
            future.set_exception(error)
        return
    try:
        whole = run({name: np.concatenate([given[name] for given, _ in members]) for name in members[0][0]})
        parts = _split(whole, [len(next(iter(given.values()))) for given, _ in members])
    except Exception:
        half = len(members) // 2
        _answer(run, members[:half])
        _answer(run, members[half:])
        return
    for (_, future), part in zip(members, parts, strict=True):
        future.set_result(part)


def _split(whole: Arrays, counts: Sequence[int]) -> list[dict[str, Any]]:
    if any(not values.ndim or len(values) != sum(counts) for values in whole.values()):
        raise ValueError("the answer is not by rows")
    ends = np.cumsum(counts)
    return [
        {name: values[end - count : end] for name, values in whole.items()}
        for end, count in zip(ends, counts, strict=True)
    ]


def _rows(signature: Signature, given: Arrays, outputs: Sequence[str]) -> int:
    """Rows of a request; 0 where its signature does not take and answer rows of any number."""
    tensors = [*signature.inputs.values(), *(signature.outputs[name] for name in outputs)]
    return len(next(iter(given.values()))) if given and all(map(_is_by_rows, tensors)) else 0


def _is_by_rows(tensor: Tensor) -> bool:
    return tensor.shape is not None and tensor.shape[:1] == (None,)
