"""Changes images as another camera and another day would, and their masks in the same way."""

from __future__ import annotations

import tensorflow as tf

DARKEST, BRIGHTEST = -32.0, 32.0
"""Added to every channel of an image of 0 to 255."""

FLATTEST, HARSHEST = 0.7, 1.3
"""Factors of the distance to the mean (contrast), and to grey (saturation)."""

TALLEST, WIDEST = 0.85, 1.15
"""Factors of the width of what is cut out over its height."""

_GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness; source: ITU-R BT.601."""


def augment(images: tf.Tensor, masks: tf.Tensor, seed: tf.Tensor, smallest: float = 0.6) -> tuple[tf.Tensor, tf.Tensor]:
    """Cuts out, enlarges, mirrors and colours, each image in its own way.

    Args:
      images: uint8, [batch, height, width, 3].
      masks: integers, [batch, height, width].
      seed: two integers; the same ones give the same changes.
      smallest: part of a side that is kept at least; 1 keeps the whole, mirrored or not.

    Returns:
      Images and masks of the same shapes and types. A place of an image and the same place of its mask come from one
      place of the original.
    """
    batch, height, width = tf.shape(images)[0], tf.shape(images)[1], tf.shape(images)[2]
    seeds = tf.random.split(tf.cast(seed, tf.int32), 2)
    boxes = _boxes(batch, seeds[0], smallest)

    def cut(source: tf.Tensor, method: str) -> tf.Tensor:
        return tf.image.crop_and_resize(source, boxes, tf.range(batch), [height, width], method=method)

    coloured = _coloured(cut(images, "bilinear"), seeds[1])
    places = cut(masks[..., tf.newaxis], "nearest")[..., 0]
    return (
        tf.ensure_shape(tf.saturate_cast(tf.round(coloured), tf.uint8), images.shape),
        tf.ensure_shape(tf.cast(places, masks.dtype), masks.shape),
    )


def _boxes(batch: tf.Tensor, seed: tf.Tensor, smallest: float) -> tf.Tensor:
    """Corners (top, left, bottom, right) from 0 to 1, of shape [batch, 4]; mirrored where left and right change."""
    size, ratio, down, across, mirrored = tf.unstack(tf.random.stateless_uniform([5, batch], seed))
    height = smallest + (1 - smallest) * size
    # As wide as high, but for a stretch that the whole image leaves no room for.
    width = tf.minimum(height * (TALLEST + (WIDEST - TALLEST) * ratio), 1.0) if smallest < 1 else height
    top, left = down * (1 - height), across * (1 - width)
    right = left + width
    swap = mirrored < 0.5
    return tf.stack([top, tf.where(swap, right, left), top + height, tf.where(swap, left, right)], axis=1)


def _coloured(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    random = tf.random.stateless_uniform([3, tf.shape(images)[0], 1, 1, 1], seed)
    brighter = DARKEST + (BRIGHTEST - DARKEST) * random[0]
    contrast, saturation = tf.unstack(FLATTEST + (HARSHEST - FLATTEST) * random[1:])
    grey = tf.reduce_sum(images * tf.constant(_GREY), axis=-1, keepdims=True)
    images = grey + (images - grey) * saturation
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    return mean + (images - mean) * contrast + brighter
