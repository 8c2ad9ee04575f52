"""Rows in columns, as signatures take them, and what kind each column is of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from components.runtime.missing import where as missing

Array = np.ndarray[Any, Any]
Rows = Mapping[str, Array]
"""Values by feature; the first dimension is that of the rows. Missing are those of `components.runtime.missing`."""

Ask = Callable[[Rows], Array]
"""What a model answers to rows: float64 of shape [rows, answers]."""

NUMBER, TEXT, OTHER = "number", "text", "other"
"""Kinds of features: with one number or one text in a row; anything else (images, lists) is changed as a whole only."""

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_MOST_ROWS = 4096
_MOST_BYTES = 64 << 20


def kind(values: Array) -> str:
    """The kind of a feature by its values."""
    if values.ndim != 1:
        return OTHER
    if values.dtype.kind in "biuf":
        return NUMBER
    return TEXT if all(isinstance(each, bytes | str) and _is_text(each) for each in values.tolist()) else OTHER


def _is_text(value: bytes | str) -> bool:
    """Whether a person could read it: decodes, and has no control characters but those that divide lines."""
    try:
        text = value if isinstance(value, str) else value.decode()
    except UnicodeDecodeError:
        return False
    return not _CONTROL.search(text)


def told(value: Any) -> str | float | int | bool | None:
    """One value of a number or text as people and JSON have it; None where it is missing."""
    if missing(np.array([value], object if isinstance(value, bytes | str) else None))[0]:
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.floating):
        # By the digits that it has, not by those that 64 bits would add.
        return float(str(value))
    return value.item() if isinstance(value, np.generic) else value


def count(rows: Rows) -> int:
    """Number of rows."""
    return len(next(iter(rows.values())))


def take(rows: Rows, which: Any) -> dict[str, Array]:
    """Some of the rows, by an index of NumPy's."""
    return {name: values[which] for name, values in rows.items()}


def joined(*several: Rows) -> dict[str, Array]:
    """Rows behind others."""
    return {name: np.concatenate([each[name] for each in several]) for name in several[0]}


def rows_at_once(rows: Rows, most: int = _MOST_ROWS) -> int:
    """How many rows like these a model is asked at once, so that they take no more than 64 MiB."""
    size = 0.0
    for values in rows.values():
        few = values[:100]
        inside = sum(len(each) for each in few.tolist() if isinstance(each, bytes | str | list))
        size += few.nbytes / max(len(few), 1) + inside / max(len(few), 1)
    return int(max(1, min(most, _MOST_BYTES // max(size, 1.0))))


def in_batches(ask: Ask, rows: Rows, most: int = _MOST_ROWS) -> Array:
    """Asks about rows, not too many at once.

    Returns:
      The answers, shape [rows, answers].
    """
    step = rows_at_once(rows, most)
    parts = [ask(take(rows, slice(start, start + step))) for start in range(0, count(rows), step)]
    return np.concatenate(parts)
