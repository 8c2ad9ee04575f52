"""From what is known of images to the plan of a model: the size that it sees, its network, its training, its gates."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError
from runners.scaffold.model import gates
from runners.scaffold.model.images.layout import CLASSES, MASKS, Layout
from runners.scaffold.model.images.profile import Images
from runners.scaffold.model.images.remarks import remarks
from runners.settings.folders import MODELS, shown

HALVINGS = 5
"""The U-Net's encoder halves an image so many times."""

_LARGEST = {CLASSES: 64, MASKS: 128}
"""Pixels along a side that a network of minutes on two processors can see; smaller images are seen as they are."""

_SMALLEST_MAP = 4
_MOST_FILTERS = 128
_SMALL = 32
"""Images of so many pixels along a side are drawings, characters or icons, most often, which no mirror leaves alike."""

_VERY_FEW = 10
_BATCH = {CLASSES: 32, MASKS: 16}
_SIGHTS = {CLASSES: 40, MASKS: 80}
"""How often the training sees each image, at most."""
_FEWEST_STEPS = {CLASSES: 200, MASKS: 200}
_MOST_STEPS = {CLASSES: 4000, MASKS: 1500}
_BUDGET = 4000 * 32 * 28 * 28
"""Pixels that a training sees, at most: minutes on two processors."""
_OF_THE_WAY = 0.1
"""From the best constant answer to a perfect one, that a model must come before it is blessed."""

_SPLIT_USE = {"train": "train on", "eval": "hold out"}

_IGNORED = 255
"""Where masks hold small numbers and this one, it stands for pixels of no class, as in Pascal VOC."""


@dataclass(frozen=True)
class ImagePlan:
    """A model to be written: all that its templates need.

    Attributes:
      name: of the model's folder.
      shown: what a shell's command calls the model.
      shown_folder: the same for its folder.
      place: of the data, as it is written into the settings.
      layout: how the images lie.
      images: what is known of them.
      shape: height, width and channels that the network sees.
      filters: of its convolutions.
      batch: images of a step.
      steps: of the training.
      values: of masks that are classes, by their number.
      ignored: the value of pixels that have no class, if there is one.
      remarks: what looks wrong, for people.
    """

    name: str
    shown: str
    shown_folder: str
    place: str
    layout: Layout
    images: Images
    shape: tuple[int, int, int]
    filters: tuple[int, ...]
    batch: int
    steps: int
    values: tuple[int, ...]
    ignored: int | None
    remarks: tuple[str, ...]

    @property
    def is_small(self) -> bool:
        """Whether the images are as small as characters and icons are."""
        return max(self.shape[:2]) <= _SMALL

    @property
    def question(self) -> str:
        """What the model answers, for people."""
        count = len(self.shares)
        if self.layout.kind == MASKS:
            return f"Which of {count} classes is each pixel?"
        return f"Which of {count} classes is it?" if count > 2 else f"Is it {' or '.join(map(str, self.shares))}?"

    @property
    def facts(self) -> list[str]:
        """What was found, for people."""
        colours = "grey" if self.images.is_grey else "in colour and grey" if self.images.greys else "in colour"
        rows = ", ".join(f"{count:,} to {_SPLIT_USE.get(split, split)}" for split, count in self.images.rows.items())
        what = "Of the pixels" if self.layout.kind == MASKS else "Of the images"
        shares = [f"{name} {share:.1%}" for name, share in self.shares.items()]
        more = f", … {len(shares) - 12} more" if len(shares) > 12 else ""
        seen = " x ".join(map(str, self.shape[:2]))
        return [
            f"{self.images.count:,} images {colours} ({rows}); {self.size_remark} The network sees {seen} pixels.",
            f"{what}: {', '.join(shares[:12])}{more}.",
        ]

    @property
    def description(self) -> str:
        """For the settings, in a few words."""
        network = "U-Net on a MobileNetV2 encoder" if self.layout.kind == MASKS else "convolutional network"
        return f"{'Pixels' if self.layout.kind == MASKS else 'Images'} of {len(self.shares)} classes, {network}"

    @property
    def ingest_images(self) -> dict[str, Any]:
        """The section `ingest.images`; empty where its defaults do."""
        images = dict(self.layout.images)
        if self.layout.kind == MASKS:
            return images | {"mask_values": [*self.values] + ([] if self.ignored is None else [self.ignored])}
        return {} if images == {"layout": "folders"} else images

    @property
    def size_remark(self) -> str:
        """What sizes the images have, in words."""
        if len(self.images.sizes) == 1:
            (height, width) = self.images.size
            return f"the images have {height} x {width} pixels."
        low, high = (order(self.images.sizes, key=math.prod) for order in (min, max))
        return f"the images have {low[0]} x {low[1]} to {high[0]} x {high[1]} pixels."

    @property
    def sights(self) -> int:
        """How often the training sees each image."""
        return max(1, round(self.steps * self.batch / self.images.rows["train"]))

    @property
    def shares(self) -> dict[Any, float]:
        """Of the images that have each class, or of the pixels; the most frequent first."""
        counts: Mapping[Any, int] = self.images.counts
        if self.layout.kind == MASKS:
            counts = {value: self.images.pixels[value] for value in self.values}
        total = sum(counts.values())
        return {name: count / total for name, count in sorted(counts.items(), key=lambda each: -each[1])}

    @property
    def known_classes(self) -> list[str]:
        """Classes with images to train on, by name."""
        return sorted(name for name, splits in self.images.classes.items() if splits["train"])

    @property
    def imbalanced(self) -> bool:
        """Whether the rarest class has less than half of what it would have among equals."""
        return min(self.shares.values()) * len(self.shares) < 0.5

    @property
    def unseen(self) -> bool:
        """Whether a class may have no image to train on, so that the network needs an answer for others."""
        return min(splits["train"] for splits in self.images.classes.values()) < _VERY_FEW

    @property
    def judges_ranking(self) -> bool:
        """Whether the gate is on scores by class, which are defined where each is trained on and held out."""
        return self.imbalanced and all(splits["train"] and splits["eval"] for splits in self.images.classes.values())

    @property
    def lift(self) -> float:
        """The accuracy of a model that comes a part of the way to a perfect one, over the best constant answer's."""
        most = max(self.shares.values())
        return max(gates.lift(most, self.images.rows["eval"]), _floored((most + _OF_THE_WAY * (1 - most)) / most))

    @property
    def auc(self) -> float:
        """The mean area under the ROC curve of the classes that chance hardly reaches on so few images."""
        return gates.auc(min(self.shares.values()), self.images.rows["eval"]).bound

    @property
    def iou_lift(self) -> float:
        """The mean IoU of such a model over the best constant answer's, which gets its share in one class of all."""
        constant = max(self.shares.values()) / len(self.shares)
        return _floored((constant + _OF_THE_WAY * (1 - constant)) / constant)


