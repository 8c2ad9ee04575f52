"""Folders of small images, and plans without a run of ingest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from runners.scaffold.model import files
from runners.scaffold.model.images import layout, planning
from runners.scaffold.model.images.profile import Images


def save(file: Path, pixels: np.ndarray | None = None) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((6, 8, 3), np.uint8) if pixels is None else pixels).save(file)
    return file


def classes(folder: Path, *places: str, each: int = 2) -> Path:
    """Images in these folders below `folder`."""
    for place in places:
        for number in range(each):
            save(folder / place / f"{place.replace('/', '_')}{number}.png")
    return folder


def found(counts: dict[str, tuple[int, int]] | None = None, size: tuple[int, int] = (40, 40)) -> Images:
    """Grey images of these classes, by how many are there to train on and to hold out."""
    counts = counts or {"cat": (60, 30), "dog": (60, 30)}
    by_class = {name: Counter({"train": train, "eval": held}) for name, (train, held) in counts.items()}
    rows = sum(by_class.values(), Counter())
    return Images(rows, by_class, Counter({size: rows.total()}), Counter({"png": rows.total()}))


def masked(pixels: dict[int, int], masks: dict[int, int] | None = None) -> Images:
    """Images of 200 by 200 in colour with masks of these values."""
    return Images(
        Counter(train=60, eval=30),
        sizes=Counter({(200, 200): 90}),
        formats=Counter(jpeg=90),
        is_grey=False,
        pixels=Counter(pixels),
        masks=Counter(masks or dict.fromkeys(pixels, 90)),
    )


FOLDERS = layout.Layout(layout.CLASSES, {"layout": "folders"}, "folders")
PAIRS = layout.Layout(layout.MASKS, {"layout": "pairs", "images": "images", "masks": "masks"}, "pairs")


def plan(folder: Path, images: Images, how: layout.Layout = FOLDERS) -> planning.ImagePlan:
    return planning.plan(folder, "/data/of/mine", how, images)


def written(folder: Path, images: Images, how: layout.Layout = FOLDERS) -> dict[str, str]:
    """The files of a model, which lie in `folder` then."""
    made = files.render_templates(how.templates, {"plan": plan(folder, images, how)})
    files.write(folder, made)
    return made
