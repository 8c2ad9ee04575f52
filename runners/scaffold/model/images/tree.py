"""The files below the place of the data, by what they are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from pyarrow import fs

from components.runtime.data.storage import filesystem, reading

_IMAGE = re.compile(r".*\.(jpe?g|jpe|jfif|png|gif|bmp|dib|tiff?|webp)", re.IGNORECASE)
_TABLE = re.compile(r".*(\.(csv|csv\.gz|tsv|parquet|avro)|tfrecord.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Tree:
    """The visible files below a folder.

    Attributes:
      place: of the folder, as the user wrote it.
      filesystem: that holds it.
      root: its path there.
      labels: of the files, relative to it, sorted.
    """

    place: str
    filesystem: fs.FileSystem
    root: str
    labels: tuple[str, ...]

    @cached_property
    def images(self) -> tuple[str, ...]:
        """Files that are images by their names."""
        return tuple(label for label in self.labels if _IMAGE.fullmatch(label))

    @cached_property
    def has_tables(self) -> bool:
        """Whether a table lies in the folder itself."""
        return any("/" not in label and _TABLE.fullmatch(label) for label in self.labels)

    def read(self, label: str, most: int = -1) -> bytes:
        """The beginning of a file, or the whole."""
        with reading(self.shown(label)), self.filesystem.open_input_stream(f"{self.root}/{label}") as stream:
            content: bytes = stream.read(most if most >= 0 else None)
            return content

    def shown(self, label: str = "") -> str:
        """A file or folder as the user would write it."""
        return f"{self.place.rstrip('/')}/{label}".rstrip("/")


def tree(place: str) -> Tree | None:
    """The files below a folder; None where the place is none.

    Raises:
      InputError: it cannot be read.
    """
    found, root = filesystem(place)
    with reading(place):
        if found.get_file_info(root).type != fs.FileType.Directory:
            return None
        entries = found.get_file_info(fs.FileSelector(root, recursive=True))
    labels = (entry.path[len(root) :].lstrip("/") for entry in entries if entry.type != fs.FileType.Directory)
    return Tree(place, found, root, tuple(sorted(label for label in labels if not _hidden(label))))


def folder(label: str) -> str:
    """That a file lies in; empty for the folder of the data itself."""
    return label.rpartition("/")[0]


def stem(label: str, root: str = "") -> str:
    """The path of a file below a folder, without its suffix."""
    return str(PurePosixPath(label[len(root) :].lstrip("/")).with_suffix(""))


def inside(label: str, root: str) -> bool:
    """Whether a file lies in a folder or below."""
    return not root or label.startswith(f"{root}/")


def common_folder(labels: Iterable[str]) -> str:
    """The deepest folder that all files lie in or below."""
    parts = [folder(label).split("/") for label in labels]
    shared = []
    for names in zip(*parts, strict=False):
        if len(set(names)) > 1:
            break
        shared.append(names[0])
    return "/".join(shared)


def _hidden(label: str) -> bool:
    return any(part.startswith(".") for part in label.split("/"))
