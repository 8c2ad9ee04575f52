"""Counts the numbers of tables that are beyond float32, in which they are infinite."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa


@dataclass
class Overflow:
    """Numbers of one column.

    Attributes:
      first: of them, as the file has it.
      file: name of the one that it is in.
      count: of all.
    """

    first: str
    file: str
    count: int = 0


@dataclass
class Overflows:
    """Looks at the values of columns while they are converted."""

    _found: dict[str, Overflow] = field(default_factory=dict)

    def look(self, name: str, stored: pa.Array, values: pa.Array, file: str) -> None:
        """Takes some values of a column.

        Args:
          name: of the column.
          stored: as the file has them.
          values: the same as features.
          file: name of the one that they are of.
        """
        if pa.types.is_list(values.type):
            stored, values = stored.flatten() if hasattr(stored, "flatten") else stored.drop_null(), values.flatten()
        if not pa.types.is_float32(values.type):
            return
        infinite = np.isinf(values.to_numpy(zero_copy_only=False))
        if not infinite.any():
            return
        texts = [str(value) for value in stored.filter(pa.array(infinite)).to_pylist()]
        if beyond := [text for text in texts if "inf" not in text.lower()]:
            self._found.setdefault(name, Overflow(beyond[0], file)).count += len(beyond)

    def merge(self, other: Overflows) -> None:
        """Adds those of files, or parts of a file, that come after."""
        for name, found in other._found.items():
            self._found.setdefault(name, Overflow(found.first, found.file)).count += found.count

    def told(self, *, cells: bool) -> Iterator[str]:
        """One line about each column.

        Args:
          cells: whether what stands in the data may be told.
        """
        for name, found in self._found.items():
            what = "value" if found.count == 1 else "values"
            such = f", the first {found.first} in {found.file}" if cells else f", the first in {found.file}"
            yield f"column {name!r} has {found.count:,} {what} beyond float32, which are infinite from here on{such}"
