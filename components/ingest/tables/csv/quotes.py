"""Quotes of CSV files by RFC 4180, section 2: whether text follows a closing one, and whether one is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pyarrow as pa

from components.ingest.tables.csv.arrow_reader import Readable
from components.ingest.tables.csv.options import UTF8_MARK

NEVER_CLOSED = "a quote in this row is never closed: close it or double it"
TEXT_BEHIND = "text follows a closing quote in this row: close the quote left open, or double those within a cell"


def pattern(delimiter: str) -> re.Pattern[bytes]:
    """What fits all of a text whose closing quotes have no text behind them, and none that has.

    It begins at the beginning of a cell. Its groups are the last cell, None where that has no quotes or a delimiter or
    a line's end follows, and the quote at the end of that cell, which may close it or be the first of a doubled one.
    Quotes within a cell that begins with none are text, as they are to Arrow's reader and Python's.
    """
    end = re.escape(delimiter).encode() + rb"\r\n"
    cell = rb'"[^"]*+(?:""[^"]*+)*+'
    closed, within = rb'(?<![^%s])%s"(?=[%s])' % (end, cell, end), rb'(?<=[^%s])"' % end
    # Nothing in it is tried twice, so that it takes a time by the length of the text alone.
    return re.compile(rb'(?:[^"]*+(?:%s|%s))*+[^"]*+(?:(%s)("?+))?+' % (closed, within, cell))


def fault(lines: Iterable[str], delimiter: str) -> str:
    """What is wrong with the quotes in the lines of one record, empty if nothing is."""
    found = pattern(delimiter).fullmatch("".join(lines).encode())
    if found is None:
        return TEXT_BEHIND
    return NEVER_CLOSED if found[1] and not found[2] else ""


class CheckedQuotes:
    """A stream of CSV that is looked through while it is read: Arrow takes text behind a closing quote into the cell.

    Attributes:
      open: whether what was read ends within quotes.
    """

    def __init__(self, stream: Readable, delimiter: str) -> None:
        """Takes a stream at its beginning."""
        self.open = False
        self._stream = stream
        self._pattern = pattern(delimiter)
        self._before: bytes | None = None

    def read(self, size: int, /) -> bytes:
        """The next bytes, empty at the end.

        Raises:
          pa.ArrowInvalid: text follows a closing quote, as Arrow's reader tells what is no CSV.
        """
        data = self._stream.read(size)
        if data:
            self._look(data)
        return data

    def _look(self, data: bytes) -> None:
        # What stands for all that was read before: its last byte, or the quotes of the cell that goes on.
        before = self._before
        if before is None:
            before, data = b"", data.removeprefix(UTF8_MARK)
        if b'"' not in data and not before.startswith(b'"'):
            self._before = data[-1:]
            return
        found = self._pattern.fullmatch(before + data)
        if found is None:
            raise pa.ArrowInvalid(TEXT_BEHIND)
        self.open = bool(found[1]) and not found[2]
        # (A quote at the end that is text of a cell without quotes is no beginning of one.)
        self._before = b'"' + found[2] if found[1] else data[-1:].replace(b'"', b"\0")
