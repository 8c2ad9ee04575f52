"""Finds images with their masks or labels, as one of the layouts says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from components.ingest.images.faults import Faults
from components.ingest.images.list_file import read_list
from components.ingest.images.settings import FOLDERS, LIST, PAIRS, PLAIN, ImageSettings
from components.ingest.sources import SourceFile, Sources, by_pattern, check_patterns, find, is_image_name
from components.runtime.data.storage import shown
from components.runtime.errors import InputError

# What lies beside images in public data sets and on people's disks; anything else is looked into.
_OTHER = re.compile(
    r".*\.(txt|md|rst|[ct]sv|jsonl?|xml|ya?ml|html|mat|npy|db|ini|pdf|zip|tar|t?gz|py|sh|ipynb|log|sha256|md5|mp4|mov)",
    re.IGNORECASE,
)
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\x00", b"MM\x00*", b"RIFF", b"BM")


@dataclass(frozen=True)
class ImageFile:
    """One image with what belongs to it; its split is that of its file."""

    image: SourceFile
    mask: SourceFile | None = None
    label: str | None = None


@dataclass
class ImageFiles:
    """The images of one ingestion, sorted by name.

    Attributes:
      images: those that may be read.
      left_out: visible files that are no images.
      list_files: which named the images, if any.
      folder: that holds the spans, as the user would write it; empty without.
    """

    images: list[ImageFile]
    left_out: list[str] = field(default_factory=list)
    list_files: list[SourceFile] = field(default_factory=list)
    folder: str = ""

    def add(self, span: ImageFiles, prefix: str) -> None:
        """Takes the images of a span, with what stands before their paths in it."""

        def named(file: SourceFile | None) -> SourceFile | None:
            return file and replace(file, label=f"{prefix}{file.label}")

        for entry in span.images:
            image = replace(entry.image, label=f"{prefix}{entry.image.label}")
            self.images.append(replace(entry, image=image, mask=named(entry.mask)))
        self.left_out += span.left_out
        self.list_files += [replace(file, label=f"{prefix}{file.label}") for file in span.list_files]

    def sources(self) -> Sources:
        """All files that are read."""
        files = [*self.list_files]
        for entry in self.images:
            files += [entry.image, entry.mask] if entry.mask else [entry.image]
        return Sources(sorted(files, key=lambda file: file.label), self.folder)


def find_images(data: str, patterns: Mapping[str, Any], settings: ImageSettings, faults: Faults) -> ImageFiles:
    """Finds the images that `data`, `split_patterns` and `images` name.

    Args:
      data: see `components.ingest.sources.find`.
      patterns: of the images of each split, relative to data; see there.
      settings: the layout.
      faults: gets images without a mask or a class, and the like.

    Raises:
      InputError: nothing is there, or no images are.
    """
    check_patterns(patterns)
    found = find(data, {}, whole_tree=True)
    if not found.folder:
        raise InputError(f"{shown(data)}: a file, and images lie in a folder: set data to the folder")
    result = _LAYOUTS[settings.layout](found, settings, faults)
    if patterns:
        chosen = by_pattern([entry.image for entry in result.images], found.folder, patterns)
        split_of = {file.label: file.split for file in chosen}
        result.images = [
            replace(entry, image=replace(entry.image, split=split_of[entry.image.label]))
            for entry in result.images
            if entry.image.label in split_of
        ]
    if settings.layout == FOLDERS:
        result.images = _with_classes(result.images, settings, faults, splits_are_folders=bool(patterns))
    return result


def _folders(found: Sources, settings: ImageSettings, faults: Faults) -> ImageFiles:
    images, left_out = _images_in(found, settings.images, "images.images")
    return ImageFiles([ImageFile(file) for file in images], left_out=left_out)


def _with_classes(
    images: list[ImageFile], settings: ImageSettings, faults: Faults, *, splits_are_folders: bool
) -> list[ImageFile]:
    """Labels every image with the name of the folder it lies in, and holds all to the same depth."""
    parts = [_relative(entry.image, settings.images).split("/") for entry in images]
    depth = Counter(map(len, parts)).most_common(1)[0][0] if splits_are_folders else 2
    labelled = []
    for entry, path in zip(images, parts, strict=True):
        if len(path) == 1:
            faults.add(
                entry.image.name, "lies in no class's folder: move it into one, or set images.layout to pairs or list"
            )
        elif len(path) != depth:
            hint = "" if splits_are_folders else ", or name existing splits in split_patterns"
            faults.add(
                entry.image.name,
                f"lies {len(path) - 1} folders deep where the folders of classes are {depth - 1} deep: move it{hint}",
            )
        else:
            labelled.append(replace(entry, label=path[-2]))
    return labelled


def _pairs(found: Sources, settings: ImageSettings, faults: Faults) -> ImageFiles:
    images, left_out = _images_in(found, settings.images, "images.images", but=settings.masks)
    masks, more_left_out = _images_in(found, settings.masks, "images.masks")
    images_by_stem = _by_stem(images, settings.images, faults)
    masks_by_stem = _by_stem(masks, settings.masks, faults)
    for stem, file in masks_by_stem.items():
        if stem not in images_by_stem:
            faults.add(file.name, f"a mask without an image {settings.images}/{stem}.*: add the image or move it away")
    pairs = []
    for stem, file in images_by_stem.items():
        mask = masks_by_stem.get(stem)
        if mask is None:
            faults.add(file.name, f"an image without a mask {settings.masks}/{stem}.*: add the mask or move it away")
        else:
            pairs.append(ImageFile(file, mask))
    return ImageFiles(pairs, left_out=left_out + more_left_out)


def _by_stem(files: list[SourceFile], folder: str, faults: Faults) -> dict[str, SourceFile]:
    result: dict[str, SourceFile] = {}
    for file in files:
        stem = str(PurePosixPath(_relative(file, folder)).with_suffix(""))
        if stem in result:
            faults.add(file.name, f"has the same stem as {result[stem].name}: keep one of them, or rename it")
        result.setdefault(stem, file)
    return result


def _listed(found: Sources, settings: ImageSettings, faults: Faults) -> ImageFiles:
    by_label = {file.label: file for file in found.files}
    list_file = by_label.get(settings.list_file)
    if list_file is None:
        raise InputError(f"{found.folder}/{settings.list_file}: no such file: correct images.list_file")
    by_stem: dict[str, list[SourceFile]] = {}
    for file in found.files:
        if is_image_name(file.label):
            by_stem.setdefault(str(PurePosixPath(file.label).with_suffix("")), []).append(file)
    images: dict[str, ImageFile] = {}
    lines: dict[str, int] = {}
    for row in read_list(list_file):
        label = "/".join(part for part in (settings.images, row.path) if part)
        same_stem = by_stem.get(label, [])
        image = by_label.get(label) or (same_stem[0] if len(same_stem) == 1 else None)
        where = f"{list_file.name}: line {row.line}"
        if image is None:
            why = f"{len(same_stem)} images of that stem, give its suffix" if same_stem else "correct the path"
            faults.add(where, f"no image {found.folder}/{label}: {why} (it is relative to images.images in data)")
        elif image.label in images:
            faults.add(where, f"names {row.path} again, as line {lines[image.label]}: keep one of them")
        else:
            images[image.label], lines[image.label] = ImageFile(image, label=row.label), row.line
    return ImageFiles([images[label] for label in sorted(images)], list_files=[list_file])


def _images_in(
    found: Sources, folder: str, parameter: str, but: str | None = None
) -> tuple[list[SourceFile], list[str]]:
    """The images in a folder, and the names of the other files there."""
    inside = [file for file in found.files if _inside(file, folder) and not (but and _inside(file, but))]
    where = f"{found.folder}/{folder}".rstrip("/")
    if not inside:
        raise InputError(f"{where}: no such folder, or nothing in it: put the images there, or set {parameter}")
    images = [file for file in inside if _is_image(file)]
    if not images:
        raise InputError(f"{where}: no images among its {len(inside)} files: set {parameter}, or the format")
    wanted = {id(file) for file in images}
    return images, [file.name for file in inside if id(file) not in wanted]


def _is_image(file: SourceFile) -> bool:
    if is_image_name(file.label):
        return True
    if _OTHER.fullmatch(file.label):
        return False
    with file.open() as stream:
        return stream.read(16).startswith(_SIGNATURES)


def _inside(file: SourceFile, folder: str) -> bool:
    return not folder or file.label.startswith(f"{folder}/")


def _relative(file: SourceFile, folder: str) -> str:
    return file.label[len(folder) :].lstrip("/")


_LAYOUTS = {FOLDERS: _folders, PAIRS: _pairs, LIST: _listed, PLAIN: _folders}
