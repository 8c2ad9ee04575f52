"""Columns that are asked for beside predictions, held against those of the data before a run reads all of it.

As far as they can be known at once: of tables on this machine, by the first file's own words. What cannot be known here
the stages find out.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from components.runtime.errors import InputError, did_you_mean
from runners.settings.stages import Ingest

_ALL = "*"
_NAMED = 10
_HEAD_BYTES = 1 << 16
_PARQUET = b"PAR1"
_TEXTS = (".csv", ".tsv")
_EXCEL = "sep="


def check(columns: Sequence[str], data: str, ingest: Ingest) -> None:
    """Refuses a name that no column of the data has.

    Args:
      columns: that are asked for; `*` stands for all that are numbers or text.
      data: a file, a folder, or a URI.
      ingest: how its files are read.

    Raises:
      InputError: there is no column of such a name.
    """
    wanted = [name for name in columns if name != _ALL]
    first = _first(Path(data).expanduser()) if wanted and "://" not in data else None
    if first is None:
        return
    try:
        text, names = _told(first, ingest)
    # (Ingest says it better.)
    except (OSError, ValueError, csv.Error):
        return
    for name in wanted:
        # What a header does not say anywhere is in no column's name, however it divides them.
        if text and name not in text and name.replace('"', '""') not in text:
            some = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
            raise InputError(f"--columns: {first} has no column {name!r}{did_you_mean(name, names)}; it has: {some}")


def _first(place: Path) -> Path | None:
    if place.is_file():
        return place
    listed = place.iterdir() if place.is_dir() else ()
    return min((each for each in listed if not each.name.startswith((".", "_")) and each.is_file()), default=None)


def _told(file: Path, ingest: Ingest) -> tuple[str, list[str]]:
    """All that is said of the names of a table's columns, and the names; empty where that cannot be told here."""
    with file.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if head.startswith(_PARQUET):
        from pyarrow import parquet

        names = list(parquet.read_schema(file).names)
        return "\n".join(names), names
    if not file.name.lower().endswith(_TEXTS) or b"\0" in head:
        return "", []
    if not ingest.header:
        return "\n".join(ingest.column_names), ingest.column_names
    lines = head.decode(ingest.encoding, errors="replace").lstrip("\ufeff\r\n").splitlines()
    line = next((each for each in lines if not each.startswith(_EXCEL)), "")
    # A name may have lines of its own, in quotes.
    if len(lines) < 2 or line.count('"') % 2:
        return "", []
    return line, next(csv.reader([line], delimiter=ingest.delimiter))
