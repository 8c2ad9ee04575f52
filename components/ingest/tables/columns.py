"""Types of CSV columns, inferred as TFX does from every cell: int64, else float32, else bytes.

Where Arrow's idea of a number differs from Python's, which TFX goes by, Python's counts: `0x1F` is text, ` 5` and `+5`
are integers. Unlike in TFX, `1_000` and digits of other scripts are text. As in TFX, an integer beyond 64 bits makes
its column text, because a float would not keep it.
"""

from __future__ import annotations

import re
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


class Kind(IntEnum):
    """The type of a column; a column takes the greatest of its cells' kinds."""

    MISSING = 0
    INT = 1
    FLOAT = 2
    BYTES = 3

    @property
    def arrow(self) -> pa.DataType:
        """The type of the column's values."""
        return {Kind.MISSING: pa.null(), Kind.INT: pa.int64(), Kind.FLOAT: pa.float32(), Kind.BYTES: pa.string()}[self]

    @property
    def label(self) -> str:
        """The type's name in TensorFlow; `missing` for a column without values."""
        return {Kind.MISSING: "missing", Kind.INT: "int64", Kind.FLOAT: "float32", Kind.BYTES: "bytes"}[self]


_INTEGER = r"^[+-]?[0-9]+$"
_FLOAT = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?(?i:inf|infinity|nan)$"
# Characters by which Arrow may take text for a number, or a number for text.
_ODD = np.zeros(256, np.bool_)
_ODD[np.frombuffer(b"xX(+ \t\r\n\v\f\xc2\xe1\xe2\xe3", np.uint8)] = True
_LONG_INTEGER = 9.2e18


def infer(cells: pa.StringArray, known: Kind, decimal: str = ".") -> Kind:
    """The kind of a column after more of its cells.

    Args:
      cells: as text, null where missing.
      known: the kind of the cells before them.
      decimal: the mark before the decimals of a number, `.` or `,`.
    """
    if known is Kind.BYTES or cells.null_count == len(cells):
        return known
    cells = _with_point(cells, decimal)
    if not _odd(cells):
        if known is not Kind.FLOAT and _cast(cells, pa.int64()) is not None:
            return max(known, Kind.INT)
        floats = _cast(cells, pa.float64())
        if floats is not None:
            largest = pc.max(pc.abs(floats)).as_py()
            if largest is not None and largest < _LONG_INTEGER:
                return Kind.FLOAT
    return max(known, _infer_carefully(cells))


def are_numbers(cells: pa.StringArray, decimal: str = ".") -> npt.NDArray[np.bool_]:
    """Whether each cell holds digits that are a number; also of one that is missing.

    Args:
      cells: as text, null where missing.
      decimal: the mark before the decimals of a number, `.` or `,`.
    """
    tidy = _tidy(_with_point(cells, decimal))
    found = pc.or_(pc.match_substring_regex(tidy, _INTEGER), pc.match_substring_regex(tidy, _FLOAT))
    result: npt.NDArray[np.bool_] = pc.fill_null(found, True).to_numpy(zero_copy_only=False)
    return result


def without_zero_decimals(cells: pa.StringArray, decimal: str = ".") -> pa.StringArray:
    """Cells in which `12.0` is `12`, for a column that is known to be of integers.

    Args:
      cells: as text, null where missing.
      decimal: the mark before the decimals of a number, `.` or `,`.
    """
    if not pc.any(pc.match_substring(cells, decimal)).as_py():
        return cells
    return pc.replace_substring_regex(cells, rf"^(\s*[+-]?[0-9]+)[{decimal}]0*(\s*)$", r"\1\2")


def is_wide(cell: str) -> bool:
    """Whether a cell is an integer beyond 64 bits."""
    tidy = cell.strip()
    return re.fullmatch(_INTEGER, tidy) is not None and not -(2**63) <= int(tidy) < 2**63


def convert(cells: pa.StringArray, kind: Kind, decimal: str = ".") -> pa.Array:
    """The values of cells in a column of that kind.

    Args:
      cells: as text, null where missing.
      kind: of the column.
      decimal: the mark before the decimals of a number, `.` or `,`.

    Raises:
      ValueError: a cell is not of that kind.
    """
    if kind is Kind.BYTES:
        return cells
    if kind is Kind.MISSING:
        if cells.null_count < len(cells):
            raise ValueError("a value in a column that had none")
        return pa.nulls(len(cells))
    number = pa.int64() if kind is Kind.INT else pa.float64()
    cells = _with_point(cells, decimal)
    values = _cast(cells, number)
    if values is None:
        values = _cast(_tidy(cells), number)
    if values is None:
        raise ValueError(f"a value that is not of type {number}")
    return values if kind is Kind.INT else values.cast(pa.float32())


def _odd(cells: pa.StringArray) -> bool:
    data = cells.buffers()[2]
    return data is not None and bool(_ODD[np.frombuffer(data, np.uint8)].any())


def _cast(cells: pa.StringArray, kind: pa.DataType) -> pa.Array | None:
    try:
        return pc.cast(cells, kind)
    except pa.ArrowInvalid:
        return None


def _with_point(cells: pa.StringArray, decimal: str) -> pa.StringArray:
    """Numbers with a point before their decimals; one that has a point already is text where the mark is another."""
    if decimal == ".":
        return cells
    return pc.replace_substring(pc.replace_substring(cells, ".", "?"), decimal, ".")


def _tidy(cells: pa.StringArray) -> pa.StringArray:
    return pc.replace_substring_regex(pc.utf8_trim_whitespace(cells), r"^\+([0-9.a-zA-Z])", r"\1")


def _infer_carefully(cells: pa.StringArray) -> Kind:
    cells = _tidy(pc.drop_null(cells))
    integer = pc.match_substring_regex(cells, _INTEGER)
    if not pc.all(pc.or_(integer, pc.match_substring_regex(cells, _FLOAT))).as_py():
        return Kind.BYTES
    if _cast(cells.filter(integer), pa.int64()) is None:
        return Kind.BYTES
    return Kind.INT if pc.all(integer).as_py() else Kind.FLOAT
