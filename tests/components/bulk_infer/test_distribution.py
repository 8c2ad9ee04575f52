"""What is told of predictions: the same, whether rows come in one batch or in many, or from several shards."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.bulk_infer.asking import Output
from components.bulk_infer.distribution import CLASSES, NUMBERS, TEXTS, Distribution

VALUES = np.array([1.0, 2.0, math.nan, math.inf, 4.0, -3.0], np.float32)


def of(dtype: Any, size: int | None) -> Distribution:
    return Distribution.of(Output("outputs", "prediction", dtype, size))


def test_numbers_that_are_none_are_counted_and_are_in_no_sum() -> None:
    found = of(tf.float32, 1)
    found.add(VALUES[:, None], every=1)
    assert (found.kind, found.rows, found.nan, found.infinite, found.finite) == (NUMBERS, 6, 1, 1, 4)
    assert (found.low, found.high, found.mean) == (-3.0, 4.0, 1.0)
    assert found.sample == [1.0, 2.0, 4.0, -3.0]


def test_parts_add_up_to_the_whole() -> None:
    whole, parts = of(tf.float32, 1), [of(tf.float32, 1) for _ in range(3)]
    whole.add(VALUES[:, None], every=1)
    for number, part in enumerate(parts):
        part.add(VALUES[2 * number : 2 * number + 2, None], every=1)
    first = Distribution.read(json.loads(json.dumps(parts[0].document())))
    for part in parts[1:]:
        first.merge(part)
    assert first == whole


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_the_sample_is_of_rows_at_equal_distances(batch: int) -> None:
    found = of(tf.int64, 1)
    for start in range(0, 100, batch):
        found.add(np.arange(start, min(start + batch, 100)), every=10)
    assert found.sample == list(range(0, 100, 10))


def test_classes_are_counted_by_their_place() -> None:
    found = of(tf.float32, 3)
    found.add(np.array([[0.1, 0.2, 0.7], [0.1, 0.8, 0.1], [0.0, 0.1, 0.9], [math.nan, 1.0, 2.0]]), every=1)
    assert (found.kind, dict(found.counts), found.nan) == (CLASSES, {"2": 2, "1": 1}, 1)


def test_texts_are_counted_up_to_a_number_of_them() -> None:
    found, other = of(tf.string, 1), of(tf.string, 1)
    found.add(np.array([f"{number}".encode() for number in range(999)] + [b"0"], object), every=1)
    other.add(np.array([b"0", b"a", b"b"], object), every=1)
    found.merge(other)
    assert (found.kind, found.counts["0"], found.counts["a"], found.others, found.rows) == (TEXTS, 3, 1, 1, 1003)


@pytest.mark.parametrize(("dtype", "size"), [(tf.float32, None), (tf.float32, 5000), (tf.string, 2)])
def test_of_what_has_no_picture_rows_are_counted(dtype: Any, size: int | None) -> None:
    found = of(dtype, size)
    found.add(np.full([3, 2], b"x", object) if dtype == tf.string else np.zeros([3, size or 2], np.float32), every=1)
    assert (found.kind, found.rows, found.nan, found.mean) == ("", 3, 0, None)
