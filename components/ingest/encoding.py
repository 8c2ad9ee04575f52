"""Turns rows into framed tf.Examples by split, for large data in processes of their own."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.column_names import check_name
from components.ingest.overflows import Overflows
from components.ingest.splits import Splits
from components.runtime.data import tfrecord
from components.runtime.data.example_columns import encode_batch
from components.runtime.data.examples import canonical, decode
from components.runtime.errors import InputError
from components.runtime.launch.forked import mapped

BATCH_BYTES = 8 << 20
"""What is encoded at once, and what one part of the data takes about."""

ENCODES = "encodes records"
"""What the processes do."""


class Rows(Protocol):
    """Rows that are decoded where they are encoded, which may be in another process."""

    @property
    def overflows(self) -> Overflows:
        """Numbers beyond float32, after the batches have been read."""
        ...

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
    """Records as they stand in a TFRecord file, by split.

    Attributes:
      rows: how many there are.
      framed: their bytes.
      left_out: how many rows are in no split.
      overflows: numbers beyond float32 in rows that were decoded where they were encoded.
    """

    rows: tuple[int, ...]
    framed: tuple[bytes, ...]
    left_out: int = 0
    overflows: Overflows = field(default_factory=Overflows)


def slices(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cuts a batch so that its tf.Examples, which repeat the names of the columns, stay small."""
    framing = sum(len(name.encode()) + 24 for name in rows.schema.names)
    size = max(1, int(BATCH_BYTES / (framing + rows.nbytes / rows.num_rows)))
    for start in range(0, rows.num_rows, size):
        yield rows.slice(start, size)


def encode(part: Part, names: tuple[str, ...], buckets: Splits | None, needed: tuple[str, ...] = ()) -> Encoded:
    """Encodes one part.

    Args:
      part: the rows.
      names: of the splits, in the order of the result.
      buckets: decides a record's split; None where the part names it.
      needed: columns without a value in which a row is left out; NaN is none.

    Raises:
      InputError: a record is not a tf.Example, or a table has no such column as `needed` names.
    """
    records, identities, left_out = _records(part, needed)
    if buckets is None:
        chosen = [list(range(len(records))) if name == part.split else [] for name in names]
    else:
        split_of_row = buckets.of(identities)
        chosen = [np.flatnonzero(split_of_row == split).tolist() for split in range(len(names))]
    return Encoded(
        tuple(len(rows) for rows in chosen),
        tuple(tfrecord.frame([records[row] for row in rows]) if rows else b"" for rows in chosen),
        left_out,
        Overflows() if isinstance(part.rows, list | pa.RecordBatch) else part.rows.overflows,
    )


def _records(part: Part, needed: tuple[str, ...]) -> tuple[list[bytes], list[bytes], int]:
    """Canonical records that have all values, what each says (see `runtime.examples.identity`), how many have not."""
    records: list[bytes] = []
    identities: list[bytes] = []
    left_out = 0
    if isinstance(part.rows, list):
        for number, record in enumerate(part.rows, part.first):
            try:
                whole, identity = canonical(record)
            except ValueError as error:
                raise InputError(f"{part.file}: record {number} is not a tf.Example: {error}") from None
            if needed and not all(map(_is_value, map(decode(whole).get, needed))):
                left_out += 1
                continue
            records.append(whole)
            identities.append(identity)
        return records, identities, left_out
    batches = [part.rows] if isinstance(part.rows, pa.RecordBatch) else part.rows.batches()
    for batch in batches:
        for rows in slices(batch):
            kept = _with_values(rows, needed, part.file)
            left_out += rows.num_rows - kept.num_rows
            if kept.num_rows:
                encoded = encode_batch(kept)
                records += encoded.examples.to_pylist()
                identities += encoded.identities.to_pylist()
    return records, identities, left_out


def _with_values(rows: pa.RecordBatch, needed: tuple[str, ...], file: str) -> pa.RecordBatch:
    for name in needed:
        check_name(name, rows.schema.names, "leave_out_without", file)
        # NaN is how pandas writes that there is no number.
        rows = rows.filter(pc.invert(rows.column(name).is_null(nan_is_null=True)))
    return rows


def _is_value(values: list[Any] | None) -> bool:
    """Whether a feature of a tf.Example has one; NaN is none."""
    return any(value == value for value in values or ())


def encode_all(
    parts: Iterator[Part],
    names: tuple[str, ...],
    buckets: Splits | None,
    needed: tuple[str, ...] = (),
    *,
    processes: int,
) -> AbstractContextManager[Iterator[Encoded]]:
    """Encodes all parts, in their order.

    Args:
      parts: read only as far ahead as the processes need, so that memory stays bounded.
      names: of the splits.
      buckets: see `encode`.
      needed: see `encode`.
      processes: how many to start; fewer than two encode in this one.
    """
    function = functools.partial(encode, names=names, buckets=buckets, needed=needed)
    return mapped(function, parts, processes, ENCODES)
