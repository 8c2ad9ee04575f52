"""Reads a list of images and labels: CSV, TSV or separated by spaces, with or without a header."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass

from components.ingest.sources import SourceFile, is_image_name
from components.ingest.tables.csv.text import lines, open_text
from components.runtime.errors import InputError

_PATH_NAMES = ("image", "path", "file", "file_name", "filename", "image_path", "image_name", "name")
_LABEL_NAMES = ("label", "class", "class_name", "category")


@dataclass(frozen=True)
class Row:
    """One line: path of an image as it is written, its label, the number of the line from 1."""

    path: str
    label: str
    line: int


def read_list(file: SourceFile) -> list[Row]:
    """The rows of a list.

    Raises:
      InputError: a line is not a path and a label, or there is none.
    """
    rows: list[Row] = []
    places: tuple[int, int] | None = None
    for number, cells in _records(file):
        if places is None:
            places, is_header = _places(file, number, cells)
            if is_header:
                continue
        where = f"{file.name}: line {number}"
        if len(cells) <= max(places):
            raise InputError(f"{where}: {len(cells)} of {max(places) + 1} cells: give the path of an image and a label")
        path, label = cells[places[0]].strip(), cells[places[1]].strip()
        if not path or not label:
            raise InputError(f"{where}: no {'label' if path else 'path'}: give the path of an image and a label")
        if path.startswith("/") or ".." in path.split("/"):
            raise InputError(f"{where}: the path {path!r} leaves the folder: give it relative to images.images in data")
        rows.append(Row(path.removeprefix("./"), label, number))
    if not rows:
        raise InputError(f"{file.name}: no lines with a path and a label")
    return rows


def _places(file: SourceFile, number: int, cells: list[str]) -> tuple[tuple[int, int], bool]:
    """Where path and label stand, and whether this first line is a header."""
    names = [cell.strip().lower() for cell in cells]
    paths = [names.index(name) for name in _PATH_NAMES if name in names]
    labels = [names.index(name) for name in _LABEL_NAMES if name in names]
    if paths and labels:
        return (paths[0], labels[0]), True
    if len(cells) == 2:
        return (0, 1), bool(paths or labels) and not is_image_name(names[0])
    raise InputError(
        f"{file.name}: line {number}: {len(cells)} columns, which are path and label? Give two columns, or a header "
        f"with one of {', '.join(_PATH_NAMES)} and one of {', '.join(_LABEL_NAMES)}"
    )


def _records(file: SourceFile) -> Iterator[tuple[int, list[str]]]:
    """The cells of every line that is neither empty nor a comment, with its number."""
    with open_text(file) as stream:
        numbered = enumerate(lines(stream, file.name), 1)
        rest = [(number, line) for number, line in numbered if line.strip() and not line.startswith("#")]
    separator = next((mark for mark in "\t," if rest and mark in rest[0][1]), None)
    for number, line in rest:
        if separator is None:
            # The label is the last word: file names may have spaces.
            yield number, line.strip().rsplit(maxsplit=1)
            continue
        try:
            yield number, next(csv.reader([line], delimiter=separator, strict=True))
        except csv.Error as error:
            raise InputError(f"{file.name}: line {number}: not CSV: {error}") from None
