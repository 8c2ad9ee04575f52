"""Turns rows into framed tf.Examples by split, for large data in processes of their own, in the order of the rows."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from components.ingest.columns import check_name
from components.ingest.splits import Splits
from components.runtime import tfrecord
from components.runtime.errors import InputError, TransientError
from components.runtime.examples import canonical, decode, encode_batch


@dataclass(frozen=True)
class Part:
    """Some rows of one file.

    Attributes:
      file: its name, for messages.
      split: the split that the whole file belongs to, None where hash buckets decide.
      rows: columns, or serialised tf.Examples.
      first: number of the first of them in the file, from 1.
    """

    file: str
    split: str | None
    rows: pa.RecordBatch | list[bytes]
    first: int = 1

    @property
    def size(self) -> int:
        """How many rows."""
        return len(self.rows)


@dataclass(frozen=True)
class Encoded:
    """Records as they stand in a TFRecord file, by split: their count and their bytes; how many are in no split."""

    rows: tuple[int, ...]
    framed: tuple[bytes, ...]
    left_out: int = 0


def encode(part: Part, names: tuple[str, ...], buckets: Splits | None, needed: tuple[str, ...] = ()) -> Encoded:
    """Encodes one part.

    Args:
      part: the rows.
      names: of the splits, in the order of the result.
      buckets: decides a record's split; None where the part names it.
      needed: columns without a value in which a row is left out.

    Raises:
      InputError: a record is not a tf.Example, or a table has no such column as `needed` names.
    """
    records, identities = _records(part, needed)
    if buckets is None:
        chosen = [list(range(len(records))) if name == part.split else [] for name in names]
    else:
        split_of_row = buckets.of(identities)
        chosen = [np.flatnonzero(split_of_row == split).tolist() for split in range(len(names))]
    return Encoded(
        tuple(len(rows) for rows in chosen),
        tuple(tfrecord.frame([records[row] for row in rows]) if rows else b"" for rows in chosen),
        part.size - len(records),
    )


def _records(part: Part, needed: tuple[str, ...]) -> tuple[list[bytes], list[bytes]]:
    """Canonical records that have all values, and what each says (see `components.runtime.examples.identity`)."""
    if isinstance(part.rows, pa.RecordBatch):
        rows = part.rows
        for name in needed:
            check_name(name, rows.schema.names, "leave_out_without", part.file)
            rows = rows.filter(rows.column(name).is_valid())
        if not rows.num_rows:
            return [], []
        encoded = encode_batch(rows)
        return encoded.examples.to_pylist(), encoded.identities.to_pylist()
    records, identities = [], []
    for number, record in enumerate(part.rows, part.first):
        try:
            whole, identity = canonical(record)
        except ValueError as error:
            raise InputError(f"{part.file}: record {number} is not a tf.Example: {error}") from None
        if needed and not all(decode(whole).get(name) for name in needed):
            continue
        records.append(whole)
        identities.append(identity)
    return records, identities


@contextmanager
def encoding(
    parts: Iterator[Part],
    names: tuple[str, ...],
    buckets: Splits | None,
    needed: tuple[str, ...] = (),
    *,
    processes: int,
) -> Iterator[Iterator[Encoded]]:
    """Encodes all parts, in their order.

    Args:
      parts: read only as far ahead as the processes need, so that memory stays bounded.
      names: of the splits.
      buckets: see `encode`.
      needed: see `encode`.
      processes: how many to start; 0 encodes in this one.
    """
    if not processes:
        yield (encode(part, names, buckets, needed) for part in parts)
        return
    # Forked before the writers start their threads.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("fork")) as pool:
        try:
            yield _in_order(pool, parts, names, buckets, needed, ahead=processes + 1)
        except BrokenProcessPool:
            raise TransientError("a process that encodes records was ended; the machine may be out of memory") from None
        finally:
            pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor,
    parts: Iterator[Part],
    names: tuple[str, ...],
    buckets: Splits | None,
    needed: tuple[str, ...],
    *,
    ahead: int,
) -> Iterator[Encoded]:
    waiting: deque[Future[Encoded]] = deque()
    for part in parts:
        waiting.append(pool.submit(encode, part, names, buckets, needed))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
