"""Picks some records of each split while they pass: every record with the same chance, the same ones every time."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from components.runtime.data.tfrecord import FOOTER_BYTES, HEADER_BYTES

MAX_ROWS = 100
Row = TypeVar("Row")


@dataclass
class Reservoir(Generic[Row]):
    """A sample of one split, by algorithm L, which says how many records to pass over.

    Source: K.-H. Li, Reservoir-Sampling Algorithms of Time Complexity O(n(1 + log(N/n))), ACM TOMS 20 (1994).

    Attributes:
      split: its name, by which the chances of splits differ.
      size: rows of the sample.
      keep: makes of a serialised tf.Example what is kept of it.
      seen: records that have passed.
    """

    split: str
    size: int
    keep: Callable[[bytes], Row]
    seen: int = 0
    _rows: list[tuple[int, Row]] = field(default_factory=list)
    _next: int = 0
    _weight: float = 1.0

    def __post_init__(self) -> None:
        """Begins."""
        self._chance = random.Random(self.split)

    @property
    def rows(self) -> list[tuple[int, Row]]:
        """The sample in the order of the records, each with its number, from 1."""
        return sorted(self._rows, key=lambda row: row[0])

    def takes_of(self, count: int) -> bool:
        """Whether any of the next so many records comes into the sample."""
        return self.size > 0 and self._next < self.seen + count

    def add(self, framed: bytes, count: int) -> None:
        """Lets records pass.

        Args:
          framed: as `tfrecord.frame` makes them; need not be there where `takes_of` says no.
          count: of them.
        """
        end = self.seen + count
        position = 0
        while self.size and self._next < end:
            for _ in range(self._next - self.seen):
                position += _length(framed, position)
            length = _length(framed, position)
            record = framed[position + HEADER_BYTES : position + length - FOOTER_BYTES]
            position += length
            self.seen = self._next + 1
            self._take(self.seen, record)
        self.seen = end

    def _take(self, number: int, record: bytes) -> None:
        if len(self._rows) < self.size:
            self._rows.append((number, self.keep(record)))
            if len(self._rows) < self.size:
                self._next += 1
                return
        else:
            self._rows[self._chance.randrange(self.size)] = (number, self.keep(record))
        self._weight *= math.exp(math.log(1.0 - self._chance.random()) / self.size)
        self._next += math.floor(math.log(1.0 - self._chance.random()) / math.log1p(-self._weight)) + 1


def _length(framed: bytes, position: int) -> int:
    """Bytes of the record at a position with its frame."""
    length: int = struct.unpack_from("<Q", framed, position)[0]
    return length + HEADER_BYTES + FOOTER_BYTES
