"""Photographs as cameras take them that age, in rooms that darken."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

BLUR = 0.02
"""Deviation of the blur at the worst, over the shorter side."""
LIGHT = 0.4
"""Share of the light that is left at the worst."""
NOISE = 14.0
"""Deviation of the noise of the sensor at the worst, of values 0 to 255."""
BEST, WORST = 88, 28
"""Quality of JPEG, 1 to 95."""


def degraded(content: bytes, amount: float, seed: int) -> bytes:
    """The same photograph, blurred, darker, noisy and compressed, in this order; as it was where the amount is 0.

    Args:
      content: an encoded image.
      amount: 0 to 1, how much.
      seed: of the noise.
    """
    if not amount:
        return content
    with Image.open(io.BytesIO(content)) as image:
        blurred = image.convert("RGB").filter(ImageFilter.GaussianBlur(amount * BLUR * min(image.size)))
    pixels = np.asarray(blurred, np.float32) * (1 - (1 - LIGHT) * amount)
    pixels += np.random.default_rng(seed).normal(0, NOISE * amount, pixels.shape)
    made = io.BytesIO()
    darker = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    darker.save(made, "JPEG", quality=round(BEST - (BEST - WORST) * amount))
    return made.getvalue()
