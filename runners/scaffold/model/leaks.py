"""Whether a column holds the answer."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np

from runners.scaffold.model.profile import FLOAT, INTEGER, TEXT, Column, DataSet, Task

_ROWS_OF_A_PART = 5
"""Numbers are cut into parts of at least so many rows, to see whether one part has one label."""
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
