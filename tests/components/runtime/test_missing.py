"""What stands for a missing value, of each type; that models, the server and stages go by it, their own tests say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from components.runtime import missing


@pytest.mark.parametrize(
    ("values", "absent"),
    [
        (np.array([1, missing.INTEGER, 0]), [False, True, False]),
        (np.array([1, -128], np.int8), [False, True]),
        (np.array([[1, 0]], np.uint8), [[False, False]]),
        (np.array([[1.0], [np.nan]], np.float32), [[False], [True]]),
        (np.array([[b"", b"a"]], object), [[True, False]]),
        (np.array(["", "a"]), [True, False]),
        (np.array([True, False]), [False, False]),
    ],
    ids=lambda each: str(getattr(each, "dtype", "")),
)
def test_what_is_missing(values: np.ndarray[Any, Any], absent: list[Any]) -> None:
    assert missing.where(values).tolist() == absent


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int8, np.float16, np.float64])
def test_what_stands_for_it_is_found_again(dtype: Any) -> None:
    assert missing.where(np.array([missing.stand_in(dtype)], dtype)).tolist() == [True]


def test_of_the_types_that_features_have() -> None:
    assert missing.stand_in(np.int64) == missing.INTEGER == np.iinfo(np.int64).min
    assert math.isnan(missing.stand_in(np.float32))
    assert missing.stand_in(object) == b""
    assert missing.stand_in(np.uint8) == 0
