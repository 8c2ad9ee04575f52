"""DeepLabV3+ on the encoder of the U-Net: what lies deep is looked at in several widths at once, then refined once.

Source: Chen and others, "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation", 2018.
"""

from __future__ import annotations

import keras
import unet

RATES = (1, 2, 3)
"""Of the parallel convolutions with holes, for the few places that a small image has at a sixteenth of its size."""

_FINE, _MIDDLE, _DEEP = 0, 1, 3
"""Which of the encoder's joints are read: at a half, a quarter, and a sixteenth of the size."""


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
      decoder_filters: the first is of each of the parallel convolutions, the fourth of the refinement.
      dropout: share of the features that a training step leaves out.
      momentum: of batch normalisation.
      encoder_weights: see `unet.build`.

    Returns:
      A model from `{"image_xf": uint8 [batch, *size, 3]}` to probabilities of shape [batch, *size, classes].
    """

    def convolved(layer: keras.KerasTensor, filters: int, kernel: int, rate: int = 1) -> keras.KerasTensor:
        layer = keras.layers.Conv2D(
            filters, kernel, padding="same", dilation_rate=rate, use_bias=False, kernel_initializer="he_normal"
        )(layer)
        return keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=momentum)(layer))

    def larger(layer: keras.KerasTensor, times: int) -> keras.KerasTensor:
        return keras.layers.UpSampling2D(times, interpolation="bilinear")(layer)

    image = keras.Input((*size, 3), dtype="uint8", name="image_xf")
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    features = unet.encoder(size, alpha, momentum, encoder_weights)(scaled)
    wide, narrow = decoder_filters[0], decoder_filters[3]
    deep = keras.layers.Concatenate()([features[_DEEP], larger(features[-1], 2)])
    looks = [convolved(deep, wide, 1), *(convolved(deep, wide, 3, rate) for rate in RATES)]
    overall = convolved(keras.layers.GlobalAveragePooling2D(keepdims=True)(deep), wide, 1)
    looks.append(keras.layers.UpSampling2D((size[0] // 16, size[1] // 16))(overall))
    layer = keras.layers.SpatialDropout2D(dropout)(convolved(keras.layers.Concatenate()(looks), wide, 1))
    layer = keras.layers.Concatenate()([larger(layer, 4), convolved(features[_MIDDLE], narrow, 1)])
    layer = convolved(convolved(layer, wide, 3), wide, 3)
    layer = keras.layers.Concatenate()([larger(layer, 2), convolved(features[_FINE], narrow, 1)])
    layer = convolved(layer, narrow * 2, 3)
    layer = keras.layers.Conv2D(classes, 1, name="scores")(larger(layer, 2))
    # In float32 whatever the rest computes in: in float16 the smaller probabilities would be 0.
    probabilities = keras.layers.Softmax(dtype="float32")(layer)
    return keras.Model({"image_xf": image}, probabilities, name="deeplab")
