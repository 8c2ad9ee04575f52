"""Finds a list of images and their classes."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from components.runtime.errors import InputError
from runners.scaffold.model.images.tree import Tree, folder, stem

PATH_NAMES = ("image", "path", "file", "file_name", "filename", "image_path", "image_name", "name")
LABEL_NAMES = ("label", "class", "class_name", "category")

_LIST = re.compile(r".*\.(csv|tsv|txt|lst)", re.IGNORECASE)
_BEGINNING = 1 << 16
_LINES = 50


@dataclass(frozen=True)
class ImageList:
    """A list, the folder that its paths begin in, and what looks wrong; both relative to the data."""

    file: str
    images: str
    remarks: tuple[str, ...] = ()


def find(found: Tree, labels: Sequence[str]) -> ImageList | None:
    """The list whose lines name images; of several, that which names the most.

    Args:
      found: the files.
      labels: columns that the user named as labels.

    Raises:
      InputError: a list has a label that ingest would not find.
    """
    known = set(found.images) | {stem(label) for label in found.images}
    lists = []
    for label in found.labels:
        if _LIST.fullmatch(label) and label.count("/") < 2:
            rows = _rows(found.read(label, _BEGINNING))
            place = _paths(rows)
            if place is None:
                continue
            paths = [row[place].strip().removeprefix("./") for row in rows[-_LINES:] if len(row) > place]
            for images in dict.fromkeys(("", folder(label), *_tops(found))):
                there = sum("/".join(part for part in (images, path) if part) in known for path in paths)
                if paths and 2 * there >= len(paths):
                    lists.append((found.read(label).count(b"\n"), label, images, rows))
                    break
    if not lists:
        return None
    lists.sort(key=lambda each: (-each[0], each[1]))
    _, label, images, rows = lists[0]
    _check_label(label, rows, labels)
    others = ", ".join(each[1] for each in lists[1:])
    remarks = (f"of several lists {label} is the longest, and the only one that is read; not {others}",)
    return ImageList(label, images, remarks if others else ())


def _check_label(label: str, rows: list[list[str]], labels: Sequence[str]) -> None:
    header = [cell.strip() for cell in rows[0]]
    readable = [cell for cell in header if cell.lower() in LABEL_NAMES]
    chosen = labels[0] if labels else None
    if len(header) > 2 and not readable:
        which = chosen or next(cell for cell in header if cell.lower() not in PATH_NAMES)
        raise InputError(f"{label}: no column label; call the one with the classes so, such as {which}")
    if chosen and chosen in header and readable and chosen != readable[0]:
        raise InputError(
            f"--label {chosen}: of {label} ingest reads the column {readable[0]}; call the one with the classes label"
        )


def _rows(content: bytes) -> list[list[str]]:
    """The first lines, as cells; none where it is no text of two columns or more."""
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        # The last character may be cut off.
        if len(content) < _BEGINNING or error.start < len(content) - 4:
            return []
        lines = content[: error.start].decode("utf-8-sig").splitlines()
    lines = [line for line in lines if line.strip() and not line.startswith("#")][: _LINES + 1]
    separator = next((mark for mark in "\t," if lines and mark in lines[0]), None)
    if separator:
        return [row for row in csv.reader(lines, delimiter=separator) if len(row) > 1]
    return [row for line in lines if len(row := line.strip().rsplit(maxsplit=1)) > 1]


def _paths(rows: list[list[str]]) -> int | None:
    """The column with the paths of images."""
    if not rows:
        return None
    names = [cell.strip().lower() for cell in rows[0]]
    return next((names.index(name) for name in PATH_NAMES if name in names), 0 if len(names) == 2 else None)


def _tops(found: Tree) -> list[str]:
    return sorted({label.split("/")[0] for label in found.images if "/" in label})
