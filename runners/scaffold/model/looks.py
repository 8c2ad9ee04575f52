"""What a column looks like: a number, a category, a date, a text; or nothing that a model could learn from."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from runners.scaffold.model.profile import BYTES, FLOAT, INTEGER, TEXT, Column, DataSet, Task

NUMERIC, SKEWED, FLAG, PLACE = "number", "skewed number", "flag", "place"
CATEGORY, CODE, FREE_TEXT = "category", "code", "text"
DATE, SECONDS, PRESENCE, NOTHING = "date", "seconds", "presence", "nothing"

DATE_AS_TEXT, DATE_AS_SECONDS = "a date as text", "a date as seconds since 1970"
HANDLED = (DATE_AS_TEXT, DATE_AS_SECONDS)
"""Is marked in the schema, where the column looks like something else; what is done with it speaks for itself."""


@dataclass(frozen=True)
class Look:
    """What a column looks like.

    Attributes:
      like: one of the names above.
      why: in a few words.
      remarks: what looks wrong with it, or asks for a second look.
    """

    like: str
    why: str
    remarks: tuple[str, ...] = ()


FEW = 10
"""An integer of at most so many values may be a category."""
MOST_CATEGORIES = 1000
"""A vocabulary of more values is hardly one of categories."""

_ISO_DATE = re.compile(r"\d{4}[-/]\d{2}[-/]\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)? ?(Z|UTC|[+-]\d{2}:?\d{2})?")
_OTHER_DATE = re.compile(r"\d{1,2}[/.]\d{1,2}[/.]\d{2,4}|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\w{3,9}\.? \d{1,2},? \d{4}")
_TOKENS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

_ID = {"id", "ids", "uuid", "guid", "key", "index", "rownames", "rowid", "serial", "unnamed", "row"}
_CODES = {
    *(
        "code",
        "zip",
        "zipcode",
        "postcode",
        "postal",
        "tract",
        "area",
        "region",
        "district",
        "county",
        "state",
        "class",
    ),
    *(
        "category",
        "type",
        "kind",
        "group",
        "cluster",
        "month",
        "weekday",
        "day",
        "hour",
        "dow",
        "store",
        "shop",
        "branch",
    ),
    *("department", "team", "sector", "industry", "product", "brand", "channel", "status", "plan", "tier"),
}
_TIMES = {"time", "timestamp", "date", "datetime", "at", "created", "updated", "ts", "epoch", "seconds"}
_PLACES = {"lat", "latitude", "lon", "lng", "long", "longitude"}

_NOTHING = {"na", "n/a", "nan", "null", "none", "nil", "missing", "unknown", "?", "-", "--", ".", "..", "#n/a", "n.a."}

_ROWS_OF_A_PART = 5
"""Numbers are cut into parts of at least so many rows, to see whether one part has one label."""
_INFINITE = (math.inf, -math.inf)
_YEAR_2000, _YEAR_2100 = 946_684_800, 4_102_444_800


def words(name: str) -> set[str]:
    """The words of a column's name in small letters: of `pickup_latitude`, `StoreID`, `ZIP code`."""
    return {token.lower() for token in _TOKENS.findall(name)}


def look(column: Column, data: DataSet, task: Task, *, kept: bool = False) -> Look:
    """What a column looks like; `NOTHING` with the reason where a model does better without it.

    Args:
      column: the column.
      data: that it is of.
      task: what is to be predicted.
      kept: whether it is a feature even where it looks like an id or a leak.
    """
    if reason := _nothing(column):
        return Look(NOTHING, reason, (reason,))
    if not kept and (reason := _id(column, data) or _leak(column, data, task)):
        return Look(NOTHING, reason, (reason,))
    if column.distinct == 1 or column.missing_share > 0.95:
        share = f"{column.missing_share:.1%}" if column.missing_share < 0.9995 else "more than 99.9%"
        told = f"{share} of its values are missing"
        return Look(PRESENCE, "whether there is a value", (told,))
    if column.kind == TEXT:
        return _text(column)
    return _number(column, data)


def _nothing(column: Column) -> str:
    if not column.values:
        return "empty: no row has a value"
    if column.kind == BYTES:
        return "bytes that are no text"
    if column.several:
        return "several values in a row"
    if column.distinct == 1 and not column.missing:
        return f"constant: every row has {_short(next(iter(column.counts)))}"
    return ""


def _id(column: Column, data: DataSet) -> str:
    present = column.rows - column.missing
    if column.distinct < present or present < 20:
        return ""
    if column.kind == TEXT and _mean_words(column) < 4 and not _share(column, _ISO_DATE.fullmatch):
        return "an id: every row has a value of its own"
    if column.kind == INTEGER:
        span = max(column.values) - min(column.values) + 1
        if words(column.name) & _ID or not words(column.name) or span <= 1.2 * data.all_rows:
            return "an id: every row has a number of its own"
    return ""


def _text(column: Column) -> Look:
    if (dates := _share(column, _ISO_DATE.fullmatch)) > 0.95:
        first, last = min(column.counts), max(column.counts)
        told = DATE_AS_TEXT if dates == 1 else f"{DATE_AS_TEXT}; {1 - dates:.1%} of its values are none"
        return Look(DATE, f"{first} to {last}", (told,))
    if _share(column, _OTHER_DATE.fullmatch) > 0.95:
        return Look(NOTHING, "dates that are not written as 2015-01-31", ("a date as text, not written as 2015-01-31",))
    numbers = _share(column, _is_number)
    remarks: tuple[str, ...] = ()
    if numbers > 0.8:
        odd = next(value for value in column.counts if not _is_number(value)) if numbers < 1 else ""
        remarks = (f"numbers as text{f', for {_short(odd)} is none' if odd else ''}",)
    present = column.rows - column.missing
    if _mean_words(column) >= 4 and column.distinct > 0.2 * present:
        return Look(FREE_TEXT, f"{_mean_words(column):.0f} words on average", remarks)
    frequent = sum(count for count in column.counts.values() if count >= rare(column.rows))
    if frequent < 0.1 * present or column.distinct > 0.5 * present:
        told = f"{column.distinct:,} different values in {present:,} rows: hardly one is met often"
        return Look(NOTHING, told, (*remarks, told))
    return Look(CATEGORY, f"{column.distinct:,} values", remarks)


