"""Which task a label makes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.runtime.errors import InputError, did_you_mean
from runners.scaffold.model import looks, text_forms
from runners.scaffold.model.profile import (
    BINARY,
    CLASSES,
    FLOAT,
    INTEGER,
    LABELS,
    NUMBER,
    TEXT,
    Column,
    DataSet,
    Task,
)

MOST_CLASSES_OF_NUMBERS = 20
"""A label of numbers without fractions and of more values is a number to predict."""
MOST_CLASSES = 200
SURE = 10
"""A class of fewer rows may have none in the training split of the next data."""

_POSITIVE = ("yes", "true", "y", "t", "positive", "churned", "malignant", "spam", "fraud", "default")


def infer(data: DataSet, labels: Sequence[str], *, kind: str = "", positive: str = "") -> Task:
    """The task of these labels.

    Args:
      data: the data set.
      labels: columns; several for several labels at once.
      kind: of the task, where it is not to be inferred.
      positive: of a label of two values that which counts as 1, where it is not to be inferred.

    Raises:
      InputError: a label that the data does not have, or that nothing can be learned from.
    """
    check_labels(data, labels)
    column = data.columns[labels[0]]
    if len(labels) > 1 or column.several:
        if positive:
            raise InputError(f"--positive {positive}: there are several labels; take the option out")
        return _several(data, labels, kind)
    if column.distinct < 2:
        raise InputError(
            f"--label {column.name}: {'one value in all rows' if column.distinct else 'no row has a value'}; "
            "choose a column that differs between rows"
        )
    if column.kind == FLOAT and (infinite := [number for number in column.counts if math.isinf(number)]):
        raise InputError(
            f"--label {column.name}: {column.counts[infinite[0]]:,} of {column.rows:,} rows have {infinite[0]}, which "
            "nothing can be learned from; mend them, or leave the cell empty: such rows are left out"
        )
    clean = text_forms.numbers_to_clean(column)
    if clean and (kind == NUMBER or (not kind and column.distinct > MOST_CLASSES_OF_NUMBERS)):
        raise InputError(f"--label {column.name}: {clean}; as they are, they are texts")
    kind = kind or _kind(column)
    if positive and kind != BINARY:
        has = "is a number" if kind == NUMBER else f"has {column.distinct} values, not two"
        raise InputError(f"--positive {positive}: the label {column.name} {has}; take the option out")
    if kind == NUMBER:
        if column.kind not in (INTEGER, FLOAT):
            raise InputError(f"--task number: the label {column.name} is text, such as {_some(column)}")
        skewed = looks.is_skewed(np.array(column.values, np.float64))
        told = "; a few are far above the others, so that the logarithm is learned" if skewed else ""
        return Task(NUMBER, tuple(labels), why=f"{column.distinct:,} different numbers{told}", skewed=skewed)
    if kind == BINARY:
        if column.distinct != 2:
            raise InputError(f"--task binary: the label {column.name} has {column.distinct:,} values, not two")
        one = _positive(column, positive)
        return Task(
            BINARY, (column.name,), _shares(column), one, f"two values; {one!r} counts as 1", remarks=_remarks(column)
        )
    if kind == LABELS:
        raise InputError(f"--task labels: give several columns of 0 and 1, each as --label; {column.name} is one alone")
    if column.kind == FLOAT and not _whole(column):
        raise InputError(f"--task classes: the label {column.name} has numbers with fractions; leave --task out")
    if column.distinct > MOST_CLASSES:
        raise InputError(
            f"--label {column.name}: {column.distinct:,} different values, such as {_some(column)}, are too many "
            f"classes (at most {MOST_CLASSES}); choose a coarser column"
        )
    rarest = min(column.counts.values())
    told = f"{column.distinct} classes"
    return Task(CLASSES, (column.name,), _shares(column), why=told, unseen=rarest < SURE, remarks=_remarks(column))


def check_labels(data: DataSet, labels: Sequence[str]) -> None:
    """Refuses labels that the data does not have.

    Raises:
      InputError: which, and what may have been meant.
    """
    if not labels:
        raise InputError(
            f"--label COLUMN is missing: what is to be predicted; the columns are: {', '.join(data.columns)}"
        )
    for name in labels:
        if name not in data.columns:
            near = did_you_mean(name, data.columns)
            raise InputError(f"--label {name}: no such column{near}; the columns are: {', '.join(data.columns)}")


def _kind(column: Column) -> str:
    if column.distinct == 2:
        return BINARY
    numbers = column.kind in (INTEGER, FLOAT)
    if numbers and (column.distinct > MOST_CLASSES_OF_NUMBERS or not _whole(column)):
        return NUMBER
    return CLASSES


def _several(data: DataSet, labels: Sequence[str], kind: str) -> Task:
    """Several labels at once: a column of 0 and 1 for each, or one column with a list of them."""
    if kind not in ("", LABELS):
        raise InputError(f"--task {kind}: there are several labels; leave --task out, or give one --label")
    if len(labels) == 1:
        column = data.columns[labels[0]]
        if column.kind not in (TEXT, INTEGER) or not 2 <= column.distinct <= MOST_CLASSES:
            raise InputError(
                f"--label {column.name}: a list of {column.distinct:,} different values; a list of labels has texts or "
                f"whole numbers, 2 to {MOST_CLASSES} different ones"
            )
        shares = {value: count / column.rows for value, count in column.counts.items()}
        return Task(LABELS, tuple(labels), shares, why=f"lists of {column.distinct} labels")
    for name in labels:
        if set(data.columns[name].counts) != {0, 1}:
            raise InputError(
                f"--label {name}: several labels are columns of 0 and 1 each, and this one has "
                f"{_some(data.columns[name])}; give one --label, or columns of 0 and 1"
            )
    shares = {name: data.columns[name].counts[1] / data.columns[name].rows for name in labels}
    return Task(LABELS, tuple(labels), shares, why=f"{len(labels)} labels of 0 and 1")


def _positive(column: Column, asked: str) -> Any:
    """Which of two values counts as 1: what was asked for, what means yes, or the rarer one."""
    values = list(column.counts)
    if asked:
        for value in values:
            if str(value) == asked or (column.kind == FLOAT and str(value) == f"{asked}.0"):
                return value
        raise InputError(f"--positive {asked}: the label {column.name} has the values {_some(column)}")
    if column.kind != TEXT:
        return max(values)
    return next((value for value in values if value.strip().lower() in _POSITIVE), values[-1])


def _shares(column: Column) -> Mapping[Any, float]:
    total = sum(column.counts.values())
    return {value: count / total for value, count in column.counts.items()}


def _remarks(column: Column) -> tuple[str, ...]:
    """What looks wrong with the classes of a label."""
    told = []
    if alone := [value for value, count in column.counts.items() if count == 1]:
        more = f" and {len(alone) - 3} more" if len(alone) > 3 else ""
        told.append(f"classes of one row: {', '.join(map(repr, alone[:3]))}{more}; nobody learns them from that")
    spellings: dict[str, list[str]] = {}
    for value in column.counts if column.kind == TEXT else ():
        spellings.setdefault(" ".join(value.split()).casefold(), []).append(value)
    if alike := next((values for values in spellings.values() if len(values) > 1), None):
        told.append(f"{' and '.join(map(repr, alike))} are classes of their own: is it one class, spelt in two ways?")
    return tuple(told)


def _whole(column: Column) -> bool:
    return all(float(value).is_integer() for value in column.counts)


def _some(column: Column) -> str:
    return ", ".join(map(repr, list(column.counts)[:3]))
