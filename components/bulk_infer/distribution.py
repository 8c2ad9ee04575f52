"""What the predictions of many rows are like: counted batch by batch, added up over shards, and kept as JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from components.bulk_infer.asking import Array, Output

NUMBERS, CLASSES, TEXTS = "numbers", "classes", "texts"
"""What is drawn of an output: a number's histogram; of several numbers which one is largest; how often a text comes."""

SAMPLED = 20_000
"""About so many values of a number are kept for its histogram, of rows at equal distances."""
_MOST_CLASSES = 1000
_MOST_TEXTS = 1000


@dataclass
class Distribution:
    """The predictions of one output.

    Attributes:
      column: that holds them.
      kind: how they are told; empty for what is neither numbers nor texts of a bounded size, of which rows are counted.
      rows: all of them.
      nan: rows in which a value is NaN.
      infinite: rows in which one is infinite, and none NaN.
      low: smallest finite value of `NUMBERS`.
      high: largest.
      total: sum of the finite ones.
      counts: of `CLASSES` and `TEXTS`, rows by the number of the class or by the text; rows with NaN are in none.
      others: rows with a text that is not among `counts`, which hold a bounded number.
      sample: of `NUMBERS`, finite values.
    """

    column: str
    kind: str = ""
    rows: int = 0
    nan: int = 0
    infinite: int = 0
    low: float = math.inf
    high: float = -math.inf
    total: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    others: int = 0
    sample: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, output: Output) -> Distribution:
        """That of no rows yet."""
        return cls(output.column, _kind(output))

    @property
    def finite(self) -> int:
        """Rows without NaN and infinity."""
        return self.rows - self.nan - self.infinite

    @property
    def mean(self) -> float | None:
        """Of the finite values of `NUMBERS`; None where there are none."""
        return self.total / self.finite if self.kind == NUMBERS and self.finite else None

    def add(self, values: Array, every: int) -> None:
        """Takes in a batch.

        Args:
          values: of shape [rows, ...].
          every: of so many rows one value goes into the sample.
        """
        before, self.rows = self.rows, self.rows + len(values)
        flat = values.reshape(len(values), -1)
        if self.kind == TEXTS:
            self._count(Counter(text.decode("utf-8", "replace") for text in flat[:, 0].tolist()))
            return
        good: Array = np.ones(len(flat), np.bool_)
        if flat.dtype.kind == "f":
            nan = np.isnan(flat).any(axis=1)
            good = np.asarray(np.isfinite(flat).all(axis=1))
            self.nan += int(nan.sum())
            self.infinite += int((~good & ~nan).sum())
        if not self.kind:
            return
        if self.kind == CLASSES:
            places, rows = np.unique(flat[good].argmax(axis=1), return_counts=True)
            self.counts.update({str(place): int(count) for place, count in zip(places, rows, strict=True)})
        if self.kind == NUMBERS and good.any():
            finite = flat[good, 0].astype(np.float64)
            self.low, self.high = min(self.low, float(finite.min())), max(self.high, float(finite.max()))
            self.total += float(finite.sum())
            chosen = slice(-before % every, None, every)
            self.sample += flat[chosen, 0][good[chosen]].astype(np.float64).tolist()

    def merge(self, other: Distribution) -> None:
        """Takes in what was counted of other rows."""
        self.rows += other.rows
        self.nan += other.nan
        self.infinite += other.infinite
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.total += other.total
        self.others += other.others
        self.sample += other.sample
        self._count(other.counts)

    def _count(self, found: Mapping[str, int]) -> None:
        for text, rows in found.items():
            if self.kind != TEXTS or text in self.counts or len(self.counts) < _MOST_TEXTS:
                self.counts[text] += rows
            else:
                self.others += rows

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**vars(self), "counts": dict(self.counts)}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Distribution:
        """What `document` returned."""
        return cls(**{**document, "counts": Counter(document["counts"])})


def _kind(output: Output) -> str:
    plain = output.type.value_type if pa.types.is_list(output.type) else output.type
    if pa.types.is_string(plain):
        return TEXTS if output.size == 1 else ""
    if output.size == 1:
        return NUMBERS
    return CLASSES if output.size and output.size <= _MOST_CLASSES else ""