def rare(rows: int) -> int:
    """What a value must be met how often to have a place in a vocabulary."""
    return 2 if rows < 500 else 5 if rows < 10_000 else 20


def _number(column: Column, data: DataSet) -> Look:
    named = words(column.name)
    if column.name in data.families:
        return Look(NUMERIC, "one of many of its kind")
    if column.distinct == 2:
        return Look(FLAG, "two values")
    if column.kind == INTEGER:
        if column.values and named & _TIMES and min(column.values) > _YEAR_2000 / 3 and max(column.values) < _YEAR_2100:
            first, last = (datetime.fromtimestamp(of, UTC).date() for of in (min(column.values), max(column.values)))
            return Look(SECONDS, f"{first} to {last}", (DATE_AS_SECONDS,))
        if named & (_CODES | _ID) and column.distinct > FEW and "year" not in named:
            return Look(CODE, f"{column.distinct:,} codes", ("integers that look like codes",))
        if column.distinct <= 5 or (named & _CODES and column.distinct <= FEW):
            return Look(CATEGORY, f"{column.distinct} values", ("integers that look like categories",))
    if named & _PLACES and column.kind == FLOAT:
        return Look(PLACE, "a coordinate")
    values = np.array(column.values, np.float64)
    if not np.isfinite(values).all():
        return Look(PLACE, "some values are infinite", ("infinite values",))
    if values.min() >= 0 and (skew := _skew(values)) > 2 and _skew(np.log1p(values)) < skew / 2:
        return Look(SKEWED, f"skewed: median {_plain(np.median(values))}, largest {_plain(values.max())}")
    return Look(NUMERIC, f"{_plain(values.min())} to {_plain(values.max())}")


def _leak(column: Column, data: DataSet, task: Task) -> str:
    """Why a column may hold the answer: alone it tells the label of nearly every row; else nothing."""
    if task.kind not in ("binary", "classes", "number") or column.several:
        return ""
    pairs = [
        (value, label)
        for value, label in zip(data.records[column.name], data.records[task.label], strict=True)
        if value is not None and label is not None and not (value in _INFINITE or label in _INFINITE)
    ]
    if len(pairs) < 50:
        return ""
    told = f"a leak? alone it tells {task.label!r}"
    if task.kind == "number":
        return f"{told}: the correlation is 1" if column.kind in (INTEGER, FLOAT) and _correlated(pairs) else ""
    if column.kind == TEXT and column.distinct > 0.2 * len(pairs):
        return ""
    if column.kind != TEXT and column.distinct > 20:
        parts = min(200, len(pairs) // _ROWS_OF_A_PART)
        edges = np.quantile([value for value, _ in pairs], np.linspace(0, 1, parts + 1)[1:-1])
        pairs = list(
            zip(
                np.searchsorted(edges, [value for value, _ in pairs]).tolist(),
                (label for _, label in pairs),
                strict=True,
            )
        )
    groups: dict[Any, Counter[Any]] = {}
    for value, label in pairs:
        groups.setdefault(value, Counter())[label] += 1
    right = sum(max(labels.values()) for labels in groups.values()) / len(pairs)
    best = max(Counter(label for _, label in pairs).values()) / len(pairs)
    # Of what the most frequent class leaves to be told.
    return f"{told} of {right:.1%} of the rows" if right > 0.99 and (1 - right) <= 0.02 * (1 - best) else ""


def _correlated(pairs: list[tuple[Any, Any]]) -> bool:
    table = np.array(pairs, np.float64).T
    if table.std(axis=1).min() == 0:
        return False
    return bool(abs(np.asarray(np.corrcoef(table))[0, 1]) > 0.9999)


def _share(column: Column, holds: Any) -> float:
    """Of the values, those for which something holds."""
    total = sum(column.counts.values())
    return sum(count for value, count in column.counts.items() if holds(value.strip())) / total if total else 0.0


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\s*[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?\s*", text) is not None


def _mean_words(column: Column) -> float:
    return sum(len(value.split()) for value in column.values) / len(column.values)


def _skew(values: np.ndarray[Any, Any]) -> float:
    deviation = values.std()
    return float(((values - values.mean()) ** 3).mean() / deviation**3) if deviation > 0 else 0.0


def _plain(number: float) -> str:
    return f"{number:,.4g}" if abs(number) < 10_000 else f"{number:,.0f}"


def _short(value: Any) -> str:
    text = str(value)
    return repr(text if len(text) <= 30 else f"{text[:27]}...")


def spelt_missing(column: Column) -> tuple[str, ...]:
    """The values that keep a column of numbers from being one, where they are words for nothing: `NA`, `?`."""
    if column.kind != TEXT or not column.values:
        return ()
    odd = [value for value in column.counts if not _is_number(value)]
    if not odd or len(odd) == column.distinct or any(value.strip().lower() not in _NOTHING for value in odd):
        return ()
    return tuple(odd)
