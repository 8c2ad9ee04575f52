"""Turns rows into framed tf.Examples by split, for large data in processes of their own, in the order of the rows."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from components.ingest.splits import Splits
from components.runtime import tfrecord
from components.runtime.errors import InputError, TransientError
from components.runtime.examples import canonical, encode_batch

BATCH_BYTES = 8 << 20
"""What is encoded at once, and what one part of the data takes about."""


class Rows(Protocol):
    """Rows that are decoded where they are encoded, which may be in another process."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows."""
        ...


@dataclass(frozen=True)
class Part:
    """Some rows of one file.

    Attributes:
      file: its name, for messages.
      split: the split that the whole file belongs to, None where hash buckets decide.
      rows: columns, or what gives them, or serialised tf.Examples.
      first: number of the first of them in the file, from 1.
    """

    file: str
    split: str | None
    rows: pa.RecordBatch | list[bytes] | Rows
    first: int = 1


@dataclass(frozen=True)
class Encoded:
    """Records as they stand in a TFRecord file, by split: their count and their bytes."""

    rows: tuple[int, ...]
    framed: tuple[bytes, ...]


def slices(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cuts a batch so that its tf.Examples, which repeat the names of the columns, stay small."""
    framing = sum(len(name.encode()) + 24 for name in rows.schema.names)
    size = max(1, int(BATCH_BYTES / (framing + rows.nbytes / rows.num_rows)))
    for start in range(0, rows.num_rows, size):
        yield rows.slice(start, size)


def encode(part: Part, names: tuple[str, ...], buckets: Splits | None) -> Encoded:
    """Encodes one part.

    Args:
      part: the rows.
      names: of the splits, in the order of the result.
      buckets: decides a record's split; None where the part names it.

    Raises:
      InputError: a record is not a tf.Example.
    """
    records, identities = _records(part)
    if buckets is None:
        chosen = [list(range(len(records))) if name == part.split else [] for name in names]
    else:
        split_of_row = buckets.of(identities)
        chosen = [np.flatnonzero(split_of_row == split).tolist() for split in range(len(names))]
    return Encoded(
        tuple(len(rows) for rows in chosen),
        tuple(tfrecord.frame([records[row] for row in rows]) if rows else b"" for rows in chosen),
    )


def _records(part: Part) -> tuple[list[bytes], list[bytes]]:
    """Canonical records, and what each says (see `components.runtime.examples.identity`)."""
    if isinstance(part.rows, pa.RecordBatch):
        encoded = encode_batch(part.rows)
        return encoded.examples.to_pylist(), encoded.identities.to_pylist()
    records, identities = [], []
    if not isinstance(part.rows, list):
        for batch in part.rows.batches():
            for rows in slices(batch):
                encoded = encode_batch(rows)
                records += encoded.examples.to_pylist()
                identities += encoded.identities.to_pylist()
        return records, identities
    for number, record in enumerate(part.rows, part.first):
        try:
            whole, identity = canonical(record)
        except ValueError as error:
            raise InputError(f"{part.file}: record {number} is not a tf.Example: {error}") from None
        records.append(whole)
        identities.append(identity)
    return records, identities


@contextmanager
def encoding(
    parts: Iterator[Part], names: tuple[str, ...], buckets: Splits | None, *, processes: int
) -> Iterator[Iterator[Encoded]]:
    """Encodes all parts, in their order.

    Args:
      parts: read only as far ahead as the processes need, so that memory stays bounded.
      names: of the splits.
      buckets: see `encode`.
      processes: how many to start; 0 encodes in this one.
    """
    if not processes:
        yield (encode(part, names, buckets) for part in parts)
        return
    # Forked before the writers start their threads.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("fork")) as pool:
        try:
            yield _in_order(pool, parts, names, buckets, ahead=processes + 1)
        except BrokenProcessPool:
            raise TransientError("a process that encodes records was ended; the machine may be out of memory") from None
        finally:
            pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor, parts: Iterator[Part], names: tuple[str, ...], buckets: Splits | None, *, ahead: int
) -> Iterator[Encoded]:
    waiting: deque[Future[Encoded]] = deque()
    for part in parts:
        waiting.append(pool.submit(encode, part, names, buckets))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
