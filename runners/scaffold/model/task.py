"""Which task a label makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from components.runtime.errors import InputError, did_you_mean
from runners.scaffold.model.profile import BINARY, CLASSES, FLOAT, INTEGER, NUMBER, Column, DataSet, Task

MOST_CLASSES_OF_INTEGERS = 20
"""An integer label of more values is a number to predict."""


def infer(data: DataSet, labels: Sequence[str], *, kind: str = "", positive: str = "") -> Task:
    """The task of these labels.

    Raises:
      InputError: a label that the data does not have or that nothing can be learned from.
    """
    for name in labels:
        if name not in data.columns:
            raise InputError(
                f"--label {name}: no such column{did_you_mean(name, data.columns)}; the columns are: "
                f"{', '.join(data.columns)}"
            )
    column = data.columns[labels[0]]
    if column.distinct < 2:
        raise InputError(f"--label {column.name}: has one value in all rows; choose a label that differs between rows")
    if column.distinct == 2:
        one = max(column.counts, key=lambda value: (str(value).strip().lower() in _POSITIVE, -column.counts[value]))
        return Task(BINARY, tuple(labels), _shares(column), one, "two values")
    if column.kind == FLOAT or (column.kind == INTEGER and column.distinct > MOST_CLASSES_OF_INTEGERS):
        return Task(NUMBER, tuple(labels), why=f"{column.distinct} different numbers")
    return Task(CLASSES, tuple(labels), _shares(column), why=f"{column.distinct} classes")


_POSITIVE = ("1", "1.0", "yes", "true", "y", "t")


def _shares(column: Column) -> dict[object, float]:
    total = sum(column.counts.values())
    return {value: count / total for value, count in Counter(column.counts).most_common()}
