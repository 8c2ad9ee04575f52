"""A U-Net whose encoder is MobileNetV2: coarse and deep features, joined with finer ones on the way back up."""

from __future__ import annotations

from pathlib import Path

import keras

from components.runtime import InputError, TransientError, local_path

IMAGENET = "imagenet"
"""Stands for the weights that Keras itself downloads."""

HALVINGS = 5
"""The encoder halves an image so many times, and the decoder doubles it as often."""

JOINTS = ("block_1_expand_relu", "block_3_expand_relu", "block_6_expand_relu", "block_13_expand_relu")
"""Layers of the encoder before each halving, at a half to a sixteenth of the size."""

BOTTOM = "block_16_project"
"""The layer at a thirty-second of the size."""


def build(
    size: tuple[int, int],
    classes: int,
    *,
    alpha: float,
    decoder_filters: list[int],
    dropout: float,
    momentum: float,
    encoder_weights: str = "",
) -> keras.Model:
    """The network, not compiled.

    Args:
      size: height and width in pixels, multiples of 32.
      classes: of pixels.
      alpha: width of the encoder; 1 is the published one.
      decoder_filters: filters of the decoder at a sixteenth, an eighth, a quarter, a half and the whole of the size.
      dropout: share of the features at the bottom and at the top that a training step leaves out.
      momentum: of the moving mean and variance that batch normalisation answers with.
      encoder_weights: a file of weights of Keras's MobileNetV2 without its top, `imagenet`, or nothing: random ones.

    Returns:
      A model from `{"image_xf": uint8 [batch, *size, 3]}` to probabilities of shape [batch, *size, classes].
    """
    image = keras.Input((*size, 3), dtype="uint8", name="image_xf")
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    *joints, layer = encoder(size, alpha, momentum, encoder_weights)(scaled)
    layer = keras.layers.SpatialDropout2D(dropout)(layer)
    for joint, filters in zip([*reversed(joints), scaled], decoder_filters, strict=True):
        layer = keras.layers.UpSampling2D(interpolation="bilinear")(layer)
        layer = keras.layers.Concatenate()([layer, joint])
        layer = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(layer)
        layer = keras.layers.BatchNormalization(momentum=momentum)(layer)
        layer = keras.layers.ReLU()(layer)
    layer = keras.layers.SpatialDropout2D(dropout)(layer)
    layer = keras.layers.Conv2D(classes, 1, name="scores")(layer)
    # In float32 whatever the rest computes in: in float16 the smaller probabilities would be 0.
    probabilities = keras.layers.Softmax(dtype="float32")(layer)
    return keras.Model({"image_xf": image}, probabilities, name="unet")


def encoder(size: tuple[int, int], alpha: float, momentum: float, weights: str) -> keras.Model:
    """MobileNetV2 as a model from a scaled image to its features at the joints and at the bottom."""
    # Keras warns that 128 is not 224; no weights are for one size only.
    mobilenet = _mobilenet(size, alpha, IMAGENET if weights == IMAGENET else None)
    if weights and weights != IMAGENET:
        _load(mobilenet, weights, alpha)
    for layer in mobilenet.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            # Keras's 0.999 takes thousands of steps to forget the means of the random weights that training began with.
            layer.momentum = momentum
    outputs = [mobilenet.get_layer(name).output for name in (*JOINTS, BOTTOM)]
    return keras.Model(mobilenet.input, outputs, name="encoder")


def _mobilenet(size: tuple[int, int], alpha: float, weights: str | None) -> keras.Model:
    try:
        return keras.applications.MobileNetV2((*size, 3), alpha=alpha, include_top=False, weights=weights)
    except ValueError as error:
        raise InputError(f"custom_config: alpha {alpha} and encoder_weights {weights!r}: {error}") from error
    except Exception as error:
        if weights is None:
            raise
        raise TransientError(
            f"encoder_weights {weights!r}: Keras's download fails ({error}); where there is no network, "
            "name a file that holds them"
        ) from error


def _load(mobilenet: keras.Model, weights: str, alpha: float) -> None:
    file: Path = local_path(weights)
    where = f"encoder_weights {weights}"
    if not file.is_file():
        raise InputError(f"{where}: no such file; give a .h5 file of weights of MobileNetV2 without its top")
    if file.suffix != ".h5":
        raise InputError(f"{where}: not a .h5 file; give weights that Keras saved, with its name")
    try:
        mobilenet.load_weights(file)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{where}: not weights of MobileNetV2 without its top at alpha {alpha} ({reason}); "
            "set alpha to what they were trained with"
        ) from error
