"""Finds the line of what is wrong in a CSV file; slow, and only used once reading has failed."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from typing import NoReturn

from components.ingest.csv_text import lines, open_text
from components.ingest.sources import SourceFile
from components.runtime.errors import InputError


def explain(file: SourceFile, width: int, otherwise: str) -> NoReturn:
    """Raises an InputError that names the line.

    Args:
      file: that could not be read.
      width: number of its columns.
      otherwise: the reader's own message, for what is not found here.
    """
    for first, last, record in _records(file):
        if len(record) != width:
            raise InputError(
                f"{file.name}: line {first}: a row of {_cells(len(record))}, the header has {width}{_hint(first, last)}"
            )
    raise InputError(f"{file.name}: not CSV: {otherwise}")


def explain_open_quote(file: SourceFile) -> NoReturn:
    """Raises an InputError that names the line at which the last record begins."""
    first, _, _ = deque(_records(file), maxlen=1).pop()
    raise InputError(f"{file.name}: line {first}: a quote in this row is never closed: close it or double it")


def _records(file: SourceFile) -> Iterator[tuple[int, int, list[str]]]:
    """Every record with the numbers of its first and last line."""
    with open_text(file) as stream:
        reader = csv.reader(lines(stream, file.name))
        before = 0
        try:
            for record in reader:
                if record:
                    yield before + 1, reader.line_num, record
                before = reader.line_num
        except csv.Error as error:
            raise InputError(f"{file.name}: line {reader.line_num}: not CSV: {error}") from None


def _cells(count: int) -> str:
    return f"{count} cell" if count == 1 else f"{count} cells"


def _hint(first: int, last: int) -> str:
    return f" (it goes on to line {last}: is a quote not closed?)" if last > first else ""
