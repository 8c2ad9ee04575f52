"""Finds the single cells for which columns of numbers are text: `n/a`, or a number with a comma."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
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
_MANY = range(_FEW + 1)

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


@dataclass(frozen=True)
class OddCells:
    """What some cells of a column say about why it is text.

    Attributes:
      first: which of the cells, from 0, is the first that is no number.
      cells: those that are none, each once, the first ones first; not more of them than tell that there are many.
      mostly: whether more cells are no numbers than are.
      marked: whether all of those are numbers with a decimal comma or with marks between the thousands.
      commas: whether all of those are numbers with a decimal comma.
      wide: whether all cells are numbers, and the first of `cells` is an integer beyond 64 bits.
    """

    first: int
    cells: list[str]
    mostly: bool
    marked: bool
    commas: bool
    wide: bool = False

    @classmethod
    def of(cls, cells: pa.StringArray, decimal: str) -> OddCells:
        """Looks at cells as text, null where missing, of which at least one is no number, or is wide."""
        places = np.flatnonzero(~columns.are_numbers(cells, decimal))
        values = len(cells) - cells.null_count
        if not len(places):
            first = next(place for place, cell in enumerate(cells.to_pylist()) if cell and columns.is_wide(cell))
            return cls(first, [cells[first].as_py()], values < 2, marked=False, commas=False, wide=True)
        odd = pc.unique(cells.take(pa.array(places))).to_pylist()
        return cls(
            int(places[0]),
            odd[: _FEW + 1],
            values - len(places) < len(places),
            marked=all(map(_is_marked_number, odd)),
            commas=all(map(_WITH_COMMA.fullmatch, odd)),
        )


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
        begins = before is not Kind.BYTES
        if after is not Kind.BYTES or not (begins or name in self._open):
            return
        if found := _odd(cells, self.options.decimal, begins=begins):
            self.take(name, before, found, header, file, row)

    def take(self, name: str, before: Kind, odd: OddCells, header: Header, file: SourceFile, row: int) -> None:
        """Takes what some cells say; arguments as of `look`."""
        if before is not Kind.BYTES:
            if before is Kind.MISSING and odd.mostly and not odd.marked:
                return
            self._causes[name] = TextCause(name, file, row + odd.first + 1, odd.cells[:1])
            self._headers[file.path] = header
            self._open.add(name)
        elif name not in self._open or odd.wide:
            return
        known = self._causes[name].cells
        known += [cell for cell in odd.cells if cell not in known]
        if len(known) > _FEW:
            del known[2 if odd.commas and all(map(_WITH_COMMA.fullmatch, known)) else 1 :]
            self._open.discard(name)

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


@dataclass
class TextEvidence:
    """What one file says about why columns are text, where nobody knows what the files before it say."""

    options: CsvOptions
    _seen: dict[str, list[tuple[Kind, OddCells, int]]] = field(default_factory=dict)
    _cells: dict[str, set[str]] = field(default_factory=dict)

    def look(
        self, name: str, before: Kind, after: Kind, cells: pa.StringArray, header: Header, file: SourceFile, row: int
    ) -> None:
        """Takes some cells of a column; arguments as of `TextCauses.look`, `before` and `after` by this file alone."""
        begins = before is not Kind.BYTES
        if after is not Kind.BYTES or not (begins or len(self._cells.get(name, _MANY)) <= _FEW):
            return
        found, known = _odd(cells, self.options.decimal, begins=begins), self._cells.setdefault(name, set())
        if found and not known.issuperset(found.cells):
            self._seen.setdefault(name, []).append((before, found, row))
            known.update(found.cells)

    def tell(self, causes: TextCauses, kinds: Mapping[str, Kind], header: Header, file: SourceFile) -> None:
        """Tells it to who has heard all files before.

        Args:
          causes: gets it.
          kinds: of the columns, by the files before.
          header: of the file.
          file: the file.
        """
        for name, seen in self._seen.items():
            for before, odd, row in seen:
                causes.take(name, max(before, kinds[name]), odd, header, file, row)


def _odd(cells: pa.StringArray, decimal: str, *, begins: bool) -> OddCells | None:
    """What cells say; None where all are numbers and are not the first for which their column is text."""
    if not begins:
        cells = pc.unique(cells)
        if bool(columns.are_numbers(cells, decimal).all()):
            return None
    return OddCells.of(cells, decimal)
