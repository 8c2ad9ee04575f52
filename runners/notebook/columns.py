"""Rows of tf.Examples as columns of pandas, and rows that a person gives as dicts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from components.runtime.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def frame(rows: Iterable[Mapping[str, list[Any]]], n: int | None) -> pd.DataFrame:
    """The first `n` rows, or all, as a DataFrame.

    A column of which no row has several values holds these: int64 (Int64 where one is missing), float64, texts (bytes
    where they are none); any other holds lists. A number with a fraction is the shortest that is the float32 of the
    tf.Example: 27.05, not 27.049999.
    """
    import pandas as pd

    if n is not None and (not isinstance(n, int) or n < 0):
        raise InputError(f"expected a number of rows, 0 or more, not {n!r}")
    taken = list(itertools.islice(rows, n))
    names = sorted({name for row in taken for name in row}, key=str.encode)
    return pd.DataFrame({name: _column([row.get(name, []) for row in taken]) for name in names})


def _column(values: list[list[Any]]) -> Any:
    import pandas as pd

    kinds = {type(each) for value in values for each in value[:1]}
    if bytes in kinds:
        values = _texts(values)
    if any(len(value) > 1 for value in values):
        column = pd.Series([None] * len(values), dtype=object)
        for place, value in enumerate(values):
            column[place] = _shortest(value).tolist() if kinds == {float} else value
        return column
    single = [value[0] if value else None for value in values]
    if kinds == {int}:
        return pd.array(single, dtype="Int64") if None in single else np.array(single, np.int64)
    if kinds == {float}:
        return _shortest([math.nan if value is None else value for value in single])
    return pd.Series(single, dtype=object)


def _shortest(values: list[float]) -> Any:
    return np.array(values, np.float32).astype(str).astype(np.float64)


def _texts(values: list[list[bytes]]) -> list[list[Any]]:
    """Bytes as texts, where all of them are."""
    try:
        return [[each.decode() for each in value] for value in values]
    except UnicodeDecodeError:
        return values


def rows_of(given: Any) -> list[dict[str, Any]]:
    """Rows of whatever form as dicts by column; what is missing is None.

    Raises:
      InputError: it is none of a DataFrame, a dict of a row, and a list of these.
    """
    if hasattr(given, "to_dict") and hasattr(given, "columns"):
        given = given.to_dict("records")
    elif isinstance(given, Mapping):
        given = [given]
    elif hasattr(given, "to_dict"):
        # A row of a DataFrame.
        given = [given.to_dict()]
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise InputError(f"expected rows (a DataFrame, a dict, a list of dicts), not {type(given).__name__}")
    rows = []
    for number, row in enumerate(given):
        if not isinstance(row, Mapping):
            raise InputError(f"row {number}: expected a dict of raw values by column, not {type(row).__name__}")
        rows.append({str(name): None if is_missing(value) else value for name, value in row.items()})
    return rows


def is_missing(value: Any) -> bool:
    """Whether a value is none, as Python, NumPy and pandas have it."""
    return (
        value is None
        or (isinstance(value, float | np.floating) and math.isnan(value))
        or type(value).__name__ in ("NAType", "NaTType")
    )
