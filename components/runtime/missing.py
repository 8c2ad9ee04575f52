"""What stands for a missing value where a signature has one in each place: NaN, an empty text, the smallest integer.

`signatures.export` writes models that take them for none, clients and stages give them, the log of predictions reads
them, and docs/serving.md tells them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

INTEGER = -(2**63)
"""Of 64 bits, as tf.Examples have integers."""


def stand_in(dtype: Any) -> Any:
    """What stands for a missing value: a float, an integer of that type, or bytes; `dtype`: as NumPy has it."""
    import numpy as np

    kind = np.dtype(dtype).kind
    return b"" if kind in "OSU" else int(np.iinfo(dtype).min) if kind in "iu" else math.nan


def where(values: Array) -> Array:
    """Where the values of a number or text are missing ones, bool of the same shape; of unsigned integers none are."""
    import numpy as np

    if values.dtype.kind in "fi":
        return np.isnan(values) if values.dtype.kind == "f" else values == stand_in(values.dtype)
    if values.dtype.kind in "OSU":
        return np.array([not each for each in values.ravel().tolist()], bool).reshape(values.shape)
    return np.zeros(values.shape, bool)
