"""Cameras age, a model of pets is found out, and another architecture takes its place; docs/loop-pets.md tells it.

Every command that it calls is printed before what it prints. What comes in between is what the world does: it asks
the server with photographs, and tells later where the pets were. Without photographs the animals are drawn.
"""

from __future__ import annotations

import argparse
import base64
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

# Works as a module and as a file.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from components.runtime.data.pictures import MEASURES
from components.runtime.errors import InputError
from scripts import command
from scripts.data import pet_pictures
from scripts.data.degraded import degraded
from scripts.data.pet_pictures import IMAGES, MASKS
from scripts.story import picture, telling
from scripts.story.telling import Telling, say

AGES = (0.0, 0.5, 1.0, 1.0)
"""How far the cameras have aged on each day."""

SMALL = "{alpha: 0.1, decoder_filters: [32, 24, 16, 16, 16], epochs: 1}"
"""The first network: the U-Net of pets, but narrow."""

CANDIDATES = """
candidates:
  unet: {}                                             # as it is
  deeplab: {train: {custom_config: {network: deeplab, alpha: 0.35, decoder_filters: [96, 64, 48, 32, 16]}}}
choose: {metric: mean_iou}
"""
"""What takes part in the competition for the first one's place."""

_WATCH = """
watch: {threshold: %.2f, min_rows: %d, min_labels: %d}     # a day has some photographs, not thousands of rows
"""
_BY_CHANCE = 1.9
"""Kolmogorov and Smirnov: two samples of one distribution differ by more than this times the root of the sum of the
inverses of their sizes once in 700 times."""

_FEATURE = """feature {
  name: "%s"
  type: FLOAT
  presence { min_fraction: 1.0 min_count: 1 }
  shape { dim { size: 1 } }
}
"""

_SIDE = 96
"""Pixels along a side of what is drawn."""
_REQUEST_ROWS = 10


