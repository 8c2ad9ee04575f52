"""A picture of what cameras saw, what was true, and what was answered, day by day, from the log and its labels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from components.runtime.data import pictures
from components.runtime.records import prediction_log
from components.runtime.records.prediction_log import Labels

SIDE = 112
"""Pixels along a side of each image in the picture."""
EACH = 2
"""Images of a day."""

_COLOURS = np.array([(234, 88, 12), (30, 58, 95), (250, 204, 21)], np.uint8)
"""Of pet, background and border."""
_HEAD, _GAP, _SIDE_NOTE = 30, 4, 70


def draw(log: Path, days: int, file: Path) -> None:
    """Draws the first images of each day: the photograph, below it the true mask, below that the answer.

    Args:
      log: of the model, with images and masks.
      days: how many there are; requests of day N are called `dayN.`.
      file: the PNG to write.
    """
    labels = Labels(prediction_log.read_labels(log))
    wanted = {f"day{day}.0-{place}": (day, place) for day in range(1, days + 1) for place in range(EACH)}
    found = {}
    for batch in prediction_log.read(log):
        for row in labels.join(batch).to_pylist():
            if row["prediction_id"] in wanted:
                found[wanted[row["prediction_id"]]] = row
    step = SIDE + _GAP
    canvas = Image.new("RGB", (_SIDE_NOTE + days * (EACH * step + 2 * _GAP), _HEAD + 3 * step), "white")
    pen = ImageDraw.Draw(canvas)
    for line, said in enumerate(("seen", "true", "answered")):
        pen.text((8, _HEAD + line * step + SIDE // 2), said, fill="black", font_size=13)
    for (day, place), row in sorted(found.items()):
        left = _SIDE_NOTE + (day - 1) * (EACH * step + 2 * _GAP) + place * step
        if not place:
            pen.text((left, 8), f"day {day}, version {row['version']}", fill="black", font_size=13)
        with Image.open(io.BytesIO(row["features"][pictures.IMAGE])) as image:
            seen = image.convert("RGB").resize((SIDE, SIDE))
        masks = (pictures.mask_values(row["label"]) - 1, np.array(row["prediction"]["mask"]))
        for line, shown in enumerate((seen, *map(_coloured, masks))):
            canvas.paste(shown, (left, _HEAD + line * step))
    canvas.save(file, optimize=True)


def _coloured(mask: npt.NDArray[np.integer]) -> Image.Image:
    return Image.fromarray(_COLOURS[mask]).resize((SIDE, SIDE), Image.Resampling.NEAREST)
