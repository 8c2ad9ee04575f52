"""Integrated gradients: Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", 2017."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from components.runtime.explaining.rows import Array, Rows, rows_at_once, take

Gradient = Callable[[Rows, int], dict[str, Array]]
"""Of one of the answers to rows, by each feature that has one: the same shape as the feature."""


@dataclass(frozen=True)
class Integrated:
    """Integrated gradients of one row.

    Attributes:
      values: by feature, of the feature's shape without that of the rows.
      missed: by how much they do not add up to the answer less that to the baseline, which is what the steps cost.
    """

    values: dict[str, Array]
    missed: float


def integrated_gradients(
    gradient: Gradient,
    answer: Callable[[Rows], Array],
    row: Rows,
    baseline: Rows,
    target: int,
    steps: int,
) -> Integrated:
    """Integrates the gradient along the straight line from a baseline to a row, by the midpoints of equal steps.

    Args:
      gradient: of the network.
      answer: of the network, shape [rows, answers].
      row: a single one; features without a gradient, such as numbers of words, stay as they are in it.
      baseline: a single one of the features that have one.
      target: which of the answers.
      steps: of the line.
    """
    shares = (np.arange(steps) + 0.5) / steps
    sums: dict[str, Array] = {}
    batch = rows_at_once(row, 256)
    for start in range(0, steps, batch):
        part = shares[start : start + batch]
        line = {
            name: _between(baseline[name], values, part) if name in baseline else np.repeat(values, len(part), 0)
            for name, values in row.items()
        }
        for name, found in gradient(line, target).items():
            sums[name] = sums.get(name, 0) + found.astype(np.float64).sum(0)
    values = {name: (row[name][0] - baseline[name][0]) * total / steps for name, total in sums.items()}
    ends = {name: np.concatenate([baseline.get(name, given), given]).astype(given.dtype) for name, given in row.items()}
    before, after = answer(take(ends, slice(0, 2)))[:, target]
    return Integrated(values, float(after - before - sum(each.sum() for each in values.values())))


def _between(start: Array, end: Array, shares: Array) -> Array:
    along = shares.reshape(-1, *[1] * (end.ndim - 1))
    return (start + along * (end - start)).astype(end.dtype)
