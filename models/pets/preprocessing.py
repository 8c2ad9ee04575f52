"""Photographs and their masks at the model's size, the same in training and in serving.

What is transformed stays encoded: PNG, which is lossless, of 8-bit pixels at the model's size. That is a twentieth of
the same pixels as floats and a third of a typical photograph, and a training step has a small image to decode instead
of a large one. `pixels` gives the pixels, in the input pipeline and in what is served.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from components.runtime import columns

IMAGE = "image"
MASK = "mask"
TRANSFORMED_IMAGE = "image_xf"
TRANSFORMED_MASK = "mask_xf"

CLASSES = ("pet", "background", "border")
"""Names of the classes of pixels, by number. In a mask file they are 1, 2 and 3, as in Oxford-IIIT Pet's trimaps."""

DEFAULTS: dict[str, Any] = {"image_size": 128}
"""What custom_config can change: pixels along a side of what the model sees."""

HALVINGS = 5
"""The encoder halves an image so many times."""

_FASTEST = 1
"""PNG's level of compression: a third of the time of the usual one for an eighth more bytes."""


def preprocessing_fn(inputs: dict[str, columns.Values], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Brings photographs and masks to one size.

    A photograph is stretched to a square: nothing is cut off, so a mask stretched back fits the whole of it.

    Args:
      inputs: `image`, encoded as JPEG or PNG, and `mask`, an encoded PNG of the same size with values 1 to 3; one of
        each per example.
      custom_config: may hold the keys of `DEFAULTS`.

    Returns:
      `image_xf` and `mask_xf`, encoded PNG, of shape [batch]; of the latter the values are numbers of `CLASSES`.

    Raises:
      ValueError: custom_config has an unknown key, or a size that the encoder cannot halve five times.
    """
    config = DEFAULTS | custom_config
    if unknown := sorted(config.keys() - DEFAULTS.keys()):
        raise ValueError(f"custom_config has an unknown key {unknown[0]!r}; known are: {', '.join(DEFAULTS)}")
    size = config["image_size"]
    if not isinstance(size, int) or size < 1 or size % 2**HALVINGS:
        raise ValueError(f"custom_config: image_size is {size!r}; give a multiple of {2**HALVINGS}, such as 128")

    images = _each(columns.text(inputs[IMAGE]), lambda image: _resized_image(image, size), [size, size, 3])
    masks = _each(columns.text(inputs[MASK]), lambda mask: _resized_mask(mask, size), [size, size, 1])
    return {
        TRANSFORMED_IMAGE: tf.io.encode_png(images, compression=_FASTEST),
        TRANSFORMED_MASK: tf.io.encode_png(masks, compression=_FASTEST),
    }


def pixels(transformed: dict[str, tf.Tensor], size: int) -> dict[str, tf.Tensor]:
    """Decodes what `preprocessing_fn` made.

    Args:
      transformed: `image_xf` and, where it is known, `mask_xf`, of shape [batch].
      size: pixels along a side.

    Returns:
      The same names: uint8 images of shape [batch, size, size, 3], uint8 class numbers of shape [batch, size, size].
    """
    decoded = {TRANSFORMED_IMAGE: _each(transformed[TRANSFORMED_IMAGE], _decoded(3), [size, size, 3])}
    if TRANSFORMED_MASK in transformed:
        masks = _each(transformed[TRANSFORMED_MASK], _decoded(1), [size, size, 1])
        decoded[TRANSFORMED_MASK] = tf.squeeze(masks, axis=-1)
    return decoded


def _each(encoded: tf.Tensor, decode: Any, shape: list[int]) -> tf.Tensor:
    """Decodes each of [batch] encoded images to uint8 of the same shape."""
    images = tf.map_fn(
        lambda each: tf.cast(decode(each), tf.uint8), encoded, fn_output_signature=tf.TensorSpec(shape, tf.uint8)
    )
    return tf.ensure_shape(images, [None, *shape])


def _decoded(channels: int) -> Any:
    return lambda encoded: tf.io.decode_png(encoded, channels=channels)


def _resized_image(encoded: tf.Tensor, size: int) -> tf.Tensor:
    # Whatever the name says: the content tells JPEG from PNG. Grey becomes RGB, transparency is dropped.
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    resized = tf.image.resize(tf.ensure_shape(image, [None, None, 3]), [size, size], antialias=True)
    return tf.saturate_cast(tf.round(resized), tf.uint8)


def _resized_mask(encoded: tf.Tensor, size: int) -> tf.Tensor:
    values = tf.image.resize(tf.io.decode_png(encoded, channels=1), [size, size], method="nearest")
    # A value that is no class fails here. An assertion would too, but as an operation with an effect it also runs where
    # the model serves, and there is no mask.
    return tf.gather(tf.range(len(CLASSES), dtype=tf.int32), tf.cast(values, tf.int32) - 1)
