"""Raw columns as dense tensors, for `preprocessing_fn`: one value per row, and what stands where there is none.

What a raw feature is depends on the data: dense of shape [batch, 1] where every row has a value, else sparse; a column
of numbers without fractions holds integers, one without values text. What these functions return does not.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import tensorflow as tf

Values: TypeAlias = tf.Tensor | tf.SparseTensor
"""A raw feature, of at most one value per row."""


def number(values: Values, missing: float = 0.0) -> tf.Tensor:
    """One float32 per row, shape [batch]; `missing` where there is no value, or NaN."""
    if values.dtype == tf.string:
        texts = filled(values, "")
        empty = tf.equal(texts, "")
        numbers = tf.strings.to_number(tf.where(empty, "nan", texts), tf.float32)
    else:
        numbers = filled(_map(values, lambda flat: tf.cast(flat, tf.float32)), float("nan"))
    return tf.where(tf.math.is_nan(numbers), tf.constant(missing, tf.float32), numbers)


def integer(values: Values, missing: int = 0) -> tf.Tensor:
    """One int64 per row, shape [batch], without its fraction; `missing` where there is no value."""
    if values.dtype == tf.int64:
        return filled(values, missing)
    numbers = number(values, float("nan"))
    return tf.where(tf.math.is_nan(numbers), tf.constant(missing, tf.int64), tf.cast(numbers, tf.int64))


def text(values: Values, missing: str = "") -> tf.Tensor:
    """One text per row, shape [batch]; `missing` where there is no value."""
    if values.dtype != tf.string:
        values = _map(values, lambda flat: tf.strings.as_string(flat, shortest=flat.dtype.is_floating))
    return filled(values, missing)


def is_missing(values: Values) -> tf.Tensor:
    """1 where a row has no value, else 0; float32, shape [batch]."""
    if values.dtype == tf.string:
        return tf.cast(tf.equal(filled(values, ""), ""), tf.float32)
    return tf.cast(tf.math.is_nan(number(values, float("nan"))), tf.float32)


def filled(values: Values, missing: float | str) -> tf.Tensor:
    """One value per row of the column's own type, shape [batch]; `missing` where there is none."""
    if isinstance(values, tf.SparseTensor):
        # A batch in which no row has the value is 0 columns wide.
        column = tf.SparseTensor(values.indices, values.values, [values.dense_shape[0], 1])
        values = tf.sparse.to_dense(column, tf.constant(missing, values.dtype))
    return tf.squeeze(values, axis=1)


def _map(values: Values, function: Any) -> Values:
    return tf.sparse.map_values(function, values) if isinstance(values, tf.SparseTensor) else function(values)
