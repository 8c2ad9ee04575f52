"""Digits as images of floats between 0 and 1, the same in training and in serving."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from components.runtime import columns

IMAGE = "image_raw"
TRANSFORMED_IMAGE = "image_xf"
LABEL = "label_xf"
RAW_LABELS = ["label"]

IMAGE_SIZE = 8
"""Pixels along a side of scikit-learn's digits; MNIST's have 28."""

PIXEL_MAX = 16
"""The brightest pixel of scikit-learn's digits; MNIST's is 255."""


def preprocessing_fn(inputs: dict[str, columns.Values], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Decodes and scales the images.

    Args:
      inputs: `image_raw` (bytes: one uint8 per pixel, row by row) and `label` (0 to 9), one of each per example.
      custom_config: `image_size`, pixels along a side, and `pixel_max`, the value that becomes 1.

    Returns:
      `image_xf`, float32 of shape [batch, size, size, 1], and `label_xf`, int64 of shape [batch].
    """
    size = int(custom_config.get("image_size", IMAGE_SIZE))
    scale = float(custom_config.get("pixel_max", PIXEL_MAX))
    pixels = tf.io.decode_raw(columns.text(inputs[IMAGE]), tf.uint8)
    # Reshaping alone would make two rows of an image of twice the size.
    pixels = tf.ensure_shape(pixels, [None, size * size])
    images = tf.reshape(tf.cast(pixels, tf.float32) / scale, [-1, size, size, 1])
    return {TRANSFORMED_IMAGE: images, LABEL: columns.integer(inputs["label"])}
