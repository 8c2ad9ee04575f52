"""Finds the lines of what stands out in a CSV file; slow, and only used where reading failed or something is odd."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import NoReturn

from components.ingest.sources import SourceFile
from components.ingest.tables.csv import quotes
from components.ingest.tables.csv.header import Header, cells, delimiter_hint
from components.ingest.tables.csv.options import CsvOptions, written
from components.ingest.tables.csv.text import kept, lines, open_text
from components.runtime.errors import InputError

_ROWS_LOOKED_THROUGH = 200_000


def explain(file: SourceFile, options: CsvOptions, header: Header, otherwise: str) -> NoReturn:
    """Raises an InputError that names the line.

    Args:
      file: that could not be read.
      options: how it is written.
      header: its own.
      otherwise: the reader's own message, for what is not found here.
    """
    width = len(header.names)
    text: list[str] = []
    for first, last, record in _records(file, options, header, text):
        fault = quotes.fault(text, options.delimiter)
        if fault == quotes.TEXT_BEHIND:
            end = f" (to line {last})" if last > first else ""
            raise InputError(f"{file.name}: line {first}{end}: {fault}")
        if fault and len(record) == width:
            raise InputError(f"{file.name}: line {first}: {fault}")
        if len(record) != width:
            what = "the header has" if options.header else "column_names has"
            mend = f": {fault}" if fault and first == last else _mend(first, last, record, header, options)
            raise InputError(f"{file.name}: line {first}: a row of {cells(len(record))}, {what} {width}{mend}")
    raise InputError(f"{file.name}: not CSV: {otherwise}")


def lines_of(file: SourceFile, options: CsvOptions, header: Header, rows: Iterable[int]) -> dict[int, int]:
    """The lines at which rows begin, both counted from 1; without those that are very far behind."""
    wanted = {row for row in rows if row <= _ROWS_LOOKED_THROUGH}
    found: dict[int, int] = {}
    if wanted:
        for row, (first, _, _) in enumerate(_records(file, options, header), 0 if options.header else 1):
            if row in wanted:
                found[row] = first
                if len(found) == len(wanted):
                    break
    return found


def _records(
    file: SourceFile, options: CsvOptions, header: Header, of_record: list[str] | None = None
) -> Iterator[tuple[int, int, list[str]]]:
    """Every record, that of the header too, with the numbers of its first and last line; `of_record` has its lines."""
    of_record = [] if of_record is None else of_record
    skipped = header.lines_before
    with open_text(file, options.encoding) as stream:
        text = lines(stream, file.name)
        for _ in range(skipped):
            next(text, None)
        reader = csv.reader(kept(text, of_record), delimiter=options.delimiter)
        before = 0
        try:
            for record in reader:
                if record:
                    yield skipped + before + 1, skipped + reader.line_num, record
                before = reader.line_num
                of_record.clear()
        except csv.Error as error:
            raise InputError(f"{file.name}: line {skipped + reader.line_num}: not CSV: {error}") from None


def _mend(first: int, last: int, record: list[str], header: Header, options: CsvOptions) -> str:
    if last > first:
        return f" (it goes on to line {last}: is a quote not closed?)"
    if hint := delimiter_hint(options, header.names, record):
        return hint
    if len(record) < len(header.names):
        return ": add the missing cells, empty where there is no value, or take the line out"
    return f": put cells that hold a {written(options.delimiter)} in quotes, or take the line out"
