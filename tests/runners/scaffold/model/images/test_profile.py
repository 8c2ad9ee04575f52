"""What is in images is found in what ingest wrote of them."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from runners.scaffold.model.images import remarks
from runners.scaffold.model.images.profile import Images, profile
from tests.components.ingest.ingest_support import run_ingest
from tests.runners.scaffold.model.images.image_support import save


def looked_at(folder: Path, **images: Any) -> Images:
    made = run_ingest(folder / "out", folder / "data", format="images", images=images)
    assert made.exit_code == 0, made.stderr
    return profile(folder / "out" / "examples", ["train", "eval"])


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_classes_sizes_colours_and_what_is_there_twice(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for number in range(10):
        save(data / "cat" / f"{number}.png", pixels(number, 6, 8))
        save(data / "dog" / f"{number}.jpg", pixels(50 + number, 12, 16))
    shutil.copy(data / "cat" / "1.png", data / "cat" / "again.png")
    shutil.copy(data / "cat" / "2.png", data / "dog" / "cat.png")
    found = looked_at(tmp_path)
    assert found.counts == {"cat": 11, "dog": 11}
    assert found.count == found.rows.total() == 22
    assert found.sizes == Counter({(6, 8): 12, (12, 16): 10})
    assert found.formats == Counter(jpeg=10, png=12)
    assert (found.is_grey, found.twice) == (True, 2)
    assert [sorted(each) for each in found.contradictions] == [["cat/2.png", "dog/cat.png"]]
    assert found.ratio == 0.75


def test_one_image_in_colour_makes_all_coloured(tmp_path: Path) -> None:
    for number in range(6):
        save(tmp_path / "data" / f"class{number % 2}" / f"{number}.png", pixels(number, 6, 8))
    save(tmp_path / "data" / "class0" / "last.png", pixels(9, 6, 8, 3))
    found = looked_at(tmp_path)
    assert (found.is_grey, found.greys, found.looked_at) == (False, 6, 7)
    assert remarks.remarks(found, ())[-1].startswith("6 of 7 images are grey, the others in colour")


def test_values_of_masks_are_counted(tmp_path: Path) -> None:
    for number in range(6):
        mask = np.zeros((6, 8), np.uint8)
        mask[:2] = 7
        mask[5, 5] = 200 if number == 3 else 0
        save(tmp_path / "data" / "images" / f"{number}.png", pixels(number, 6, 8, 3))
        save(tmp_path / "data" / "masks" / f"{number}.png", mask)
    found = looked_at(tmp_path, layout="pairs", masks="masks", mask_values=[])
    assert found.pixels == Counter({0: 6 * 32 - 1, 7: 6 * 16, 200: 1})
    assert found.masks == Counter({0: 6, 7: 6, 200: 1})
    assert found.counts == {}
