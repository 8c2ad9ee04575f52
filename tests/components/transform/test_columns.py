"""Raw columns become dense ones, whatever the data made of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.runtime import columns


def sparse(values: list[Any], dtype: tf.DType) -> tf.SparseTensor:
    """As parsing makes them: rows with None have no value, and without any the batch is 0 columns wide."""
    rows = [row for row, value in enumerate(values) if value is not None]
    present = [values[row] for row in rows]
    indices = np.array([[row, 0] for row in rows], np.int64).reshape(-1, 2)
    return tf.SparseTensor(indices, tf.constant(present, dtype, [len(present)]), [len(values), min(1, len(rows))])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (tf.constant([[1.5], [float("nan")]]), [1.5, 7]),
        (tf.constant([[3], [0]], tf.int64), [3, 0]),
        (tf.constant([["2.5"], [""]]), [2.5, 7]),
        (sparse([None, 4], tf.int64), [7, 4]),
        (sparse([None, None], tf.float32), [7, 7]),
        (sparse([None, "1e3"], tf.string), [7, 1000]),
    ],
)
def test_numbers(values: columns.Values, expected: list[float]) -> None:
    assert columns.number(values, missing=7).numpy().tolist() == expected
    assert columns.integer(values, missing=7).numpy().tolist() == [int(value) for value in expected]
    assert columns.is_missing(values).numpy().tolist() == [float(value == 7) for value in expected]


def test_large_integers_keep_their_digits() -> None:
    assert columns.integer(sparse([None, 2**53 + 1], tf.int64), missing=-1).numpy().tolist() == [-1, 2**53 + 1]
    assert columns.integer(sparse([None, "17031320100"], tf.string), missing=-1).numpy().tolist() == [-1, 17031320100]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (tf.constant([["a"], [""]]), ["a", ""]),
        (sparse(["a", None], tf.string), ["a", "?"]),
        (sparse([60601, None], tf.int64), ["60601", "?"]),
        (tf.constant([[1.5], [2.0]]), ["1.5", "2"]),
    ],
)
def test_texts(values: columns.Values, expected: list[str]) -> None:
    assert [text.decode() for text in columns.text(values, missing="?").numpy()] == expected


@pytest.mark.parametrize(
    "date",
    ["1970-01-01", "2000-02-29", "1900-03-01", "2100-12-31", "1969-12-31", "2024-02-29T23:59", "2015-01-31 12:30:15"],
)
def test_days(date: str) -> None:
    expected = (datetime.fromisoformat(date) - datetime(1970, 1, 1)).total_seconds() / 86_400  # noqa: DTZ001
    for text in (date, f" {date} ", date.replace("-", "/")):
        assert columns.days(tf.constant([[text]])).numpy() == pytest.approx([expected], abs=2e-3)


def test_days_of_seconds_and_of_no_date() -> None:
    assert columns.days(tf.constant([[43_200]], tf.int64)).numpy().tolist() == [0.5]
    assert columns.days(tf.constant([["soon"], [""], ["31.1.2015"]]), missing=-1).numpy().tolist() == [-1, -1, -1]
    assert columns.days(sparse([None, 86_400], tf.int64), missing=3).numpy().tolist() == [3, 1]


def test_the_end_of_a_period_is_near_its_beginning() -> None:
    monday, sunday, next_monday = columns.cyclic(tf.constant([0.0, 6.0, 7.0]), period=7).numpy()
    assert next_monday == pytest.approx(monday, abs=1e-6)
    assert np.linalg.norm(sunday - next_monday) == pytest.approx(2 * np.sin(np.pi / 7), abs=1e-6)


def test_multi_hot() -> None:
    tags = tf.sparse.from_dense(tf.constant([["a", "b"], ["", ""], ["c", "z"], ["", ""]]))
    assert columns.multi_hot(tags, ["a", "b", "c"]).numpy().tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert columns.multi_hot(tf.constant([[5], [7]], tf.int64), [7]).numpy().tolist() == [[0], [1]]
