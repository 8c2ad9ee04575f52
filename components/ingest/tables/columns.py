"""Types of CSV columns, inferred as TFX does from every cell: int64, else float32, else bytes.

Where Arrow's idea of a number differs from Python's, which TFX goes by, Python's counts: `0x1F` is text, ` 5` and `+5`
are integers. Unlike in TFX, `1_000` and digits of other scripts are text. As in TFX, an integer beyond 64 bits makes
its column text, because a float would not keep it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.runtime.errors import InputError, did_you_mean


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


def check_name(name: str, known: Sequence[str], parameter: str, file: str) -> None:
    """Holds a column's name in a parameter against those of a file.

    Raises:
      InputError: the file has no such column.
    """
    if name not in known:
        hint = did_you_mean(str(name), known)
        names = ", ".join(quoted_if_odd(each) for each in known)
        raise InputError(f"{file}: no column {name!r}, which {parameter} names{hint}; it has: {names}")


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


def check_names(names: Sequence[str], file: str, hint: str = "give every column a name") -> None:
    """Holds the names of a file's columns against what can name features.

    Raises:
      InputError: none, an empty one, or one twice.
    """
    if not names:
        raise InputError(f"{file}: has no columns: write it again, or move it away")
    for place, name in enumerate(names, 1):
        if not name.strip():
            raise InputError(f"{file}: column {place} has no name: {hint}")
        if name in names[: place - 1]:
            first = names.index(name) + 1
            raise InputError(f"{file}: columns {first} and {place} are both named {name!r}: rename one of them")


def compare_names(names: Sequence[str], file: str, expected: Sequence[str], first: str) -> None:
    """Holds the columns of a file against those of the first one, in any order.

    Raises:
      InputError: they are others.
    """
    if sorted(names) == sorted(expected):
        return
    missing = [name for name in expected if name not in names]
    added = [name for name in names if name not in expected]
    parts = [f"lacks {_listing(missing)}"] if missing else []
    parts += [f"has {_listing(added)} besides"] if added else []
    raise InputError(f"{file}: other columns than {first}: {' and '.join(parts)}; give all files the same columns")


def quoted_if_odd(name: str) -> str:
    """A column's name, in quotes where blanks around it would not be seen."""
    return name if name == name.strip() else repr(name)


def _listing(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


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
