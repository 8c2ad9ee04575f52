"""Finds the folder of images and the folder of their masks."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from components.runtime.errors import InputError
from runners.scaffold.model.images.tree import Tree, folder, inside, stem

_NAME = re.compile(
    r"(.*[_\-. ])?(masks?|trimaps?|segmentations?|seg|segmaps?|annotations?|ground_?truths?|gt|segmentation_?class)"
    r"([_\-. ].*)?",
    re.IGNORECASE,
)
"""A folder of masks, most often. `labels` may be one, or hold labels of another kind: its files tell."""

_MARK = re.compile(r".*[_\-.](mask|seg|label|gt)", re.IGNORECASE)
_LOSSLESS = ("PNG", "BMP", "TIFF", "GIF")
_MANY_VALUES = 64
_LOOKED_AT = 5
_FEW_FOLDERS = 12


@dataclass(frozen=True)
class Pair:
    """Folders relative to the data: of images, and of masks."""

    images: str
    masks: str


def find(found: Tree) -> Pair | None:
    """The two folders that hold pairs, if there are any: most files of one have the name of one of the other.

    Raises:
      InputError: a folder is called as masks are, and no image has the name of one.
    """
    roots = _roots(found.images)
    named = [root for root in roots if root and _NAME.fullmatch(root.rpartition("/")[2])]
    candidates = named if len(roots) > _FEW_FOLDERS else [root for root in roots if root]
    by_root = {root: {stem(label, root): label for label in found.images if inside(label, root)} for root in roots}
    best: tuple[int, int, Pair] | None = None
    for masks in candidates:
        for images in roots:
            if images == masks or inside(images, masks):
                continue
            of_images = {key: label for key, label in by_root[images].items() if not inside(label, masks)}
            shared = of_images.keys() & by_root[masks].keys()
            if 2 * len(shared) < min(len(of_images), len(by_root[masks])) or not shared:
                continue
            sample = sorted(shared)[:: max(1, len(shared) // _LOOKED_AT)][:_LOOKED_AT]
            files = [(of_images[key], by_root[masks][key]) for key in sample]
            if masks in named or _are_masks(found, files):
                # Of folders within each other the deepest, in which the names are shortest.
                rank = (len(shared), len(images) + len(masks), Pair(images, masks))
                best = max(best, rank, key=lambda each: each[:2]) if best else rank
    if best is None and named and len(roots) <= _FEW_FOLDERS:
        _refuse_unpaired(found, named, by_root)
    return best[2] if best else None


def marked(images: Iterable[str]) -> str:
    """The first image whose name ends as that of a mask does; empty where none does."""
    return next((label for label in images if _MARK.fullmatch(stem(label))), "")


def _refuse_unpaired(found: Tree, named: list[str], by_root: dict[str, dict[str, str]]) -> None:
    masks = max(named, key=lambda root: len(by_root[root]))
    others = [label for label in found.images if not inside(label, masks)]
    folders = {folder(label) for label in others}
    # One folder beside it: with several the name may be that of a class.
    if len(folders) == 1 and all(inside(root, masks) or root == masks for root in named):
        raise InputError(
            f"{found.shown(masks)}: no mask there has the name of an image in {found.shown(folders.pop())}, such as "
            f"{others[0].rpartition('/')[2]}: give both the same name but for the suffix"
        )


def _roots(images: Iterable[str]) -> list[str]:
    """All folders that hold images, at any depth."""
    roots = set()
    for label in images:
        parts = label.split("/")[:-1]
        roots |= {"/".join(parts[:count]) for count in range(len(parts) + 1)}
    return sorted(roots)


def _are_masks(found: Tree, files: list[tuple[str, str]]) -> bool:
    """Whether the second of each two files looks like a mask of the first, and the first not like a mask."""
    return all(_is_mask(found, mask, image) and not _is_mask(found, image, mask) for image, mask in files)


def _is_mask(found: Tree, label: str, image: str) -> bool:
    """One channel of few values, without loss, of the image's size."""
    try:
        mask = Image.open(io.BytesIO(found.read(label)))
        few = mask.mode in ("1", "L", "P", "I", "I;16") and len(np.unique(np.asarray(mask))) <= _MANY_VALUES
        return few and mask.format in _LOSSLESS and mask.size == Image.open(io.BytesIO(found.read(image))).size
    except Exception:
        # Broken in whatever way, or far too large: ingest names it.
        return False
