"""Animals that never lived, with their masks: drawn on noise, in the layout of the Oxford-IIIT Pet data set."""

from __future__ import annotations

import colorsys
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

IMAGES = "images"
MASKS = "annotations/trimaps"

_NAME = "animal_"

PET, BACKGROUND, BORDER = 1, 2, 3
"""Values in a mask, as in the real trimaps."""

SMALLEST, LARGEST = 150, 250
"""Pixels along a side of a picture."""

BORDER_SHARE = 0.025
"""Width of the border to each side of an outline, over the shorter side of the picture."""

_FURS = (
    (0.08, 0.55, 0.75),
    (0.06, 0.75, 0.45),
    (0.0, 0.05, 0.9),
    (0.1, 0.1, 0.25),
    (0.09, 0.35, 0.95),
    (0.0, 0.0, 0.55),
)
"""Hue, saturation and value of furs."""

_GROUNDS = (
    (0.27, 0.45, 0.45),
    (0.58, 0.35, 0.6),
    (0.08, 0.3, 0.35),
    (0.75, 0.2, 0.5),
    (0.02, 0.5, 0.5),
    (0.45, 0.3, 0.4),
)
"""Of what is behind them."""

Colour = tuple[float, float, float]
Pixels = npt.NDArray[np.uint8]


def pair(number: int, seed: int, side: int = 0) -> tuple[bytes, bytes]:
    """A picture as JPEG and its mask as PNG, the same for the same arguments.

    Args:
      number: of the picture.
      seed: another one gives other pictures.
      side: pixels along each side; 0 for sides of `SMALLEST` to `LARGEST`.
    """
    random = np.random.default_rng([seed, number])
    width, height = (side or int(drawn) for drawn in random.integers(SMALLEST, LARGEST + 1, 2))
    outline, details = _animal(random, width, height)
    fur, ground = _FURS[random.integers(len(_FURS))], _GROUNDS[random.integers(len(_GROUNDS))]
    scene = _noise(random, width, height, ground, coarse=6)
    coat = _noise(random, width, height, fur, coarse=16)
    picture = Image.composite(
        Image.fromarray(coat), Image.fromarray(scene), outline.filter(ImageFilter.GaussianBlur(1))
    )
    drawing = ImageDraw.Draw(picture)
    for box in details:
        drawing.ellipse(box, fill=(25, 20, 20))
    return _encoded(picture, "JPEG", quality=88), _encoded(_trimap(outline), "PNG")


def _animal(
    random: np.random.Generator, width: int, height: int
) -> tuple[Image.Image, list[tuple[float, float, float, float]]]:
    """The outline, 255 inside, and boxes of eyes and nose."""
    outline = Image.new("L", (width, height))
    draw = ImageDraw.Draw(outline)
    unit = min(width, height) * random.uniform(0.28, 0.5)
    left, top = width * random.uniform(0.35, 0.65), height * random.uniform(0.45, 0.65)
    side = random.choice([-1.0, 1.0])

    def ellipse(x: float, y: float, across: float, down: float) -> None:
        draw.ellipse((x - across, y - down, x + across, y + down), fill=255)

    length, depth = unit * random.uniform(0.75, 1.0), unit * random.uniform(0.4, 0.55)
    ellipse(left, top, length, depth)
    for place in (-0.7, -0.4, 0.4, 0.7):
        x, leg = left + place * length, unit * random.uniform(0.09, 0.13)
        draw.rounded_rectangle((x - leg, top, x + leg, top + depth + unit * 0.6), radius=leg, fill=255)
    tail = [(left - side * length * 0.9, top)]
    for step in range(1, 4):
        tail.append((left - side * (length + step * unit * 0.15), top - step * unit * random.uniform(0.1, 0.3)))
    draw.line(tail, fill=255, width=max(3, int(unit * 0.14)), joint="curve")
    x, y, head = left + side * length * 0.85, top - depth * 0.9, unit * random.uniform(0.36, 0.48)
    ellipse(x, y, head, head * random.uniform(0.85, 1.0))
    pointed = random.random() < 0.5
    for ear in (-0.6, 0.6):
        at = x + ear * head
        if pointed:
            draw.polygon(
                [(at - head * 0.35, y - head * 0.5), (at + head * 0.35, y - head * 0.5), (at, y - head * 1.5)], 255
            )
        else:
            ellipse(at + ear * head * 0.6, y, head * 0.25, head * 0.7)
    dot = head * 0.12
    spots = ((x - head * 0.35, y - head * 0.15), (x + head * 0.35, y - head * 0.15), (x, y + head * 0.3))
    return outline, [(a - dot, b - dot, a + dot, b + dot) for a, b in spots]


def _noise(random: np.random.Generator, width: int, height: int, colour: Colour, coarse: int) -> Pixels:
    """Clouds of one colour, lighter and darker, with grain."""
    hue, saturation, value = colour
    base = np.array(colorsys.hsv_to_rgb((hue + random.uniform(-0.03, 0.03)) % 1, saturation, value)) * 255
    clouds = random.integers(64, 192, (coarse, coarse, 1)) + random.integers(-32, 32, (coarse, coarse, 3))
    smooth = Image.fromarray(clouds.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    grain = random.normal(0, 8, (height, width, 1))
    return np.clip(base + (np.asarray(smooth, np.float64) - 128) * 0.6 + grain, 0, 255).astype(np.uint8)


def _trimap(outline: Image.Image) -> Image.Image:
    # A filter's window has an odd size.
    window = 2 * max(1, round(BORDER_SHARE * min(outline.size))) + 1
    inside = np.asarray(outline.filter(ImageFilter.MinFilter(window))) > 127
    around = np.asarray(outline.filter(ImageFilter.MaxFilter(window))) > 127
    return Image.fromarray(np.select([inside, around], [PET, BORDER], BACKGROUND).astype(np.uint8))


def _encoded(image: Image.Image, encoding: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, encoding, **options)
    return buffer.getvalue()


def paths(folder: Path, number: int) -> tuple[Path, Path]:
    """Where a picture and its mask lie."""
    return folder / IMAGES / f"{_NAME}{number:05d}.jpg", folder / MASKS / f"{_NAME}{number:05d}.png"


def remove_from(folder: Path, number: int) -> bool:
    """Removes the pictures from this number on, which an earlier call with more of them has left.

    Returns:
      Whether there were any.
    """
    removed = False
    for place, suffix in ((IMAGES, ".jpg"), (MASKS, ".png")):
        for file in (folder / place).glob(f"{_NAME}*{suffix}"):
            if file.stem.removeprefix(_NAME).isdecimal() and int(file.stem.removeprefix(_NAME)) >= number:
                file.unlink()
                removed = True
    return removed
