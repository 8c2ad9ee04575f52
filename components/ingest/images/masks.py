"""Decodes a mask wholly and holds it against its image: one class number per pixel, nothing lossy, the same size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from components.ingest.images.checks import decoded, encode_png, orientation, png_header, upright
from components.ingest.images.faults import BadImage

_LOSSY = ("JPEG", "MPO", "WEBP")
_GREY = 0


def check_mask(content: bytes, size: tuple[int, int], values: Sequence[int]) -> tuple[bytes, str]:
    """Decodes a mask.

    Args:
      content: the encoded file.
      size: width and height of its image, upright.
      values: that it may hold; any where empty.

    Returns:
      A PNG of one channel of 8 bits, the file's own bytes where they are that; and why they are not, or nothing.

    Raises:
      BadImage: it cannot be decoded, is lossy or coloured, of another size, or holds another value.
    """
    image = decoded(content)
    if image.format in _LOSSY:
        raise BadImage(f"a mask as {image.format}, which may change its values: save it as PNG")
    turn = orientation(image)
    kept = image.format == "PNG" and png_header(content) == (8, _GREY) and turn == 1
    numbers = _numbers(image, content)
    if turn != 1:
        numbers = np.asarray(upright(Image.fromarray(numbers), turn))
    if numbers.shape != (size[1], size[0]):
        found = f"{numbers.shape[1]}x{numbers.shape[0]}"
        raise BadImage(f"a mask of {found} pixels, its image has {size[0]}x{size[1]}: give both the same size")
    _check_values(numbers, values)
    if kept:
        return content, ""
    return encode_png(Image.fromarray(numbers.astype(np.uint8))), "mask"


def _numbers(image: Image.Image, content: bytes) -> npt.NDArray[np.integer]:
    """The class numbers, shape [height, width]."""
    if image.mode == "P":
        # The numbers of the colours, not the colours: masks with a palette are made for people to look at.
        return np.asarray(image)
    if image.mode in ("1", "L"):
        numbers = np.asarray(image.convert("L"))
        bits = png_header(content)[0] if image.format == "PNG" else (1 if image.mode == "1" else 8)
        # Decoders spread few bits over 0 to 255; the mask means the numbers as they are stored.
        return numbers // {1: 255, 2: 85, 4: 17}.get(bits, 1)
    if image.mode.startswith("I"):
        return np.asarray(image)
    channels = np.asarray(image)
    if image.mode in ("LA", "RGBA") and (channels[..., -1] != 255).any():
        raise BadImage("a mask with transparency: save it with one channel of class numbers")
    if image.mode in ("LA", "RGB", "RGBA"):
        colours = channels[..., :1] if image.mode == "LA" else channels[..., :3]
        if (colours == colours[..., :1]).all():
            return colours[..., 0]
    raise BadImage(f"a mask in colours ({image.mode}): save it with one channel of class numbers")


def _check_values(numbers: npt.NDArray[np.integer], values: Sequence[int]) -> None:
    known = np.zeros(256, np.bool_)
    known[list(values) or slice(None)] = True
    if numbers.dtype == np.uint8:
        counts = np.bincount(numbers.ravel(), minlength=256)
        if not counts[~known].any():
            return
        wrong = ~known[numbers]
    else:
        wrong = (numbers < 0) | (numbers > 255)
        wrong |= ~known[np.clip(numbers, 0, 255)]
        if not wrong.any():
            return
    row, column = np.unravel_index(int(wrong.argmax()), wrong.shape)
    known_text = ", ".join(map(str, values)) if values else "0 to 255"
    raise BadImage(
        f"a mask with the value {numbers[row, column]} in {int(wrong.sum())} pixels, the first at x {column}, y {row}: "
        f"correct it, or images.mask_values ({known_text})"
    )