def plan(folder: Path, place: str, layout: Layout, images: Images) -> ImagePlan:
    """Everything that the files of a model for images say.

    Raises:
      InputError: nothing can be learned from these images.
    """
    for split, use in _SPLIT_USE.items():
        if not images.rows[split]:
            raise InputError(f"{place}: of {images.count} images none is left to {use}: a model needs more of them")
    values, ignored = _values(images) if layout.kind == MASKS else ((), None)
    if layout.kind == MASKS and len(values) < 2:
        raise InputError(f"{place}: all masks hold one value, {values[0]}; a model needs pixels of two classes")
    if layout.kind == CLASSES and len(images.counts) < 2:
        raise InputError(f"{place}: one class only, {next(iter(images.counts))}; a model needs images of two classes")
    shape = _shape(images, layout)
    batch = _BATCH[layout.kind]
    return ImagePlan(
        name=folder.name,
        shown=folder.name if folder.parent == MODELS else shlex.quote(str(folder)),
        shown_folder=shlex.quote(str(shown(folder))),
        place=place,
        layout=layout,
        images=images,
        shape=shape,
        filters=_filters(shape),
        batch=batch,
        steps=_steps(layout, images.rows["train"], shape, batch),
        values=values,
        ignored=ignored,
        remarks=(*layout.remarks, *remarks(images, values)),
    )


def _shape(images: Images, layout: Layout) -> tuple[int, int, int]:
    """What the network sees: as the images are where all are small and alike, else of their ratio and smaller."""
    largest, (height, width) = _LARGEST[layout.kind], images.size
    if len(images.sizes) > 1 or max(height, width) > largest:
        # A square where ratios differ: nothing is cut off.
        side = min(largest, max(images.size))
        height, width = round(side * min(1.0, images.ratio)), round(side * min(1.0, 1 / images.ratio))
    if layout.kind == MASKS:
        step = 2**HALVINGS
        height, width = (max(2, round(side / step)) * step for side in (height, width))
        return height, width, 3
    return max(height, 4), max(width, 4), 1 if images.is_grey else 3


def _filters(shape: tuple[int, int, int]) -> tuple[int, ...]:
    """Twice as many after each halving, until an image is a few pixels wide."""
    layers = max(2, math.floor(math.log2(min(shape[:2]) / _SMALLEST_MAP)) + 1) if min(shape[:2]) >= 4 else 2
    first = 32 if max(shape[:2]) <= 16 else 16
    return tuple(min(first * 2**layer, _MOST_FILTERS) for layer in range(layers))


def _steps(layout: Layout, rows: int, shape: tuple[int, int, int], batch: int) -> int:
    kind = layout.kind
    enough = math.ceil(rows * _SIGHTS[kind] / batch)
    affordable = _BUDGET // (batch * shape[0] * shape[1])
    steps = min(max(enough, _FEWEST_STEPS[kind]), max(affordable, _FEWEST_STEPS[kind]), _MOST_STEPS[kind])
    # A multiple of the evaluations, between which Keras makes whole calls only.
    return math.ceil(steps / 100) * 100


def _values(images: Images) -> tuple[tuple[int, ...], int | None]:
    """Values that are classes, and the one that stands for none."""
    values = sorted(images.pixels)
    if len(values) > 2 and values[-1] == _IGNORED and values[-2] < _IGNORED // 2:
        return tuple(values[:-1]), _IGNORED
    return tuple(values), None


def _floored(number: float) -> float:
    """To two digits, so that it is no more than was said."""
    return math.floor(number * 100) / 100
