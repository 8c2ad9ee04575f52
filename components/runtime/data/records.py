"""Serialised tf.Examples in batches that fit into memory whatever the size of a record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from components.runtime.data import tfrecord
from components.runtime.errors import InputError

BATCH_ROWS = 4000
BATCH_BYTES = 16 << 20


def record_files(folder: Path) -> list[Path]:
    """The record files of a split, sorted by name.

    Raises:
      InputError: there are none.
    """
    files = sorted(file for file in folder.glob("*.gz") if not file.name.startswith("."))
    if not files:
        raise InputError(f"{folder}: no *.gz files of examples; make the examples again")
    return files


def batches(files: Sequence[Path]) -> Iterator[list[bytes]]:
    """Yields the records of files in order, at most BATCH_ROWS and about BATCH_BYTES at a time.

    Raises:
      InputError: a file is damaged.
    """
    batch: list[bytes] = []
    size = 0
    for file in files:
        for record in tfrecord.read(file):
            batch.append(record)
            size += len(record)
            if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch
