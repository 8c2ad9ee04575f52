"""What is known of images before a model is written for them."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from components.runtime.data import examples, tfrecord

_COLOURS_LOOKED_AT = 200
_GREY_NOISE = 10
"""JPEG changes the channels of a grey image by a few steps."""


@dataclass
class Images:
    """What ingest made of the images.

    Attributes:
      rows: images of each split.
      classes: images of each class in each split.
      sizes: how often each height and width is met.
      formats: how often `jpeg` and `png` are.
      is_grey: whether no image that was looked at has colours.
      looked_at: images whose colours were.
      greys: of them, those without.
      pixels: of each value that masks hold, its pixels.
      masks: of each value, the masks that hold it.
      twice: images whose bytes another one has.
      twice_apart: of them, those of two splits.
      contradictions: names of two images of the same bytes and of different classes.
    """

    rows: Counter[str] = field(default_factory=Counter)
    classes: dict[str, Counter[str]] = field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    is_grey: bool = True
    looked_at: int = 0
    greys: int = 0
    pixels: Counter[int] = field(default_factory=Counter)
    masks: Counter[int] = field(default_factory=Counter)
    twice: int = 0
    twice_apart: int = 0
    contradictions: list[tuple[str, str]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Images of all splits."""
        return self.rows.total()

    @property
    def counts(self) -> dict[str, int]:
        """Images of each class, the most frequent first."""
        totals = {name: splits.total() for name, splits in self.classes.items()}
        return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the middle image."""
        heights, widths = zip(*self.sizes.elements(), strict=True)
        return int(median(heights)), int(median(widths))

    @property
    def ratio(self) -> float:
        """Height over width that nearly all images have; 1 where they differ."""
        ratios = sorted(height / width for height, width in self.sizes.elements())
        low, middle, high = (ratios[int(part * (len(ratios) - 1))] for part in (0.05, 0.5, 0.95))
        return middle if high / low < 1.2 else 1.0


def profile(folder: Path, splits: Iterable[str]) -> Images:
    """Looks at every image that ingest wrote.

    Args:
      folder: the artifact of ingest.
      splits: that it has.
    """
    found = Images()
    seen: dict[bytes, tuple[str, str, str]] = {}
    for split in splits:
        for file in sorted((folder / f"Split-{split}").iterdir()):
            for record in tfrecord.read(file):
                _add(found, examples.decode(record), split, seen)
    return found


def _add(found: Images, example: Mapping[str, list[Any]], split: str, seen: dict[bytes, tuple[str, str, str]]) -> None:
    (content,), (height,), (width,) = example["image"], example["height"], example["width"]
    name = example["image_name"][0].decode()
    label = example["label"][0].decode() if "label" in example else ""
    if found.looked_at < _COLOURS_LOOKED_AT:
        is_grey = _is_grey(content)
        found.looked_at += 1
        found.greys += is_grey
        found.is_grey = found.is_grey and is_grey
    found.rows[split] += 1
    found.sizes[height, width] += 1
    found.formats[example["image_format"][0].decode()] += 1
    if "label" in example:
        found.classes.setdefault(label, Counter())[split] += 1
    if "mask" in example:
        counts = np.bincount(np.asarray(Image.open(io.BytesIO(example["mask"][0]))).ravel())
        for value in map(int, counts.nonzero()[0]):
            found.pixels[value] += int(counts[value])
            found.masks[value] += 1
    first = seen.setdefault(hashlib.sha256(content).digest(), (name, label, split))
    if first[0] != name:
        found.twice += 1
        found.twice_apart += first[2] != split
        if first[1] != label:
            found.contradictions.append((first[0], name))


def _is_grey(content: bytes) -> bool:
    image = Image.open(io.BytesIO(content))
    if image.mode in ("1", "L", "LA"):
        return True
    channels = np.asarray(image.convert("RGB")).astype(np.int16)
    return int(np.ptp(channels, axis=-1).max()) <= _GREY_NOISE
