"""The first lines of a CSV file: the names of its columns, and what tells that they are read in a wrong way."""

from __future__ import annotations

import csv
import itertools
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from components.ingest.column_names import check_names
from components.ingest.sources import SourceFile
from components.ingest.tables import columns
from components.ingest.tables.csv import quotes
from components.ingest.tables.csv.options import CsvOptions, written
from components.ingest.tables.csv.text import kept, lines, open_text
from components.runtime.errors import InputError

_DELIMITERS = (",", ";", "\t", "|")
_LOOKED_AT_LINES = 100
_SHOWN_NAMES = 5
_EXCEL_MARK = re.compile(r'("?)sep=(.)\1\r?\n?', re.IGNORECASE)
"""The first line by which Excel tells itself the delimiter."""


@dataclass(frozen=True)
class Header:
    """What the first lines of one file say.

    Attributes:
      names: of its columns, in their order.
      has_rows: whether there is a row.
      lines_before: lines before the header, or before the rows where there is none.
    """

    names: list[str]
    has_rows: bool
    lines_before: int

    @classmethod
    def read(cls, file: SourceFile, options: CsvOptions) -> Header:
        """Reads the first lines of a file.

        Args:
          file: from its beginning.
          options: how it is written.

        Raises:
          InputError: it is empty, its columns cannot be told apart, or it seems to have another delimiter or no header.
        """
        csv.field_size_limit(sys.maxsize)
        with open_text(file, options.encoding) as stream:
            text = lines(stream, file.name)
            first = next(text, "")
            before = _lines_before(first, file, options)
            if not before:
                text = itertools.chain([first], text)
            header_lines: list[str] = []
            reader = csv.reader(kept(text, header_lines), delimiter=options.delimiter)
            record = _record(reader, file)
            some = list(itertools.islice(text, _LOOKED_AT_LINES)) if options.header else []
            has_rows = not options.header or any(line.strip("\r\n") for line in itertools.chain(some, text))
        blank = sum(1 for _ in itertools.takewhile(lambda line: not line.strip("\r\n"), header_lines))
        fault = quotes.fault(header_lines, options.delimiter)
        misquoted = f"{file.name}: line {before + blank + 1}: {fault}"
        if fault == quotes.NEVER_CLOSED:
            raise InputError(misquoted)
        names = record if options.header else list(options.column_names)
        if not options.header and len(record) != len(names):
            raise InputError(
                f"{file.name}: line {before + reader.line_num}: a row of {cells(len(record))}, "
                f"column_names has {len(names)}{delimiter_hint(options, record)}"
            )
        if options.header and options.column_names:
            # Said by a person, they are names, whatever they look like.
            if record != list(options.column_names):
                raise InputError(
                    f"{file.name}: the first line has {_shown(record)}, "
                    f"and column_names {_shown(options.column_names)}; set "
                    "header: false if that line is a row, or correct column_names"
                )
        elif options.header:
            _check_delimiter(names, header_lines, some, file, options)
            _check(names, some, file, options, before + 1)
        # After the rest: text follows most closing quotes where the delimiter is another one.
        if fault:
            raise InputError(misquoted)
        return cls(names, has_rows, before)


def cells(count: int) -> str:
    """How many cells, in words."""
    return f"{count} cell" if count == 1 else f"{count} cells"


def delimiter_hint(options: CsvOptions, *records: Sequence[str]) -> str:
    """`, did you mean delimiter: ";"?`, where another delimiter cuts records into the same number of several cells.

    Args:
      options: how the file was read.
      records: as it gave them.
    """
    joined = [options.delimiter.join(record) for record in records]
    cells = {other: {text.count(other) for text in joined} for other in _DELIMITERS if other != options.delimiter}
    fitting = {other: counts.pop() for other, counts in cells.items() if len(counts) == 1}
    best = max(fitting, key=lambda other: fitting[other], default="")
    return f", did you mean delimiter: {written(best)}?" if best and fitting[best] else ""


def _lines_before(first: str, file: SourceFile, options: CsvOptions) -> int:
    mark = _EXCEL_MARK.fullmatch(first)
    if mark is None:
        return 0
    if mark[2] != options.delimiter:
        raise InputError(f"{file.name}: line 1 is sep={mark[2]} of Excel, did you mean delimiter: {written(mark[2])}?")
    return 1


def _record(reader: Iterator[list[str]], file: SourceFile) -> list[str]:
    try:
        record = next((record for record in reader if record), None)
    except csv.Error as error:
        raise InputError(f"{file.name}: not CSV: {error}") from None
    if record is None:
        raise InputError(f"{file.name}: an empty file: give it a header and rows, or move it away")
    return record


def _check_delimiter(
    names: list[str], header_lines: list[str], some: list[str], file: SourceFile, options: CsvOptions
) -> None:
    """Refuses a header in which commas stand within names and decimals, and another sign between the columns.

    Only of the default: a semicolon that was asked for goes well with decimal commas.
    """
    if options.delimiter != CsvOptions.delimiter or len(names) == 1 or not any(line.strip() for line in some):
        return
    for other in (each for each in _DELIMITERS if each != options.delimiter):
        odd = next((name for name in names if other in name), "")
        if odd and len(widths := _widths([*header_lines, *some], other)) == 1 and widths.pop() > 1:
            raise InputError(
                f"{file.name}: column {names.index(odd) + 1} is named {odd!r}, did you mean delimiter: "
                f"{written(other)}? (if that is its name, give column_names)"
            )


def _widths(some: Sequence[str], delimiter: str) -> set[int]:
    """How many cells the rows in some lines have."""
    return {len(row) for row in csv.reader(some, delimiter=delimiter) if row}


def _check(names: list[str], some: list[str], file: SourceFile, options: CsvOptions, line: int) -> None:
    if len(names) == 1 and (hint := delimiter_hint(options, names)):
        raise InputError(f"{file.name}: one column, named {names[0]!r}{hint} (if that is its name, give column_names)")
    widths = _widths(some, options.delimiter)
    if len(widths) == 1 and widths != {len(names)} and (names[0].startswith("#") or len(names) == 1 < len(some)):
        raise InputError(
            f"{file.name}: line {line} is {_shown(names)}, and the lines after it have {widths.pop()} cells: is it a "
            "comment or a title? Take it out: the first line must name the columns"
        )
    if _looks_like_a_row(names, some, options):
        raise InputError(
            f"{file.name}: no header? The first line is {_shown(names)}: if it is a row, set header: false and name "
            "the columns in column_names; if these are the names, give them as column_names"
        )
    check_names(names, file.name, "the first line must name every column")


def _looks_like_a_row(names: list[str], some: list[str], options: CsvOptions) -> bool:
    """Whether names are numbers: all of them, with decimals, the same twice, or beside values of their columns."""
    numbers = columns.are_numbers(pa.array(names), options.decimal)
    texts = [place for place, name in enumerate(names) if name.strip() and not numbers[place]]
    of_numbers = [name for name, is_number in zip(names, numbers, strict=True) if is_number]
    if not of_numbers:
        return False
    whole = all(re.fullmatch(r"[+-]?[0-9]+", name.strip()) for name in of_numbers)
    if not whole or len(set(of_numbers)) < len(of_numbers):
        return True
    rows = [row for row in csv.reader(some, delimiter=options.delimiter) if len(row) == len(names)]
    return all(any(row[place] == names[place] for row in rows) for place in texts)


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(repr(name) for name in names[:_SHOWN_NAMES]) + more
