"""Keeps the rows of an answer as Parquet, a file for each part, of which the same rows give the same bytes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet as pq

from components.query import columns
from components.query.answers import Answer, Asked, Part
from components.runtime.errors import InputError
from components.runtime.stage.progress import count

_PIECE_ROWS = 1024
_GROUP_BYTES = 32 << 20
"""Of the rows in memory of one row group; each part that is read at once holds so many."""


class _Stopped(Exception):
    """Another part has failed."""


class _Progress:
    """Counts the rows of all parts, and tells them to stop where one has failed."""

    def __init__(self) -> None:
        self.rows = 0
        self.stopped = False
        self._lock = threading.Lock()

    def add(self, rows: int) -> None:
        if self.stopped:
            raise _Stopped
        with self._lock:
            self.rows += rows
            count(self.rows, unit="rows", text="reading")


def write(answer: Answer, folder: Path, asked: Asked) -> tuple[int, int]:
    """Writes `part-<number>.parquet` for each part that has rows.

    Args:
      answer: what is written.
      folder: that gets the files.
      asked: for messages.

    Returns:
      The number of rows and that of columns.

    Raises:
      InputError: there are no rows, or columns of which nothing can be made.
      TransientError: the source was lost on the way.
    """
    progress = _Progress()
    with ThreadPoolExecutor(max_workers=len(answer.parts)) as threads:
        futures = [
            threads.submit(_write_part, part, folder / f"part-{number:05d}.parquet", asked, progress)
            for number, part in enumerate(answer.parts)
        ]
        wait(futures, return_when=FIRST_EXCEPTION)
        progress.stopped = any(future.done() and future.exception() for future in futures)
    # The first that failed by itself; others ended because of it.
    errors = [error for future in futures if (error := future.exception()) and not isinstance(error, _Stopped)]
    if errors:
        raise errors[0]
    if not progress.rows:
        raise InputError(f"{asked.place}: the answer has no rows: correct the query, or ask when there are some")
    return progress.rows, max(future.result() for future in futures)


def _write_part(part: Part, path: Path, asked: Asked, progress: _Progress) -> int:
    with part() as rows:
        schema = columns.kept(rows.schema, asked.place)
        with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
            written = 0
            for group in _groups(_converted(rows.batches, schema, asked, progress), schema):
                writer.write_table(group, row_group_size=group.num_rows)
                written += group.num_rows
    if not written:
        path.unlink()
    return len(schema)


def _converted(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, asked: Asked, progress: _Progress
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if not batch.num_rows:
            continue
        try:
            yield columns.converted(batch, schema)
        except ValueError as error:
            raise InputError(f"{asked.place}: {error}: cast or replace it in the query") from None
        progress.add(batch.num_rows)


def _groups(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows as row groups that begin and end at the same rows, however many came at once."""
    pieces: list[pa.Table] = []
    size, rest = 0, schema.empty_table()
    for batch in batches:
        rest = pa.concat_tables([rest, pa.Table.from_batches([batch])])
        whole = rest.num_rows // _PIECE_ROWS * _PIECE_ROWS
        for start in range(0, whole, _PIECE_ROWS):
            piece = rest.slice(start, _PIECE_ROWS)
            pieces.append(piece)
            size += piece.nbytes
            if size >= _GROUP_BYTES:
                yield pa.concat_tables(pieces).combine_chunks()
                pieces, size = [], 0
        rest = rest.slice(whole)
    if rest.num_rows:
        pieces.append(rest)
    if pieces:
        yield pa.concat_tables(pieces).combine_chunks()
