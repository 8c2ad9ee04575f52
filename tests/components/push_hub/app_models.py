"""Two small SavedModels for the apps; run by the apps' own interpreter: app_models.py KIND FOLDER."""

from __future__ import annotations

import sys
from typing import Any

import tensorflow as tf


class Table(tf.Module):
    """A score from a few plain features, told by hand: sigmoid(miles - 3 + a company is named + hours / 10)."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="company"),
            tf.TensorSpec([None, None], tf.int64, name="hours"),
            tf.TensorSpec([None], tf.float32, name="trip_miles"),
        ]
    )
    def serve(self, company: Any, hours: Any, trip_miles: Any) -> dict[str, Any]:
        miles = tf.where(tf.math.is_nan(trip_miles), 0.0, trip_miles)
        named = tf.cast(tf.not_equal(company, ""), tf.float32)
        total = tf.reduce_sum(tf.cast(hours, tf.float32), axis=1)
        return {"outputs": tf.sigmoid(miles - 3.0 + named + total / 10.0)}


class Pictures(tf.Module):
    """The class of each pixel of an encoded image: dark, bright or red, as scores of shape [B, 64, 64, 3]."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serve(self, image_bytes: Any) -> dict[str, Any]:
        def one(content: Any) -> Any:
            image = tf.io.decode_image(content, 3, expand_animations=False)
            image.set_shape([None, None, 3])
            image = tf.image.resize(tf.image.convert_image_dtype(image, tf.float32), [64, 64])
            bright = tf.reduce_mean(image, axis=-1)
            return tf.nn.softmax(tf.stack([1 - bright, bright, 3 * (image[..., 0] - image[..., 2])], axis=-1))

        return {"outputs": tf.map_fn(one, image_bytes, fn_output_signature=tf.TensorSpec([64, 64, 3], tf.float32))}


if __name__ == "__main__":
    kind, folder = sys.argv[1:]
    model = {"table": Table, "image": Pictures}[kind]()
    tf.saved_model.save(model, folder, signatures={"serving_default": model.serve})
