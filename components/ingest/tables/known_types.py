"""Columns of typed tables with the types that training had, and what training had not without a loss.

A format of 64-bit floats says little of what its columns are: pandas writes integers as float64 where rows have none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from components.ingest.tables.columns import Kind
from components.ingest.tables.table_columns import Column, is_list, plain, unify

_BEYOND_INT64 = 2.0**63

Reader = Callable[[Sequence[str]], Iterable[tuple[str, pa.Array]]]
"""Gives all values of these columns as they are stored, array by array, each with its column's name."""


@dataclass
class _Seen:
    """What a column of numbers is, as far as its values were seen.

    Attributes:
      whole: int64 holds them all, but for NaN, which is a missing value.
      short: float32 holds them all.
    """

    whole: bool = True
    short: bool = True

    def look(self, values: pa.Array, *, many: bool) -> None:
        """Takes in some values; in a list (`many`) none can be missing."""
        values = values.drop_null()
        if not pa.types.is_floating(values.type):
            # Of decimals, and of integers that another file has here: no float tells what they are.
            self.short = self.short and not len(values)
            self.whole = self.whole and _fits_int64(values)
            return
        numbers = values.to_numpy(zero_copy_only=False).astype(np.float64)
        missing = np.isnan(numbers)
        with np.errstate(over="ignore"):
            self.short = self.short and bool((missing | (numbers.astype(np.float32) == numbers)).all())
        if not many:
            numbers = numbers[~missing]
        whole = (np.abs(numbers) < _BEYOND_INT64) & (np.floor(numbers) == numbers)
        self.whole = self.whole and bool(whole.all())


Seen = dict[str, _Seen]
"""What columns of numbers are, by name."""


def as_known(
    columns: Mapping[str, Column], known: Mapping[str, Kind], read: Reader, unsigned: Collection[str] = ()
) -> dict[str, Column]:
    """Columns with the types that they had in training, where their values can have them.

    Floats without fractions are integers where training had integers. Numbers of a column that training had not, such
    as an id, are no inputs, and kept whatever it takes: as integers, as float32 where that holds them, else as text.

    Args:
      columns: of these files.
      known: the types in training, by name; none where the data alone tells them.
      read: reads the values of columns, where only these tell.
      unsigned: columns of integers of 64 bits without a sign, some of which int64 does not hold.
    """
    asked = in_question(columns, known, unsigned)
    return typed(columns, known, look(columns, asked, read) if asked else {})


def in_question(columns: Mapping[str, Column], known: Mapping[str, Kind], unsigned: Collection[str]) -> list[str]:
    """The columns whose values tell their type; arguments as of `as_known`."""
    return [
        name
        for name, each in columns.items()
        if known
        and (
            (each.kind is Kind.FLOAT and known.get(name, Kind.INT) is Kind.INT)
            or (name in unsigned and name not in known)
        )
    ]


def look(columns: Mapping[str, Column], asked: Sequence[str], read: Reader) -> Seen:
    """What the values of these columns are, in some of the files; other arguments as of `as_known`."""
    seen = {name: _Seen() for name in asked}
    for name, values in read(asked):
        stored = plain(values)
        seen[name].look(plain(stored.flatten()) if is_list(stored.type) else stored, many=columns[name].many)
    return seen


def joined(seen: Iterable[Seen]) -> Seen:
    """What `look` sees in all files, of what it saw in each."""
    every = list(seen)
    return {
        name: _Seen(all(each[name].whole for each in every), all(each[name].short for each in every))
        for name in every[0]
    }


def typed(columns: Mapping[str, Column], known: Mapping[str, Kind], seen: Seen) -> dict[str, Column]:
    """Columns with the types of `as_known`, by what their values are in all files."""
    if not known:
        return dict(columns)
    result = {}
    for name, column in columns.items():
        if name in seen and seen[name].whole:
            result[name] = replace(column, kind=Kind.INT)
        elif name in seen and name not in known and not seen[name].short:
            result[name] = replace(column, kind=Kind.BYTES)
        else:
            result[name] = unify(column, Column(known.get(name, Kind.MISSING))) or column
    return result


def _fits_int64(values: pa.Array) -> bool:
    try:
        values.cast(pa.int64())
    except pa.ArrowInvalid:
        return False
    return True
