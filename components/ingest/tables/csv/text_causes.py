"""Finds the single cells for which columns of numbers are text: `n/a`, or a number with a comma."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.sources import SourceFile
from components.ingest.tables import columns
from components.ingest.tables.columns import Kind
from components.ingest.tables.csv import faults
from components.ingest.tables.csv.header import Header
from components.ingest.tables.csv.options import CsvOptions

_FEW = 8
"""Different cells that may be marks of missing values; with more of them, a column is text."""

_SHOWN_CHARACTERS = 40
_WITH_COMMA = re.compile(r"\s*[+-]?[0-9]*,[0-9]+\s*")
_WITH_THOUSANDS = re.compile(r"\s*[+-]?[0-9]{1,3}([.,' ])[0-9]{3}(\1[0-9]{3})*([.,][0-9]+)?\s*")


@dataclass
class TextCause:
    """Why a column is text though it is nearly all numbers.

    Attributes:
      column: its name.
      file: the first file with such a cell.
      row: of it, in that file, from 1.
      cells: that are no numbers, the first one first; that one alone where there are many.
      line: of the first; 0 where it is very far behind.
    """

    column: str
    file: SourceFile
    row: int
    cells: list[str]
    line: int = 0

    @property
    def where(self) -> str:
        """Line and file of the first cell."""
        return f"line {self.line:,} of {self.file.name}" if self.line else f"row {self.row:,} of {self.file.name}"

    @property
    def mend(self) -> str:
        """Which setting makes it a column of numbers, if any."""
        if all(_WITH_COMMA.fullmatch(cell) for cell in self.cells):
            return 'if commas stand before the decimals, set decimal: ","'
        if all(map(_is_marked_number, self.cells)):
            return "write numbers without marks between the thousands"
        if columns.is_wide(self.cells[0]):
            return "it is an integer beyond 64 bits"
        if len(self.cells) > 1 or len(self.cells[0]) <= _SHOWN_CHARACTERS:
            marks = ", ".join(json.dumps(cell) for cell in self.cells if len(cell) <= _SHOWN_CHARACTERS)
            return f"if it is a missing value, set null_values: [{marks}]"
        return ""

    def told(self, *, cells: bool) -> str:
        """One line about it.

        Args:
          cells: whether what stands in the data may be told.
        """
        what = repr(shortened(self.cells[0])) if cells else "a cell that is no number"
        mend = f": {self.mend}" if cells and self.mend else ""
        return f"column {self.column!r} is text because of {what} in {self.where}{mend}"


def _is_marked_number(cell: str) -> bool:
    """Whether a cell is a number with a decimal comma or with marks between the thousands."""
    return any(pattern.fullmatch(cell) for pattern in (_WITH_COMMA, _WITH_THOUSANDS))


def shortened(cell: str) -> str:
    """A cell of at most some characters."""
    return cell if len(cell) <= _SHOWN_CHARACTERS else f"{cell[: _SHOWN_CHARACTERS - 1]}…"


@dataclass
class TextCauses:
    """Looks at the cells of columns while their types are found."""

    options: CsvOptions
    _causes: dict[str, TextCause] = field(default_factory=dict)
    _open: set[str] = field(default_factory=set)
    _headers: dict[str, Header] = field(default_factory=dict)

    def look(
        self, name: str, before: Kind, after: Kind, cells: pa.StringArray, header: Header, file: SourceFile, row: int
    ) -> None:
        """Takes some cells of a column.

        Args:
          name: of the column.
          before: its type before these cells.
          after: its type with them.
          cells: as text, null where missing.
          header: of the file.
          file: that they are of.
          row: how many rows of it come before them.
        """
        if after is not Kind.BYTES or (before is Kind.BYTES and name not in self._open):
            return
        numbers = columns.are_numbers(cells, self.options.decimal)
        places = np.flatnonzero(~numbers)
        if before is not Kind.BYTES:
            self._begin(name, before, cells, places, header, file, row)
        elif len(places):
            self._add(name, pc.unique(cells.take(pa.array(places))).to_pylist())

    def found(self) -> list[TextCause]:
        """What was found, with its lines."""
        by_file: dict[str, list[TextCause]] = defaultdict(list)
        for cause in self._causes.values():
            by_file[cause.file.path].append(cause)
        for path, causes in by_file.items():
            found = faults.lines_of(causes[0].file, self.options, self._headers[path], (cause.row for cause in causes))
            for cause in causes:
                cause.line = found.get(cause.row, 0)
        return list(self._causes.values())

    def _begin(
        self,
        name: str,
        before: Kind,
        cells: pa.StringArray,
        places: npt.NDArray[np.int64],
        header: Header,
        file: SourceFile,
        row: int,
    ) -> None:
        if not len(places):
            # Integers, one of which is beyond 64 bits.
            wide = (place for place, cell in enumerate(cells.to_pylist()) if cell and columns.is_wide(cell))
            places = np.array([next(wide)])
        odd = pc.unique(cells.take(pa.array(places))).to_pylist()
        numbers = len(cells) - cells.null_count - len(places)
        if before is Kind.MISSING and numbers < len(places) and not all(map(_is_marked_number, odd)):
            return
        self._causes[name] = TextCause(name, file, row + int(places[0]) + 1, odd[:1])
        self._headers[file.path] = header
        self._open.add(name)
        self._add(name, odd)

    def _add(self, name: str, odd: list[str]) -> None:
        known = self._causes[name].cells
        known += [cell for cell in odd if cell not in known]
        commas = all(map(_WITH_COMMA.fullmatch, known))
        if len(known) > _FEW:
            del known[2 if commas else 1 :]
            self._open.discard(name)
