"""The newest spans of data that grows: `span-N` folders, the larger number the newer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pyarrow import fs

from components.ingest.sources import Newest, Sources, find
from components.runtime.data.storage import filesystem as filesystem_of
from components.runtime.data.storage import reading, shown
from components.runtime.errors import InputError

_NAME = re.compile(r"span-([0-9]+)")


def find_newest(data: str, patterns: Mapping[str, Any], spans: int) -> Sources:
    """Finds the files of the newest spans, of fewer where there are not so many.

    Args:
      data: path or URI of a folder of `span-N` folders.
      patterns: as for `find`, relative to the folder of a span.
      spans: how many.

    Raises:
      InputError: there is no span, two folders have one number, or a span has no files.
    """
    newest = newest_folders(data, spans)
    files = []
    for name, folder in newest.folders.values():
        files += [replace(file, label=f"{name}/{file.label}") for file in find(folder, patterns).files]
    return Sources(files, None, newest.place, list(newest.folders))


def newest_folders(data: str, spans: int) -> Newest:
    """Finds the folders of the newest spans, of fewer where there are not so many.

    Args:
      data: path or URI of a folder of `span-N` folders.
      spans: how many.

    Raises:
      InputError: there is no span, or two folders have one number.
    """
    if not data:
        raise InputError("data is empty: give a folder with the folders span-1, span-2 and so on")
    filesystem, root = filesystem_of(data)
    place = shown(data).rstrip("/")
    with reading(data):
        entries = filesystem.get_file_info(fs.FileSelector(root, allow_not_found=True))
    folders: dict[int, str] = {}
    for entry in sorted(entries, key=lambda entry: entry.base_name):
        found = _NAME.fullmatch(entry.base_name)
        if found and entry.type == fs.FileType.Directory:
            if (number := int(found[1])) in folders:
                both = f"{folders[number]} and {entry.base_name}"
                raise InputError(f"{place}: {both} are one span; remove one of them, or give it a number of its own")
            folders[number] = entry.base_name
    if not folders:
        raise InputError(f"{place}: holds no folders span-1, span-2 and so on; name theirs, or take spans out")
    # (An address may end with what stands behind its path.)
    folder, question, query = data.partition("?")
    newest = {number: folders[number] for number in sorted(folders)[-spans:]}
    return Newest(
        place, {number: (name, f"{folder.rstrip('/')}/{name}{question}{query}") for number, name in newest.items()}
    )


def told(spans: list[int], wanted: int) -> str:
    """Which spans were read, and which are not there; empty where none were asked for."""
    if not spans:
        return ""
    gaps = sorted({*range(spans[0], spans[-1])} - {*spans})
    parts = [f"span{'s' if len(spans) > 1 else ''} {', '.join(map(str, spans))}"]
    if gaps:
        parts.append(f"{', '.join(map(str, gaps[:5]))}{' and more' if len(gaps) > 5 else ''} not there")
    if len(spans) < wanted:
        parts.append(f"there are no {wanted}")
    return ", ".join(parts)
