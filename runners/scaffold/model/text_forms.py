"""How the texts of a column are written: as dates, as numbers, or as numbers for people."""

from __future__ import annotations

import re
from typing import Any

from runners.scaffold.model.profile import TEXT, Column

ISO_DATE = re.compile(r"\d{4}[-/]\d{2}[-/]\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)? ?(Z|UTC|[+-]\d{2}:?\d{2})?")
OTHER_DATE = re.compile(r"\d{1,2}[/.]\d{1,2}[/.]\d{2,4}|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\w{3,9}\.? \d{1,2},? \d{4}")
_WRITTEN_NUMBER = re.compile(
    r"[-+(]?\s*(?:[$€£¥]|[A-Z]{3}\b)?\s*[-+]?(?:\d{1,3}(?:[,.' \u00a0\u202f]\d{3})+(?:[.,]\d+)?|\d+(?:[.,]\d+)?)"
    r"\s*(?:[$€£¥%]|[A-Z]{3})?\)?"
)

_NOTHING = {"na", "n/a", "nan", "null", "none", "nil", "missing", "unknown", "?", "-", "--", ".", "..", "#n/a", "n.a."}


def numbers_to_clean(column: Column) -> str:
    """What keeps a text from being the number that it is for people, such as `$1,234` or `5 %`; else nothing."""
    if column.kind != TEXT or not column.values or share(column, ISO_DATE.fullmatch) > 0.5:
        return ""
    if share(column, is_number) == 1 or share(column, _WRITTEN_NUMBER.fullmatch) < 0.95:
        return ""
    odd = next(value for value in column.counts if not is_number(value))
    return f"numbers written as {short(odd)}: clean them, as 1234.5"


def spelt_missing(column: Column) -> tuple[str, ...]:
    """The values that keep a column of numbers from being one, where they are words for nothing: `NA`, `?`."""
    if column.kind != TEXT or not column.values:
        return ()
    odd = [value for value in column.counts if not is_number(value)]
    if not odd or len(odd) == column.distinct or any(value.strip().lower() not in _NOTHING for value in odd):
        return ()
    return tuple(odd)


def share(column: Column, holds: Any) -> float:
    """Of the values, those for which something holds."""
    total = sum(column.counts.values())
    return sum(count for value, count in column.counts.items() if holds(value.strip())) / total if total else 0.0


def is_number(text: str) -> bool:
    """Whether a text is a number as programs write it."""
    return re.fullmatch(r"\s*[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?\s*", text) is not None


def short(value: Any) -> str:
    """A value in quotes, its beginning where it is long."""
    text = str(value)
    return repr(text if len(text) <= 30 else f"{text[:27]}...")
