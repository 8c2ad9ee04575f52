"""How images lie at a place: in folders of classes, by a list, or as pairs of image and mask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from components.runtime.errors import InputError
from runners.scaffold.model.images import lists, pairs
from runners.scaffold.model.images.tree import Tree, common_folder, folder, inside, tree

Kind = Literal["classes", "masks"]
CLASSES: Kind = "classes"
MASKS: Kind = "masks"

_TRAIN = ("train", "training")
_EVAL = ("val", "valid", "validation", "eval", "evaluation", "dev")
_TEST = ("test", "testing")


@dataclass(frozen=True)
class Layout:
    """What ingest must be told to read the images, where that is not the default.

    Attributes:
      kind: whether an image has a class, or each of its pixels.
      images: the section `ingest.images`.
      split_patterns: where the data has been split already.
      why: in words, for people.
      remarks: what looks wrong.
    """

    kind: Kind
    images: Mapping[str, Any]
    why: str
    split_patterns: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def templates(self) -> str:
        """The folder of the templates."""
        return "image_masks" if self.kind == MASKS else "image_classes"

    @property
    def ingest(self) -> dict[str, Any]:
        """Of the settings."""
        patterns = {"split_patterns": dict(self.split_patterns)} if self.split_patterns else {}
        return {"format": "images", "images": dict(self.images), **patterns}


def find(place: str, labels: Sequence[str] = ()) -> Layout | None:
    """How the images at a place lie; None where the data are no images.

    Args:
      place: a folder, a file or a URI.
      labels: columns that the user named as labels.

    Raises:
      InputError: there are images, and they have neither classes nor masks.
    """
    found = tree(place)
    if found is None or not found.images:
        return None
    layout = _pairs(found) or _list(found, labels) or _folders(found)
    if layout is None:
        return None
    own = "mask" if layout.kind == MASKS else "label"
    if wrong := [label for label in labels if label != own and layout.images["layout"] != "list"]:
        raise InputError(f"--label {wrong[0]}: the label of these images is their {_OWN[layout.kind]}; leave it out")
    return layout


_OWN = {CLASSES: "folder", MASKS: "mask"}


def _pairs(found: Tree) -> Layout | None:
    pair = pairs.find(found)
    if pair is None:
        return None
    patterns = _split_patterns(found, pair.images, [label for label in found.images if not inside(label, pair.masks)])
    others = [label for label in found.images if not inside(label, pair.images) and not inside(label, pair.masks)]
    remark = f"{len(others):,} images lie in neither of the two folders and are not read, such as {''.join(others[:1])}"
    return Layout(
        MASKS,
        {"layout": "pairs", "images": pair.images, "masks": pair.masks},
        f"images in {pair.images or 'the folder itself'} with masks in {pair.masks}",
        patterns,
        (remark,) if others else (),
    )


def _list(found: Tree, labels: Sequence[str]) -> Layout | None:
    listed = lists.find(found, labels)
    if listed is None:
        return None
    images = {"layout": "list", "list_file": listed.file} | ({"images": listed.images} if listed.images else {})
    return Layout(CLASSES, images, f"images with classes in the list {listed.file}", remarks=listed.remarks)


def _folders(found: Tree) -> Layout | None:
    base = common_folder(found.images)
    depth = len(base.split("/")) if base else 0
    below = [label.split("/")[depth:] for label in found.images]
    patterns = _split_patterns(found, base, found.images)
    classes = Counter(parts[1 if patterns else 0] for parts in below if len(parts) > (2 if patterns else 1))
    if len(classes) < 2:
        if found.has_tables:
            return None
        raise InputError(_no_classes(found, base, patterns, classes))
    images = {"layout": "folders"} | ({"images": base} if base else {})
    return Layout(CLASSES, images, f"{len(classes)} folders of images, each a class", patterns)


def _no_classes(found: Tree, base: str, patterns: Mapping[str, str], classes: Counter[str]) -> str:
    where, count = found.shown("" if patterns else base), len(found.images)
    if classes:
        return f"{where}: one class only, {next(iter(classes))}; a model needs images of two classes at least"
    alone = f"all {count:,} images lie" if count > 1 else "its one image lies"
    if marked := pairs.marked(found.images):
        return (
            f"{where}: {alone} in one folder, masks among them ({marked}): move the masks into a folder masks beside "
            "it, each with the name of its image"
        )
    return (
        f"{where}: {alone} in one folder, so no class is known: make a folder for each class, a list of paths and "
        "labels, or a folder of masks; docs/ingest.md#images shows each"
    )


def _split_patterns(found: Tree, base: str, images: Sequence[str]) -> dict[str, str]:
    """The patterns of splits where the folders below `base` are named so, one to train on and one to hold out."""
    names = {label[len(base) :].lstrip("/").split("/")[0] for label in images if folder(label) != base}
    by_split = {}
    for split, known in (("train", _TRAIN), ("eval", _EVAL), ("test", _TEST)):
        if chosen := [name for name in names if name.lower() in known]:
            by_split[split] = chosen[0]
    if len(by_split) < len(names) or "train" not in by_split or len(by_split) < 2:
        return {}
    if "eval" not in by_split:
        by_split["eval"] = by_split.pop("test")
    return {split: "/".join(part for part in (base, name, "**") if part) for split, name in by_split.items()}
