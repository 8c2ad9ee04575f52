"""Partial dependence: what is answered on average when one feature of all rows has the same value.

Friedman, "Greedy Function Approximation: A Gradient Boosting Machine", 2001; the curves of single rows are those of
Goldstein and others, "Peeking Inside the Black Box", 2015. It takes the feature to be independent of the others.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from components.runtime.explaining.rows import NUMBER, OTHER, Array, Ask, Rows, count, in_batches, kind
from components.runtime.missing import where as missing

_POINTS = 20
_TEXTS = 10
_BARS = 20


@dataclass(frozen=True)
class Dependence:
    """How the answers go by one feature.

    Attributes:
      feature: its name.
      kind: number or text.
      grid: its values, ascending numbers or texts by falling frequency; a missing one, if there are any, is the last.
      answers: of each row with each value, shape [grid, rows, answers].
      edges: of a number: of the bins of its histogram, shape [bins + 1]; empty for a text.
      counts: rows in each bin; of a text, with each value of the grid.
      absent: rows in which it is missing.
    """

    feature: str
    kind: str
    grid: Array
    answers: Array
    edges: Array
    counts: Array
    absent: int

    @property
    def mean(self) -> Array:
        """The partial dependence, shape [grid, answers]."""
        return self.answers.mean(1)

    @property
    def has_missing(self) -> bool:
        """Whether the last value of the grid is the missing one."""
        return bool(missing(self.grid)[-1])


def grid_of(values: Array, points: int = _POINTS) -> Array:
    """Values of a number or text to try: even quantiles, or the most frequent of several rows; a missing one last.

    Args:
      values: that there are, shape [rows].
      points: so many, at most.
    """
    absent = missing(values)
    there = values[~absent]
    if kind(values) == NUMBER:
        unique = np.unique(there)
        if len(unique) > points:
            unique = np.unique(np.quantile(there, np.linspace(0.01, 0.99, points), method="nearest"))
        chosen = unique
    else:
        counted = Counter(there.tolist())
        # What no two rows say alike, as what people write, has no curve.
        several = [value for value in counted if counted[value] > 1]
        frequent = sorted(several, key=lambda value: (-counted[value], value))[: min(points, _TEXTS)]
        chosen = np.array(frequent, values.dtype)
    return np.concatenate([chosen, values[absent][:1]]) if absent.any() else chosen


def dependence(ask: Ask, rows: Rows, feature: str, known: Array, points: int = _POINTS) -> Dependence | None:
    """Varies one feature of rows.

    Args:
      ask: the model.
      rows: whose other features stay.
      feature: the one that is varied.
      known: its values from which the grid and the histogram are made.
      points: values to try, at most.

    Returns:
      None where the feature is neither a number nor a text, or has no two values to try.
    """
    what = kind(known)
    grid = grid_of(known, points) if what != OTHER else known[:0]
    if len(grid) < 2:
        return None
    number = count(rows)
    varied = {name: np.concatenate([values] * len(grid)) for name, values in rows.items()}
    varied[feature] = np.repeat(grid, number).astype(rows[feature].dtype)
    answers = in_batches(ask, varied).reshape(len(grid), number, -1)
    absent = missing(known)
    there = known[~absent]
    if what == NUMBER:
        counts, edges = _histogram(there.astype(np.float64), grid)
    else:
        counted, edges = Counter(there.tolist()), np.array([])
        counts = np.array([counted.get(value, int(absent.sum())) for value in grid.tolist()])
    return Dependence(feature, what, grid, answers, edges, counts, int(absent.sum()))


def _histogram(values: Array, grid: Array) -> tuple[Array, Array]:
    """Of the values within the grid; those beyond are left out, as they are from the curve."""
    ends = grid[~missing(grid)].astype(np.float64)
    finite = values[np.isfinite(values)]
    if not len(finite) or ends[0] == ends[-1]:
        return np.array([]), np.array([])
    whole, room = bool((finite == finite.round()).all()), ends[-1] - ends[0]
    # A few whole numbers have a bar each.
    bins = (
        np.arange(ends[0] - 0.5, ends[-1] + 1)
        if whole and room <= 2 * _BARS
        else np.linspace(ends[0], ends[-1], _BARS + 1)
    )
    return np.histogram(finite, bins)
