"""Sums over a grid that grows coarser as values come: quantiles and pictures of any number of values in flat memory."""

from __future__ import annotations

from typing import Any

import numpy as np

_WAITING = 1024
"""Rows that are put into the grid at once."""

_EXACT_BITS = 52
"""Cells are numbered by integers up to two to this, which a float64 holds exactly."""


class Histogram:
    """What was summed up in each occupied cell of a grid.

    While there are at most `limit` different values, each is a cell of its own. Beyond that a cell is [i, i + 1) times
    a power of two along every axis, the smallest one by which at most `limit` cells are occupied: few outliers take few
    cells, and leave the others as fine as they were. Both depend on the values alone, not on their order nor on how
    they were divided among histograms that were merged.
    """

    def __init__(self, limit: int, axes: int, sums: int) -> None:
        """Makes an empty one.

        Args:
          limit: of the occupied cells.
          axes: of the grid.
          sums: kept per cell.
        """
        self._limit = limit
        self._exponent: int | None = None
        """Of the cells' width; None where cells are values."""
        self._cells: Any = np.zeros((0, axes))
        self._sums = np.zeros((0, sums))
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._rows = 0

    def add(self, values: np.ndarray, sums: np.ndarray) -> None:
        """Adds rows.

        Args:
          values: finite, [rows, axes].
          sums: what is summed up of each, [rows, sums].
        """
        self._waiting.append((values.astype(np.float64), sums.astype(np.float64)))
        self._rows += len(values)
        if self._rows >= _WAITING:
            self._settle()

    def merge(self, other: Histogram) -> None:
        """Adds all of another one of the same limit, axes and sums."""
        self._settle()
        other._settle()
        if self._exponent is None and other._exponent is not None:
            self._number(other._exponent)
        if self._exponent is None:
            cells = other._cells
        elif other._exponent is None:
            cells = self._numbers(other._cells)
        else:
            self._widen(other._exponent)
            cells = other._cells >> (self._exponent - other._exponent)
        self._join(cells, other._sums)

    def sums(self) -> np.ndarray:
        """Of the occupied cells in the order of their place, [cells, sums]."""
        self._settle()
        return self._sums

    def _settle(self) -> None:
        """Puts what waits into the grid."""
        if not self._rows:
            return
        values, sums = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        self._waiting, self._rows = [], 0
        self._join(values if self._exponent is None else self._numbers(values), sums)

    def _number(self, exponent: int) -> None:
        """Goes over from values to intervals, which are at least two to `exponent` wide."""
        values = self._cells
        self._cells, self._exponent = np.zeros((0, values.shape[1]), np.int64), exponent
        self._cells = self._numbers(values)

    def _numbers(self, values: np.ndarray) -> np.ndarray:
        """Numbers of the intervals that hold these values, int64; they become as wide as that takes."""
        self._widen(_finest(values))
        return np.floor(np.ldexp(values, -(self._exponent or 0))).astype(np.int64)

    def _widen(self, exponent: int) -> None:
        """Makes the intervals at least two to `exponent` wide; equal ones are for `_join` to find."""
        assert self._exponent is not None
        if exponent > self._exponent:
            self._cells = self._cells >> (exponent - self._exponent)
            self._exponent = exponent

    def _join(self, cells: np.ndarray, sums: np.ndarray) -> None:
        self._cells, self._sums = _grouped(np.concatenate([self._cells, cells]), np.concatenate([self._sums, sums]))
        while len(self._cells) > self._limit:
            if self._exponent is None:
                self._number(_finest(self._cells))
            else:
                self._widen(self._exponent + 1)
            self._cells, self._sums = _grouped(self._cells, self._sums)


def _finest(values: np.ndarray) -> int:
    """Exponent of the narrowest intervals that can be numbered exactly."""
    return int(np.frexp(np.abs(values).max(initial=0.0))[1]) - _EXACT_BITS


def _grouped(cells: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equal cells become one."""
    if not len(cells):
        return cells, sums
    order = np.lexsort(cells.T[::-1])
    cells = cells[order]
    starts = np.flatnonzero(np.concatenate([[True], (np.diff(cells, axis=0) != 0).any(axis=1)]))
    return cells[starts], np.add.reduceat(sums[order], starts)
