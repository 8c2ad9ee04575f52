"""Whether a column holds the answer, or some of it where nobody looks for it."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np

from runners.scaffold.model.profile import FLOAT, INTEGER, TEXT, Column, DataSet, Task

_ROWS_OF_A_PART = 5
"""Numbers are cut into parts of at least so many rows, to see whether one part has one label."""
_FEWEST = 50
"""Rows of which anything is told."""
_TELLING = 0.3
"""The rank correlation from which on an id is worth a second look."""
_INFINITE = (math.inf, -math.inf)


def leak(column: Column, data: DataSet, task: Task) -> str:
    """Why a column may hold the answer: alone it tells the label of nearly every row; else nothing."""
    if task.kind not in ("binary", "classes", "number") or column.several:
        return ""
    pairs = [
        (value, label)
        for value, label in zip(data.records[column.name], data.records[task.label], strict=True)
        if value is not None and label is not None and not (value in _INFINITE or label in _INFINITE)
    ]
    if len(pairs) < _FEWEST:
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


def order_tells(column: Column, data: DataSet, task: Task) -> str:
    """What a number of each row's own, left out as an id, would have told of a label that is a number; else nothing."""
    if task.kind != "number" or column.kind != INTEGER:
        return ""
    pairs = zip(data.records[column.name], data.records[task.label], strict=True)
    known = np.array([pair for pair in pairs if None not in pair], np.float64).T
    if not known.size or known.shape[1] < _FEWEST or not np.isfinite(known).all():
        return ""
    ranks = known.argsort(axis=1).argsort(axis=1)
    correlation = float(np.asarray(np.corrcoef(ranks))[0, 1])
    if abs(correlation) < _TELLING:
        return ""
    return f"its order goes with {task.label!r} (rank correlation {correlation:.2f}): --keep takes it in"


def _correlated(pairs: list[tuple[Any, Any]]) -> bool:
    table = np.array(pairs, np.float64).T
    if table.std(axis=1).min() == 0:
        return False
    return bool(abs(np.asarray(np.corrcoef(table))[0, 1]) > 0.9999)
