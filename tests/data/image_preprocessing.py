"""Photographs and masks to 128x128, with an analyzer over the pixels.

The analyzer makes transform read the images twice, once through Beam.
"""

from __future__ import annotations

import tensorflow as tf
import tensorflow_transform as tft

SIDE = 128


def preprocessing_fn(inputs: dict[str, tf.Tensor | tf.SparseTensor]) -> dict[str, tf.Tensor]:
    """Resizes.

    Args:
      inputs: `image` and `mask`, encoded, sparse as a schema without shapes gives them.

    Returns:
      `image_xf` and `mask_xf`, encoded PNG, of shape [batch]; `brightness`, scaled, of shape [batch].
    """
    images = _each(inputs["image"], _image, 3)
    masks = _each(inputs["mask"], _mask, 1)
    brightness = tf.reduce_mean(tf.cast(images, tf.float32), axis=[1, 2, 3])
    return {
        "image_xf": tf.io.encode_png(images, compression=1),
        "mask_xf": tf.io.encode_png(masks, compression=1),
        "brightness": tft.scale_to_z_score(brightness),
    }


def _each(encoded: tf.Tensor | tf.SparseTensor, decode: object, channels: int) -> tf.Tensor:
    dense = tf.sparse.to_dense(encoded) if isinstance(encoded, tf.SparseTensor) else encoded
    spec = tf.TensorSpec([SIDE, SIDE, channels], tf.uint8)
    return tf.map_fn(decode, tf.reshape(dense, [-1]), fn_output_signature=spec)


def _image(encoded: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    resized = tf.image.resize(tf.ensure_shape(image, [None, None, 3]), [SIDE, SIDE], antialias=True)
    return tf.saturate_cast(tf.round(resized), tf.uint8)


def _mask(encoded: tf.Tensor) -> tf.Tensor:
    return tf.image.resize(tf.io.decode_png(encoded, channels=1), [SIDE, SIDE], method="nearest")
