"""Writes the records of the splits as sharded TFRecords, each split compressed by a thread of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from components.runtime.data import tfrecord

SHARD_BYTES = 128 << 20
"""Uncompressed bytes after which a shard ends; of taxi trips 280,000 records, 14 MB compressed."""

_WAITING = 3


def divided(sizes: Iterable[int], shard_bytes: int = SHARD_BYTES) -> Iterator[tuple[int, int]]:
    """Which batches each shard has that `SplitWriter` writes: the first of them, and the one behind the last.

    Args:
      sizes: of the batches, framed and uncompressed.
      shard_bytes: as of `SplitWriter`.
    """
    first = behind = size = 0
    for behind, framed in enumerate(sizes, 1):
        size += framed
        if size >= shard_bytes:
            yield first, behind
            first, size = behind, 0
    if first < behind:
        yield first, behind


def shard_name(shard: int, shards: int) -> str:
    """The name of the file of a shard, from 0."""
    return f"data_tfrecord-{shard:05d}-of-{shards:05d}.gz"


class SplitWriter:
    """Writes `data_tfrecord-<shard>-of-<shards>.gz` into the folder of one split.

    The same records in the same order and in the same batches give the same bytes.
    """

    def __init__(self, folder: Path, *, shard_bytes: int = SHARD_BYTES, gzip_level: int = tfrecord.GZIP_LEVEL) -> None:
        """Starts the split in an empty folder."""
        self.rows = 0
        self._folder = folder
        self._shard_bytes = shard_bytes
        self._gzip_level = gzip_level
        self._shards = 0
        self._writer: tfrecord.Writer | None = None
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._tasks: deque[Future[None]] = deque()

    def append(self, framed: bytes, rows: int) -> None:
        """Appends what `tfrecord.frame` made; waits where the thread is behind, so that memory stays bounded.

        Raises:
          OSError: what an earlier batch met.
        """
        if not rows:
            return
        self.rows += rows
        while len(self._tasks) >= _WAITING:
            self._tasks.popleft().result()
        self._tasks.append(self._thread.submit(self._write, framed))

    def close(self) -> None:
        """Ends the last shard and gives all shards their names."""
        while self._tasks:
            self._tasks.popleft().result()
        self._thread.shutdown()
        if self._writer is None and self._shards == 0:
            self._start()
        if self._writer is not None:
            self._writer.close()
        for shard in range(self._shards):
            self._part(shard).rename(self._folder / shard_name(shard, self._shards))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)
        if kind is not None and self._writer is not None:
            self._writer.abandon()

    def _write(self, framed: bytes) -> None:
        writer = self._writer or self._start()
        writer.append(framed)
        if writer.framed_bytes >= self._shard_bytes:
            self._writer = None
            writer.close()

    def _start(self) -> tfrecord.Writer:
        self._writer = tfrecord.Writer(self._part(self._shards), gzip_level=self._gzip_level)
        self._shards += 1
        return self._writer

    def _part(self, shard: int) -> Path:
        return self._folder / f"{shard:05d}.part"
