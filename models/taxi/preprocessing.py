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
        outputs[transformed(name)] = tft.scale_to_z_score(tf.cast(filled(inputs[name]), tf.float32), name=name)
    for name in features.VOCABULARY:
        outputs[transformed(name)] = tft.compute_and_apply_vocabulary(
            filled(inputs[name]),
            top_k=features.VOCABULARY_SIZE,
            num_oov_buckets=features.OOV_BUCKETS,
            vocab_filename=name,
        )
    for name in features.BUCKETISED:
        outputs[transformed(name)] = tft.bucketize(filled(inputs[name]), features.BUCKETS, name=name)
    for name in features.CATEGORICAL:
        outputs[transformed(name)] = filled(inputs[name])
    outputs[transformed(features.LABEL)] = generous(inputs[features.LABEL], inputs[features.FARE])
    return outputs


def generous(tips: Feature, fare: Feature) -> tf.Tensor:
    """1 where the tip exceeds a fifth of the fare, else 0; int64, shape [batch].

    In float32, as the features are: a tip of exactly a fifth may fall on either side otherwise.
    """
    paid = filled(fare, default=float("nan"))
    return tf.cast(filled(tips) > paid * tf.constant(features.GENEROUS, tf.float32), tf.int64)


def filled(values: Feature, default: float | str | None = None) -> tf.Tensor:
    """One value per trip, shape [batch]: `default`, or 0 or the empty string, where it is missing."""
    if default is None:
        default = "" if values.dtype == tf.string else 0
    if isinstance(values, tf.SparseTensor):
        # A batch in which no trip has the value is 0 columns wide.
        column = tf.SparseTensor(values.indices, values.values, [values.dense_shape[0], 1])
        values = tf.sparse.to_dense(column, tf.constant(default, values.dtype))
    return tf.squeeze(values, axis=1)
