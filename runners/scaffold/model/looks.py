"""What a column looks like: a number, a category, a date, a text; or nothing that a model could learn from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from runners.scaffold.model import column_names
from runners.scaffold.model.leaks import leak, order_tells
from runners.scaffold.model.profile import BYTES, FLOAT, INTEGER, TEXT, Column, DataSet, Task
from runners.scaffold.model.text_forms import ISO_DATE, OTHER_DATE, is_number, numbers_to_clean, share, short

NUMERIC, SKEWED, FLAG, PLACE = "number", "skewed number", "flag", "place"
CATEGORY, CODE, FREE_TEXT = "category", "code", "text"
DATE, DAYS, SECONDS, MILLISECONDS = "date", "days", "seconds", "milliseconds"
PRESENCE, NOTHING = "presence", "nothing"

SECONDS_OF = {DAYS: 86_400, SECONDS: 1, MILLISECONDS: 1e-3}
"""Of moments that are numbers, what one is."""
_UNITS = {"days since 1970-01-01": DAYS, "seconds since 1970-01-01": SECONDS}
"""What ingest says of dates and moments of typed tables."""

DATE_AS_TEXT, DATE_AS_SECONDS = "a date as text", "a date as seconds since 1970"
DATE_AS_MILLISECONDS = "a date as milliseconds since 1970"
HANDLED = (DATE_AS_TEXT, DATE_AS_SECONDS, DATE_AS_MILLISECONDS)
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

_YEAR_2000, _YEAR_2100 = 946_684_800, 4_102_444_800


def look(column: Column, data: DataSet, task: Task, *, kept: bool = False) -> Look:
    """What a column looks like; `NOTHING` with the reason where a model does better without it.

    Args:
      column: the column.
      data: that it is of.
      task: what is to be predicted.
      kept: whether it is a feature even where it looks like an id or a leak.
    """
    if reason := _nothing(column) or numbers_to_clean(column):
        return Look(NOTHING, reason, (reason,))
    if column.unit in _UNITS and column.distinct != 1:
        return _moments(column, _UNITS[column.unit], "")
    if not kept and (reason := _id(column, data)):
        told = order_tells(column, data, task)
        return Look(NOTHING, f"{reason}; {told}" if told else reason, (reason, *([told] if told else [])))
    if not kept and (reason := leak(column, data, task)):
        return Look(NOTHING, reason, (reason,))
    if column.distinct == 1 or column.missing_share > 0.95:
        missing = f"{column.missing_share:.1%}" if column.missing_share < 0.9995 else "more than 99.9%"
        told = f"{missing} of its values are missing"
        return Look(PRESENCE, "whether there is a value", (told,))
    if column.kind == TEXT:
        return _text(column)
    return _number(column, data, kept=kept)


def _nothing(column: Column) -> str:
    if not column.values:
        return "empty: no row has a value"
    if column.kind == BYTES:
        return "bytes that are no text"
    if column.several:
        return "several values in a row"
    if column.distinct == 1 and not column.missing:
        return f"constant: every row has {short(next(iter(column.counts)))}"
    return ""


def _id(column: Column, data: DataSet) -> str:
    present = column.rows - column.missing
    if column.distinct < present or present < 20:
        return ""
    if column.kind == TEXT and _mean_words(column) < 4 and not share(column, ISO_DATE.fullmatch):
        return "an id: every row has a value of its own"
    if column.kind == INTEGER:
        span = max(column.values) - min(column.values) + 1
        if (
            column_names.words(column.name) & column_names.ID
            or not column_names.words(column.name)
            or span <= 1.2 * data.all_rows
        ):
            return "an id: every row has a number of its own"
    return ""


def _text(column: Column) -> Look:
    if (dates := share(column, ISO_DATE.fullmatch)) > 0.95:
        first, last = min(column.counts), max(column.counts)
        told = DATE_AS_TEXT if dates == 1 else f"{DATE_AS_TEXT}; {1 - dates:.1%} of its values are none"
        return Look(DATE, f"{first} to {last}", (told,))
    if share(column, OTHER_DATE.fullmatch) > 0.95:
        return Look(NOTHING, "dates that are not written as 2015-01-31", ("dates that are not written as 2015-01-31",))
    numbers = share(column, is_number)
    remarks: tuple[str, ...] = ()
    if numbers > 0.8:
        odd = next(value for value in column.counts if not is_number(value)) if numbers < 1 else ""
        remarks = (f"numbers as text{f', for {short(odd)} is none' if odd else ''}",)
    present = column.rows - column.missing
    if _mean_words(column) >= 4 and column.distinct > 0.2 * present:
        return Look(FREE_TEXT, f"{_mean_words(column):.0f} words on average", remarks)
    if told := _hardly_met(column):
        return Look(NOTHING, told, (*remarks, told))
    return Look(CATEGORY, f"{column.distinct:,} values", remarks)


def _hardly_met(column: Column) -> str:
    """Why a vocabulary of the values would be empty, or of a few rows; else nothing."""
    present = column.rows - column.missing
    frequent = sum(count for count in column.counts.values() if count >= rare(column.rows))
    if frequent < 0.1 * present or column.distinct > 0.5 * present:
        return f"{column.distinct:,} different values in {present:,} rows: hardly one is met often"
    return ""


def rare(rows: int) -> int:
    """What a value must be met how often to have a place in a vocabulary."""
    return 2 if rows < 500 else 5 if rows < 10_000 else 20


def _moments_as_integers(column: Column, named: set[str]) -> Look | None:
    """Of integers that are dates; None of others."""
    least, most = min(column.values), max(column.values)
    if named & column_names.TIMES and least > _YEAR_2000 / 3 and most < _YEAR_2100:
        return _moments(column, SECONDS, DATE_AS_SECONDS)
    # Beyond what else is counted, whatever the name.
    if least / 1000 > _YEAR_2000 / 3 and most / 1000 < _YEAR_2100 and column.distinct > FEW:
        return _moments(column, MILLISECONDS, DATE_AS_MILLISECONDS)
    if column.distinct > FEW and all(_is_digits_of_a_date(str(value)) for value in column.counts):
        told = "dates as integers, such as 20150131: write them as 2015-01-31"
        return Look(NUMERIC, f"{least} to {most}", (told,))
    return None


def _is_digits_of_a_date(digits: str) -> bool:
    try:
        return len(digits) == 8 and 1900 <= datetime.strptime(digits, "%Y%m%d").year <= 2100  # noqa: DTZ007
    except ValueError:
        return False


def _moments(column: Column, like: str, remark: str) -> Look:
    first, last = (
        (datetime(1970, 1, 1) + timedelta(seconds=of * SECONDS_OF[like])).date()  # noqa: DTZ001 (UTC)
        for of in (min(column.values), max(column.values))
    )
    return Look(like, f"{first} to {last}", (remark,) if remark else ())


def _number(column: Column, data: DataSet, *, kept: bool) -> Look:
    named = column_names.words(column.name)
    if column.name in data.families:
        return Look(NUMERIC, "one of many of its kind")
    if column.distinct == 2:
        return Look(FLAG, "two values")
    if column.kind == INTEGER:
        if (moments := _moments_as_integers(column, named)) is not None:
            return moments
        of = column_names.head(column.name)
        if of & (column_names.CODES | column_names.KEYS) and column.distinct > FEW:
            remarks: tuple[str, ...] = ("integers that look like codes",)
            if named & column_names.WITH_ZEROS:
                remarks += (f"zeros before them are lost; in a CSV --ingest 'text_columns=[{column.name}]' keeps them",)
            if told := _hardly_met(column):
                return Look(NUMERIC, told, remarks) if kept else Look(NOTHING, told, (*remarks, told))
            return Look(CODE, f"{column.distinct:,} codes", remarks)
        if column.distinct <= 5 or (of & column_names.CODES and column.distinct <= FEW):
            return Look(CATEGORY, f"{column.distinct} values", ("integers that look like categories",))
    if named & column_names.PLACES and column.kind == FLOAT:
        return Look(PLACE, "a coordinate")
    values = np.array(column.values, np.float64)
    if not np.isfinite(values).all():
        return Look(PLACE, "infinite values", ("infinite values",))
    if is_skewed(values):
        return Look(SKEWED, f"skewed: median {_plain(np.median(values))}, largest {_plain(values.max())}")
    return Look(NUMERIC, f"{_plain(values.min())} to {_plain(values.max())}")


def is_skewed(values: np.ndarray[Any, Any]) -> bool:
    """Whether numbers, none below 0, have a heavy tail that their logarithms do not have."""
    return bool(values.min() >= 0 and (skew := _skew(values)) > 2 and abs(_skew(np.log1p(values))) < skew / 2)


def _mean_words(column: Column) -> float:
    return sum(len(value.split()) for value in column.values) / len(column.values)


def _skew(values: np.ndarray[Any, Any]) -> float:
    deviation = values.std()
    return float(((values - values.mean()) ** 3).mean() / deviation**3) if deviation > 0 else 0.0


def _plain(number: float) -> str:
    return f"{number:,.4g}" if abs(number) < 10_000 else f"{number:,.0f}"
