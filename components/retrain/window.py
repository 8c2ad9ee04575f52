"""The data that a training would read: which spans, and a digest by which the same data is known again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pyarrow import fs

from components.runtime.data import span_patterns, span_words
from components.runtime.data.span_choice import Asked
from components.runtime.data.spans import choose, listed
from components.runtime.data.storage import filesystem, reading, shown
from components.runtime.errors import InputError
from components.runtime.records.facts import counted

_SPAN = re.compile(r"span-([0-9]+)")


@dataclass(frozen=True)
class Window:
    """What a training would read.

    Attributes:
      spans: numbers of the spans, the oldest first; none where data has none.
      digest: of the names and sizes of all files.
      told: the same in words.
    """

    spans: list[int]
    digest: str
    told: str


def window(data: str, spans: int) -> Window:
    """Looks at the data that a training would read now.

    Args:
      data: path or URI, as ingest takes it.
      spans: how many of the newest, which are folders `span-N` where data has no placeholders; 0 for all that it holds.

    Raises:
      InputError: there is no data, or no span in it.
      TransientError: the storage does not answer.
    """
    if spans < 0:
        raise InputError(f"spans is {spans}: say how many of the newest are read, or 0 for all of data")
    if not data:
        raise InputError("data is empty: name what the run is to be trained on")
    whole = data
    if span_patterns.names(data):
        if spans:
            return _of_pattern(data, spans)
        # All that it can mean: whatever is new there is new data.
        whole = data.partition("{")[0].rpartition("/")[0]
    storage, root = filesystem(whole)
    with reading(shown(whole)):
        at_root = storage.get_file_info(root)
        found = [at_root] if at_root.type == fs.FileType.File else []
        if at_root.type == fs.FileType.Directory:
            found = storage.get_file_info(fs.FileSelector(root, recursive=True))
    files = {each.path.removeprefix(root).lstrip("/"): each.size for each in found if each.type == fs.FileType.File}
    # (What begins with a dot is being written.)
    files = {name: size for name, size in files.items() if not any(part.startswith(".") for part in name.split("/"))}
    numbers = sorted({int(match[1]) for name in files if (match := _SPAN.fullmatch(name.partition("/")[0]))})
    if spans and not numbers:
        raise InputError(f"{shown(data)}: holds no folders span-1, span-2 and so on with files; feedback makes them")
    if not files:
        raise InputError(f"{shown(data)}: no files to train on; name where the data lies, in `data`")
    newest = numbers[-spans:]
    if spans:
        files = {name: size for name, size in files.items() if _number(name) in newest}
    told = (
        f"span{'s' if len(newest) > 1 else ''} {', '.join(map(str, newest))}" if newest else counted(len(files), "file")
    )
    return Window(newest, _digest(files), told)


def _of_pattern(data: str, spans: int) -> Window:
    """The newest spans of a path with placeholders, of each the newest version: what ingest reads."""
    found = choose(data, {}, Asked(count=spans))
    files: dict[str, int] = {}
    for path in (path for span in found.spans for path in span.paths):
        with reading(found.place):
            at = found.filesystem.get_file_info(path)
        is_folder = at.type == fs.FileType.Directory
        inside = listed(found.filesystem, path, found.place, recursive=True) if is_folder else [at]
        files |= {each.path: each.size for each in inside if each.type == fs.FileType.File}
    return Window([each.number for each in found.spans], _digest(files), span_words.told(found.metadata))


def _digest(files: Mapping[str, int]) -> str:
    listing = "\n".join(f"{name}\0{size}" for name, size in sorted(files.items()))
    return hashlib.sha256(listing.encode()).hexdigest()


def _number(name: str) -> int | None:
    match = _SPAN.fullmatch(name.partition("/")[0])
    return int(match[1]) if match else None
