"""Features of the taxi model, the same in training and in serving."""

from __future__ import annotations

from typing import TypeAlias

import features
import tensorflow as tf
import tensorflow_transform as tft
from features import transformed

Feature: TypeAlias = tf.Tensor | tf.SparseTensor


def preprocessing_fn(inputs: dict[str, Feature]) -> dict[str, tf.Tensor]:
    """Transforms raw trips.

    Args:
      inputs: raw features by name: dense of shape [batch, 1], or sparse with at most one value per trip.

    Returns:
      Features by their transformed names, each of shape [batch]: float32 for dense floats, int64 for all others.
      The label is 1 when the tip exceeds a fifth of the fare; a trip without a fare has label 0.
    """
    outputs = {}
    for name in features.DENSE_FLOAT:
        outputs[transformed(name)] = tft.scale_to_z_score(number(inputs[name], tf.float32))
    for name in features.VOCABULARY:
        outputs[transformed(name)] = tft.compute_and_apply_vocabulary(
            filled(inputs[name], default=""),
            top_k=features.VOCABULARY_SIZE,
            num_oov_buckets=features.OOV_BUCKETS,
            vocab_filename=name,
        )
    for name in features.BUCKETISED:
        outputs[transformed(name)] = tft.bucketize(number(inputs[name], tf.float32), features.BUCKETS)
    for name in features.CATEGORICAL:
        outputs[transformed(name)] = number(inputs[name], tf.int64)
    outputs[transformed(features.LABEL)] = generous(inputs[features.LABEL], inputs[features.FARE])
    return outputs


def generous(tips: Feature, fare: Feature) -> tf.Tensor:
    """1 where the tip exceeds a fifth of the fare, else 0; int64, shape [batch].

    In float32, as the features are: a tip of exactly a fifth may fall on either side otherwise.
    """
    paid = number(fare, tf.float32, default=float("nan"))
    return tf.cast(number(tips, tf.float32) > paid * tf.constant(features.GENEROUS, tf.float32), tf.int64)


def number(values: Feature, dtype: tf.DType, default: float = 0) -> tf.Tensor:
    """One number per trip, shape [batch]: `default` where it is missing.

    The type in the data depends on the data: a column without fractions holds integers, one without values text.
    """
    if values.dtype == tf.string:
        text = filled(values, default="")
        empty = tf.equal(text, "")
        numbers = tf.strings.to_number(tf.where(empty, "0", text), tf.float64)
        return tf.cast(tf.where(empty, tf.constant(default, tf.float64), numbers), dtype)
    return filled(tf.cast(values, dtype), default)


def filled(values: Feature, default: float | str) -> tf.Tensor:
    """One value per trip, shape [batch]: `default` where it is missing."""
    if isinstance(values, tf.SparseTensor):
        # A batch in which no trip has the value is 0 columns wide.
        column = tf.SparseTensor(values.indices, values.values, [values.dense_shape[0], 1])
        values = tf.sparse.to_dense(column, tf.constant(default, values.dtype))
    return tf.squeeze(values, axis=1)
