"""Counts NaN and infinity among transformed values, which a training takes without a word."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


class NotFinite(dict[str, list[int]]):
    """By feature how many of its values are NaN and how many are infinite; features without either are not in it."""

    def add(self, batch: pa.RecordBatch) -> None:
        """Counts those of transformed rows."""
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            values = column
            while pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
                values = values.flatten()
            if pa.types.is_floating(values.type):
                numbers = values.drop_null().to_numpy(zero_copy_only=False)
                self._count(name, int(np.isnan(numbers).sum()), int(np.isinf(numbers).sum()))

    def merge(self, other: NotFinite) -> None:
        """Adds the counts of other rows."""
        for name, (nan, infinite) in other.items():
            self._count(name, nan, infinite)

    def _count(self, name: str, nan: int, infinite: int) -> None:
        if nan or infinite:
            before = self.get(name, [0, 0])
            self[name] = [before[0] + nan, before[1] + infinite]


def told(found: dict[str, NotFinite]) -> list[str]:
    """One line for each feature with values that are not finite: `fare_xf: 12 NaN, 1 infinite in train, 3 NaN in eval`.

    Args:
      found: by split, in the order in which they are told.
    """
    lines = []
    for name in sorted({name for counts in found.values() for name in counts}):
        parts = []
        for split, counts in found.items():
            nan, infinite = counts.get(name, (0, 0))
            kinds = [f"{count:,} {kind}" for count, kind in ((nan, "NaN"), (infinite, "infinite")) if count]
            if kinds:
                parts.append(f"{', '.join(kinds)} in {split}")
        lines.append(f"{name}: {', '.join(parts)}")
    return lines
