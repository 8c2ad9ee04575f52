"""Thumbnails of encoded images, and of masks laid over them, small enough to stand in a page."""

from __future__ import annotations

import base64
import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from components.runtime.stage.report import COLORS

if TYPE_CHECKING:
    from PIL.Image import Image

PIXELS = 140
"""Longer side of a thumbnail."""

_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*")
_MAX_PIXELS = 25_000_000
"""More are not decoded, but for JPEG, which is decoded at a smaller scale."""
_QUALITY = 70
_OPAQUE = 0.55
_MASK_VALUES = 12


@dataclass(frozen=True)
class Picture:
    """An image for people.

    Attributes:
      description: its format and size, or why it is not drawn.
      source: a data URI; empty where it is not drawn.
      legend: value and colour of what a mask marks.
      width: of the thumbnail, pixels.
      height: of the thumbnail, pixels.
    """

    description: str
    source: str = ""
    legend: tuple[tuple[int, str], ...] = ()
    width: int = 0
    height: int = 0


def is_image(value: bytes) -> bool:
    """Whether bytes begin as an image does."""
    if value[:2] == b"BM":
        return len(value) > 54 and int.from_bytes(value[2:6], "little") == len(value)
    return value.startswith(_MAGIC) or (value[:4] == b"RIFF" and value[8:12] == b"WEBP")


def thumbnail(value: bytes) -> Picture:
    """Draws an image."""
    try:
        image, description = _open(value)
    except _Undrawn as reason:
        return Picture(str(reason))
    return _picture(image, description)


def overlay(value: bytes, mask: bytes) -> Picture:
    """Draws an image with the values of a mask in colours over it."""
    from PIL import Image

    try:
        image, _ = _open(value)
        marked, description = _open(mask, values=True)
    except _Undrawn as reason:
        return Picture(str(reason))
    marks = np.asarray(marked.resize(image.size, Image.Resampling.NEAREST))
    found = np.unique(marks)
    if len(found) > _MASK_VALUES:
        return Picture(f"{description}, with {len(found)} values")
    base = np.asarray(image, np.float32)
    legend = []
    for value_of_class in found.tolist():
        color = COLORS[value_of_class % len(COLORS)] if value_of_class else "#000000"
        legend.append((value_of_class, color))
        if value_of_class:
            where = marks == value_of_class
            tint = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)], np.float32)
            base = np.where(where[..., None], base * (1 - _OPAQUE) + tint * _OPAQUE, base)
    drawn = Image.fromarray(base.round().astype(np.uint8))
    return _picture(drawn, description, tuple(legend))


def size_text(size: int) -> str:
    """A number of bytes for people."""
    if size < 1000:
        return f"{size} bytes"
    unit = min(3, (len(str(size)) - 1) // 3)
    return f"{size / 1000**unit:.1f} {('kB', 'MB', 'GB')[unit - 1]}"


class _Undrawn(Exception):
    """Says what stands in the place of a picture."""


def _open(value: bytes, *, values: bool = False) -> tuple[Image, str]:
    """A small upright image in RGB, or with the values of a mask, and what the whole one is."""
    from PIL import Image, ImageOps

    about = f"image of {size_text(len(value))}"
    try:
        with warnings.catch_warnings():
            # Its size is held against our own limit.
            warnings.simplefilter("ignore")
            image: Image.Image = Image.open(io.BytesIO(value))
        width, height = image.size
        about = f"{(image.format or 'image').upper()} {width} × {height}, {size_text(len(value))}"
        if image.format == "JPEG":
            image.draft("RGB", (PIXELS * 2, PIXELS * 2))
        if image.size[0] * image.size[1] > _MAX_PIXELS:
            raise _Undrawn(f"{about}: too large to be drawn here")
        upright = ImageOps.exif_transpose(image)
        if values:
            single = upright if upright.mode in ("L", "P", "1") else upright.convert("L")
            marks = np.asarray(single).astype(np.uint8)
            upright = Image.fromarray(marks)
            upright.thumbnail((PIXELS, PIXELS), Image.Resampling.NEAREST)
            return upright, about
        upright = _rgb(upright)
        upright.thumbnail((PIXELS, PIXELS))
    except _Undrawn:
        raise
    except Exception:
        # Pillow's decoders raise errors of many types on broken images, with addresses in their texts.
        raise _Undrawn(f"{about}: broken, or of a kind that cannot be drawn") from None
    return upright, about


def _rgb(image: Image) -> Image:
    """The image in RGB: 16 bits scaled down, transparent over white."""
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        numbers = np.asarray(image, np.float64)
        low, high = float(numbers.min()), float(numbers.max())
        scaled = (numbers - low) * (255 / (high - low)) if high > low else numbers * 0
        return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        clear = image.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(white, clear).convert("RGB")
    return image.convert("RGB")


def _picture(image: Image, description: str, legend: tuple[tuple[int, str], ...] = ()) -> Picture:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, optimize=False)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Picture(description, f"data:image/jpeg;base64,{data}", legend, *image.size)
