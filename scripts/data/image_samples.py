"""Generated images with masks, of the weight of photographs: noise under shapes. For benchmarks and tests of memory.

They resemble nothing; what a model can learn from is another matter, that of `make sample-data MODEL=pets`.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

IMAGES, MASKS = "images", "annotations/trimaps"
PET, BACKGROUND, BORDER = 1, 2, 3
_QUALITY = 85
_GRAIN = 13.0
"""Standard deviation of the noise; with it a JPEG of 512x512 has about 75 KB."""


def write(folder: Path, count: int, *, side: int = 512, seed: int = 1) -> Path:
    """Writes `count` pairs of square images and masks in the layout `pairs`; the same arguments give the same files.

    Args:
      folder: gets `images/*.jpg` and `annotations/trimaps/*.png`.
      count: of pairs.
      side: in pixels.
      seed: another one gives other images.
    """
    for name in (IMAGES, MASKS):
        (folder / name).mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    grain = random.normal(0, _GRAIN, (side, 2 * side, 3)).astype(np.float32)
    for number in range(count):
        image, mask = _pair(random, grain, side)
        (folder / IMAGES / f"sample_{number:05d}.jpg").write_bytes(_encoded(image, "JPEG", quality=_QUALITY))
        (folder / MASKS / f"sample_{number:05d}.png").write_bytes(_encoded(mask, "PNG", compress_level=1))
    return folder


def _pair(
    random: np.random.Generator, grain: npt.NDArray[np.float32], side: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """An ellipse before a background: pixels of shape [side, side, 3], values of the mask of shape [side, side]."""
    rows, columns = np.ogrid[:side, :side]
    middle, radii = random.uniform(0.3, 0.7, 2) * side, random.uniform(0.15, 0.3, 2) * side
    distance = ((rows - middle[0]) / radii[0]) ** 2 + ((columns - middle[1]) / radii[1]) ** 2
    colours = random.uniform(40, 215, (2, 3)).astype(np.float32)
    start = int(random.integers(0, side))
    pixels = np.where((distance < 1)[..., None], colours[0], colours[1]) + grain[:, start : start + side]
    mask = np.where(distance < 0.9, PET, np.where(distance < 1.1, BORDER, BACKGROUND))
    return np.clip(pixels, 0, 255).astype(np.uint8), mask.astype(np.uint8)


def _encoded(pixels: npt.NDArray[np.uint8], kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()
