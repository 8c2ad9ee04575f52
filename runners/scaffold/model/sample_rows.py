"""Made-up rows for a model's tests: like those of the data, and none of them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from runners.scaffold.model import looks
from runners.scaffold.model.profile import BINARY, CLASSES, FLOAT, INTEGER, LABELS, Column, Plan

_SOME_TEXT = "a few words"


@dataclass(frozen=True)
class Sample:
    """What the tests are made of.

    Attributes:
      typical: a row without label: the median of numbers, the most frequent category.
      optional: columns that some rows of the data lack.
      labels: what is added to the row, for several rows.
      expected: the transformed label of each, where it is known.
      times: how often the rows are repeated, so that no value is rare.
    """

    typical: dict[str, Any]
    optional: list[str]
    labels: list[dict[str, Any]]
    expected: list[Any]
    times: int


def sample(plan: Plan) -> Sample:
    """Rows for the tests of a model."""
    texts = {feature.column for feature in plan.used if feature.treatment == "text"}
    columns = [plan.data.columns[feature.column] for feature in plan.used]
    typical = {column.name: _SOME_TEXT if column.name in texts else _typical(column) for column in columns}
    labels, expected = _labels(plan)
    times = looks.rare(plan.data.sampled) + 2
    return Sample(typical, [column.name for column in columns if column.absent], labels, expected, times)


def _typical(column: Column) -> Any:
    if column.kind == FLOAT:
        return float(f"{statistics.median(column.values):.6g}")
    if column.kind == INTEGER:
        return statistics.median_low(column.values)
    return next(iter(column.counts))


def _labels(plan: Plan) -> tuple[list[dict[str, Any]], list[Any]]:
    task, column = plan.task, plan.data.columns[plan.task.label]
    if task.kind in (BINARY, CLASSES):
        values = list(task.shares)
        return [{task.label: value} for value in values], [int(value == task.positive) for value in values]
    if task.kind == LABELS and len(task.labels) == 1:
        classes = list(task.shares)[:2]
        count = len(task.shares)
        return [{task.label: [value]} for value in classes], [[float(i == j) for i in range(count)] for j in range(2)]
    if task.kind == LABELS:
        one, other = [i % 2 for i in range(len(task.labels))], [1 - i % 2 for i in range(len(task.labels))]
        return [dict(zip(task.labels, row, strict=True)) for row in (one, other)], [
            list(map(float, one)),
            list(map(float, other)),
        ]
    # In float32 exactly what they are here.
    numbers = [1.0, 2.0, 4.0] if column.kind == FLOAT else [1, 2, 4]
    return [{task.label: number} for number in numbers], [1.0, 2.0, 4.0]
