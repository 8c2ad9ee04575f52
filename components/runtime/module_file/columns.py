"""Raw columns as dense tensors, for `preprocessing_fn`: one value per row, and what stands where there is none.

What a raw feature is depends on the data: dense of shape [batch, 1] where every row has a value, else sparse; a column
of numbers without fractions holds integers, one without values text. What these functions return does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import tensorflow as tf

Values: TypeAlias = "tf.Tensor | tf.SparseTensor"
"""A raw feature, of at most one value per row."""


def number(values: Values, missing: float = 0.0) -> tf.Tensor:
    """One float32 per row, shape [batch]; `missing` where there is no value, or NaN."""
    import tensorflow as tf

    numbers = _numbers(values, tf.float32)
    return tf.where(tf.math.is_nan(numbers), tf.constant(missing, tf.float32), numbers)


def integer(values: Values, missing: int = 0) -> tf.Tensor:
    """One int64 per row, shape [batch], without its fraction; `missing` where there is no value."""
    import tensorflow as tf

    if values.dtype == tf.int64:
        return filled(values, missing)
    # Texts such as 17031320100 have more digits than a float32.
    numbers = _numbers(values, tf.float64)
    return tf.where(tf.math.is_nan(numbers), tf.constant(missing, tf.int64), tf.cast(numbers, tf.int64))


def text(values: Values, missing: str = "") -> tf.Tensor:
    """One text per row, shape [batch]; `missing` where there is no value."""
    import tensorflow as tf

    if values.dtype != tf.string:
        values = _map(values, lambda flat: tf.strings.as_string(flat, shortest=flat.dtype.is_floating))
    return filled(values, missing)


def days(values: Values, missing: float = 0.0) -> tf.Tensor:
    """Days since 1970-01-01 with their fraction, float32 of shape [batch], which tells moments 3 minutes apart.

    Args:
      values: texts such as 2015-01-31, 2015/01/31 or 2015-01-31T12:30:00, as they are written whatever their time
        zone; or numbers, seconds since 1970.
      missing: what stands where there is no value, or a text that is no such date.
    """
    import tensorflow as tf

    if values.dtype != tf.string:
        seconds = filled(_map(values, lambda flat: tf.cast(flat, tf.float64)), float("nan"))
        found = seconds / 86_400
    else:
        texts = tf.strings.regex_replace(tf.strings.strip(filled(values, "")), "/", "-")
        is_date = tf.strings.regex_full_match(texts, r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?")
        has_seconds = tf.strings.regex_full_match(texts, r".{16}:\d{2}.*")
        # As long as a date with its time, so that each part has its place.
        texts = tf.strings.join([tf.where(is_date, texts, "1970-01-01"), "T00:00:00"])
        year, month, day, hour, minute, second = (
            tf.strings.to_number(tf.strings.substr(texts, start, length), tf.int32)
            for start, length in ((0, 4), (5, 2), (8, 2), (11, 2), (14, 2), (17, 2))
        )
        time = hour * 3600 + minute * 60 + tf.where(has_seconds, second, 0)
        whole = tf.cast(_days_of_date(year, month, day), tf.float64)
        found = tf.where(is_date, whole + tf.cast(time, tf.float64) / 86_400, float("nan"))
    return tf.cast(tf.where(tf.math.is_nan(found), tf.constant(missing, tf.float64), found), tf.float32)


def cyclic(values: tf.Tensor, period: float) -> tf.Tensor:
    """Where in a period numbers lie, as sine and cosine: float32, shape [batch, 2]. Its end is near its beginning."""
    import tensorflow as tf

    angles = tf.cast(values, tf.float64) % period * (2 * math.pi / period)
    return tf.cast(tf.stack([tf.sin(angles), tf.cos(angles)], axis=1), tf.float32)


def multi_hot(values: Values, classes: Sequence[str | int]) -> tf.Tensor:
    """Which of the classes a row has, of several values per row: float32 of 0 and 1, shape [batch, classes]."""
    import tensorflow as tf

    if not isinstance(values, tf.SparseTensor):
        values = tf.sparse.from_dense(values)
    among = tf.cast(values.values[:, None] == tf.constant(list(classes), values.dtype)[None, :], tf.float32)
    # Of rows without any value the largest is that of no numbers, far below 0.
    return tf.maximum(tf.math.unsorted_segment_max(among, values.indices[:, 0], values.dense_shape[0]), 0.0)


def is_missing(values: Values) -> tf.Tensor:
    """1 where a row has no value, else 0; float32, shape [batch]."""
    import tensorflow as tf

    if values.dtype == tf.string:
        return tf.cast(tf.equal(filled(values, ""), ""), tf.float32)
    return tf.cast(tf.math.is_nan(number(values, float("nan"))), tf.float32)


def filled(values: Values, missing: float | str) -> tf.Tensor:
    """One value per row of the column's own type, shape [batch]; `missing` where there is none."""
    import tensorflow as tf

    if isinstance(values, tf.SparseTensor):
        # A batch in which no row has the value is 0 columns wide.
        column = tf.SparseTensor(values.indices, values.values, [values.dense_shape[0], 1])
        values = tf.sparse.to_dense(column, tf.constant(missing, values.dtype))
    return tf.squeeze(values, axis=1)


def _numbers(values: Values, dtype: Any) -> tf.Tensor:
    """One number per row, shape [batch]; NaN where there is none."""
    import tensorflow as tf

    if values.dtype == tf.string:
        texts = filled(values, "")
        return tf.strings.to_number(tf.where(tf.equal(texts, ""), "nan", texts), dtype)
    return filled(_map(values, lambda flat: tf.cast(flat, dtype)), float("nan"))


def _days_of_date(year: tf.Tensor, month: tf.Tensor, day: tf.Tensor) -> tf.Tensor:
    """Days since 1970-01-01 of a date of the Gregorian calendar, int32.

    Years are counted from March: the day that leap years add is then the last one, and 153 days are five months.
    """
    import tensorflow as tf

    year = tf.where(month > 2, year, year - 1)
    since_march = (month + 9) % 12
    leap_days = year // 4 - year // 100 + year // 400
    return year * 365 + leap_days + (153 * since_march + 2) // 5 + day - 1 - 719_468


def _map(values: Values, function: Any) -> Values:
    import tensorflow as tf

    return tf.sparse.map_values(function, values) if isinstance(values, tf.SparseTensor) else function(values)