@dataclass
class Story(Telling):
    """One telling.

    Attributes:
      photographs: a folder as Oxford-IIIT Pet has it, images and trimaps; None to draw animals.
      first: photographs that the first model learns from.
      asked: of each day.
      size: pixels along a side of what the networks see.
      steps: of a training.
    """

    NAME: ClassVar[str] = "shelter"
    SERVED: ClassVar[tuple[str, ...]] = ("--log-images",)

    every: int = 20
    photographs: Path | None = None
    first: int = 200
    asked: int = 100
    size: int = 64
    steps: int = 120

    def tell(self) -> None:
        """All of it, from the beginning to the end."""
        self.first_model()
        with self.serving() as address:
            for day, age in enumerate(AGES, 1):
                self.day(address, day, age)
        for day in range(1, len(AGES) + 1):
            self.feedback(day)
        say("On the first day all was as the model knew it:")
        self.watch(1, day=1)
        say("Nobody has told the model that the cameras have aged since. Watch finds it out:")
        self.watch(len(AGES), expected=3)
        self.compete()
        day = len(AGES) + 1
        with self.serving() as address:
            self.day(address, day, AGES[-1])
        self.feedback(day)
        say("The new version is asked what it was trained on, and answers as it did when it was blessed:")
        self.watch(1)
        say("It has proved itself:")
        self.promote(2, "the better of two architectures, for aged cameras")
        drawn = self.folder / f"{self.NAME}.png"
        picture.draw(self.folder / "logs" / self.NAME, day, drawn)
        say(f"What the cameras saw, what was true, and what was answered is drawn in {command.shown(drawn)}.")

    def first_model(self) -> None:
        """A first span of photographs, and a small network that learns from it."""
        kind = "photographs of" if self.photographs else "drawn animals in"
        say(f"A shelter's cameras, new: {self.first:,} {kind} its rooms, with masks, are the first span of data.")
        for place in range(self.first):
            name, image, mask = self.pair(place)
            for folder, file, content in ((IMAGES, f"{name}.jpg", image), (MASKS, f"{name}.png", mask)):
                (self.data / "span-1" / folder).mkdir(parents=True, exist_ok=True)
                (self.data / "span-1" / folder / file).write_bytes(content)
        self.millrace("new", str(self.model), "--from", "pets")
        settings, schema = self.model / "settings.yaml", self.model / "schema.pbtxt"
        text = (
            settings.read_text()
            .replace("mask_values: [1, 2, 3]", "mask_values: [1, 2, 3], measures: true")
            .replace("image_size: 128", f"image_size: {self.size}")
            .replace("train_steps: 100", f"train_steps: {self.steps}\n  custom_config: {SMALL}")
        )
        settings.write_text(text + self.watched())
        schema.write_text(schema.read_text() + "".join(_FEATURE % name for name in MEASURES))
        self.millrace("run", str(self.model), "--data", str(self.data), "--spans", "1")

    def watched(self) -> str:
        """What the settings say of watch: thresholds that chance does not pass with so few photographs."""
        trained_on = self.first * 2 // 3
        return _WATCH % (_BY_CHANCE * math.sqrt(1 / self.asked + 1 / trained_on), self.asked // 2, self.asked // 2)

    def day(self, address: str, day: int, age: float) -> None:
        """The cameras ask about photographs; people paint later where the pets were."""
        aged = f" by cameras that have aged to {age:.0%}" if age else ""
        say(f"Day {day}: {self.asked:,} photographs{aged} are asked about.")
        before = self.first + (day - 1) * self.asked
        pairs = [self.pair(before + place) for place in range(self.asked)]
        images = [degraded(image, age, before + place) for place, (_, image, _) in enumerate(pairs)]
        rows = [{"image": {"b64": base64.b64encode(image).decode()}} for image in images]
        ids = self.ask(address, day, rows, _REQUEST_ROWS)
        masks = self.folder / f"labels-{day}"
        masks.mkdir()
        for name, (_, _, mask) in zip(ids, pairs, strict=True):
            (masks / f"{name}.png").write_bytes(mask)
        self.write_labels(day, "mask", ((name, f"{masks.name}/{name}.png") for name in ids))

    def compete(self) -> None:
        """Two architectures learn from what the aged cameras saw, and the better one is pushed, whichever it is."""
        say("A second architecture is put beside the first, DeepLabV3+, and both learn from the newest two spans:")
        settings = self.model / "settings.yaml"
        settings.write_text(settings.read_text() + CANDIDATES)
        self.millrace("run", str(self.model), "--data", str(self.data), "--spans", "2")
        self.hold_pushed(2)

    def pair(self, place: int) -> tuple[str, bytes, bytes]:
        """Name, photograph and mask, the same for the same place."""
        if self.photographs is None:
            return f"animal_{place:05}", *pet_pictures.pair(place, 1, _SIDE)
        files = sorted((self.photographs / IMAGES).glob("*.jpg"))
        # Breeds lie one behind the other: what is strewn over all is of each day.
        file = files[place * 7919 % len(files)]
        return file.stem, file.read_bytes(), (self.photographs / MASKS / f"{file.stem}.png").read_bytes()


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""

    def options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--photographs",
            type=Path,
            help="folder of Oxford-IIIT Pet, as make download has it; without, drawn animals",
        )
        parser.add_argument(
            "--first", type=int, default=Story.first, help="photographs that the first model learns from"
        )
        parser.add_argument("--asked", type=int, default=Story.asked, help="photographs of each day")
        parser.add_argument("--size", type=int, default=Story.size, help="pixels along a side of what networks see")
        parser.add_argument("--steps", type=int, default=Story.steps, help="of each training")
        parser.add_argument("--every", type=int, default=Story.every, metavar="SECONDS", help="that a day takes here")

    def made(given: argparse.Namespace, folder: Path) -> Story:
        needed = given.first + (len(AGES) + 1) * given.asked
        if given.photographs and (found := len(list((given.photographs / IMAGES).glob("*.jpg")))) < needed:
            raise InputError(
                f"{command.shown(given.photographs)}: {found:,} photographs in {IMAGES}, {needed:,} are needed: "
                "give --first and --asked less, or leave --photographs out"
            )
        return Story(folder, given.every, given.photographs, given.first, given.asked, given.size, given.steps)

    return telling.main("pets", (__doc__ or "").split("\n")[0], options, made, argv)


if __name__ == "__main__":
    sys.exit(main())
