"""What becomes of each column, as a line of preprocessing in the field's idiom, and why."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from runners.scaffold.model import looks
from runners.scaffold.model.looks import Look
from runners.scaffold.model.naming import safe_names
from runners.scaffold.model.profile import BINARY, CLASSES, LABELS, NUMBER, TEXT, Column, DataSet, Feature, Task
from runners.scaffold.model.python_text import call, literal, rounded, value

INDENT = 8
"""Blanks before an entry of the outputs."""

TELLING = 0.01
"""From this share of missing values on, whether one is missing is a feature of its own."""

BUCKETS = 10
LONGEST_NAME = 50


def features(
    data: DataSet, task: Task, *, kept: Collection[str] = (), left_out: Collection[str] = ()
) -> tuple[Feature, ...]:
    """What becomes of every column but the labels.

    Args:
      data: the data set.
      task: what is to be predicted.
      kept: columns that are features whatever they look like.
      left_out: columns that are none.
    """
    columns = [column for name, column in data.columns.items() if name not in task.labels]
    names = safe_names([column.name for column in columns], taken=["label"])
    return tuple(_feature(column, names[column.name], data, task, kept, left_out) for column in columns)


def reference(name: str) -> str:
    """A raw feature, as Python; a name that no line has room for stands in a constant."""
    return f"inputs[{constant_of(name) or literal(name)}]"


def constant_of(name: str) -> str:
    """The constant that stands for a long name; empty where the name stands for itself."""
    return f"COLUMN_{next(iter(safe_names([name]).values())).upper()}" if len(literal(name)) > LONGEST_NAME else ""


def _feature(
    column: Column, name: str, data: DataSet, task: Task, kept: Collection[str], left_out: Collection[str]
) -> Feature:
    if column.name in left_out:
        return Feature(column.name, name, "", "asked for with --leave-out")
    look = looks.look(column, data, task, kept=column.name in kept)
    if look.like == looks.NOTHING:
        return Feature(column.name, name, "", look.why, remarks=look.remarks)
    treatment, make = _TREATMENTS[look.like]
    lines = make(column, name) if look.like not in looks.SECONDS_OF else _dates(column, name, look.like)
    remarks = look.remarks
    share = column.missing_share
    if share > 0.5 and look.like != looks.PRESENCE:
        remarks = (*remarks, "mostly missing")
    if share >= TELLING and look.like in (
        looks.NUMERIC,
        looks.SKEWED,
        looks.FLAG,
        looks.PLACE,
        looks.DATE,
        *looks.SECONDS_OF,
    ):
        lines = [*lines, *_presence(column, name, "_missing")]
    return Feature(column.name, name, treatment, _why(look, share), tuple(lines), remarks)


def _why(look: Look, missing: float) -> str:
    if not missing or look.like == looks.PRESENCE:
        return look.why
    return f"{look.why}; {f'{missing:.1%}' if missing >= 0.001 else 'less than 0.1%'} missing"


def _entry(name: str, function: str, arguments: list[str]) -> str:
    return call(function, arguments, INDENT, f'"{name}_xf": ')


def _read(column: Column, function: str, missing: str = "") -> str:
    """A raw column as a dense one; `missing` is named where a value was missing."""
    given = f", missing={missing}" if missing and column.missing else ""
    return f"columns.{function}({reference(column.name)}{given})"


def _number_of(column: Column) -> str:
    return _read(column, "number", rounded(statistics.median(column.values)))


def _scaled(column: Column, name: str) -> list[str]:
    return [_entry(name, "tft.scale_to_z_score", [_number_of(column)])]


def _log_scaled(column: Column, name: str) -> list[str]:
    return [_entry(name, "tft.scale_to_z_score", [f"tf.math.log1p({_number_of(column)})"])]


def _buckets(column: Column, name: str) -> list[str]:
    return [_entry(name, "tft.bucketize", [_number_of(column), f"num_buckets={BUCKETS}"])]


def _presence(column: Column, name: str, suffix: str = "") -> list[str]:
    return [_entry(f"{name}{suffix}", "columns.is_missing", [reference(column.name)])]


def _vocabulary(column: Column, name: str) -> list[str]:
    """By the function `category` of the file."""
    return [_entry(name, "category", [reference(column.name), f'"{name}"'])]


def _text(column: Column, name: str) -> list[str]:
    return [_entry(name, "columns.text", [reference(column.name)])]


def _dates(column: Column, name: str, like: str = looks.DATE) -> list[str]:
    """Where in time a date lies, and where in the year, the week and the day, as far as the data has more than one."""
    days = sorted(day for day in (_day(value, like) for value in column.values) if day is not None)
    median = round(statistics.median(days))
    if like in (looks.DATE, looks.SECONDS):
        read = _read(column, "days", rounded(median))
    else:
        units = round(86_400 / looks.SECONDS_OF[like])
        read = _read(column, "number", rounded(median * units)) + (f" / {units}" if units != 1 else "")
    lines = [_entry(name, "tft.scale_to_z_score", [read])]
    span, whole = days[-1] - days[0], {int(day) for day in days}
    if span > 180:
        lines.append(_entry(f"{name}_year", "columns.cyclic", [read, "period=365.25"]))
    if span >= 14 and len({day % 7 for day in whole}) > 2 and len(whole) > span / 20:
        lines.append(_entry(f"{name}_week", "columns.cyclic", [read, "period=7"]))
    if any(day % 1 for day in days):
        lines.append(_entry(f"{name}_day", "columns.cyclic", [read, "period=1"]))
    return lines


def _day(of: object, like: str) -> float | None:
    """Days since 1970-01-01 of a text or of a number."""
    if isinstance(of, int | float):
        return of * looks.SECONDS_OF[like] / 86_400
    try:
        moment = datetime.fromisoformat(str(of).strip().replace(" UTC", "").replace("/", "-")).replace(tzinfo=None)
    except ValueError:
        return None
    return (moment - datetime(1970, 1, 1)).total_seconds() / 86_400  # noqa: DTZ001 (both as they are written)


_TREATMENTS: Mapping[str, tuple[str, Callable[[Column, str], list[str]]]] = {
    looks.NUMERIC: ("z-score", _scaled),
    looks.SKEWED: ("log, z-score", _log_scaled),
    looks.FLAG: ("z-score", _scaled),
    looks.PLACE: ("buckets", _buckets),
    looks.CATEGORY: ("vocabulary", _vocabulary),
    looks.CODE: ("vocabulary", _vocabulary),
    looks.FREE_TEXT: ("text", _text),
    looks.DATE: ("date", _dates),
    **dict.fromkeys(looks.SECONDS_OF, ("date", _dates)),
    looks.PRESENCE: ("missing or not", _presence),
}


def label_line(data: DataSet, task: Task) -> str:
    """The label's entry of the outputs."""
    column = data.columns[task.label]
    read = reference(task.label)
    if task.kind == NUMBER:
        return call("columns.number", [read], INDENT, "LABEL: ")
    if task.kind == BINARY:
        if set(column.counts) == {0, 1} and task.positive == 1:
            return call("columns.integer", [read], INDENT, "LABEL: ")
        return call("tf.cast", [_is(column, task.positive), "tf.int64"], INDENT, "LABEL: ")
    if task.kind == CLASSES:
        dense = f"columns.{'text' if column.kind == TEXT else 'integer'}({read})"
        # A class that training has not seen gets a number of its own behind the others.
        arguments = [dense, *(["num_oov_buckets=1"] if task.unseen else []), 'vocab_filename="label"']
        return call("tft.compute_and_apply_vocabulary", arguments, INDENT, "LABEL: ")
    if task.kind == LABELS and len(task.labels) == 1:
        return call("columns.multi_hot", [read, "CLASSES"], INDENT, "LABEL: ")
    return "LABEL: tf.stack([columns.number(inputs[name]) for name in RAW_LABELS], axis=1),"


def _is(column: Column, positive: object) -> str:
    function = "text" if column.kind == TEXT else "number"
    return f"columns.{function}({reference(column.name)}) == {value(positive)}"
