"""How CSV files are written, where they are not written as ingest takes them without being told."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

_BEGINNING = 1 << 16
_DELIMITERS = (",", ";", "\t", "|")
_ROWS = 50


def settings(place: str, given: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Settings of ingest for the first CSV file of a place on this machine, as far as they are not the default.

    Nothing where it holds no CSV, or lies elsewhere: ingest says then which setting it misses.

    Args:
      place: a file, a folder or a URI.
      given: settings that are known, and part of what is returned.
    """
    file = next(_csv_files(place, anything=given.get("format") == "csv"), None)
    if file is None:
        return dict(given)
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
        content = stream.read(_BEGINNING)
    encoding = given.get("encoding") or _encoding(content)
    found: dict[str, Any] = {} if encoding == "utf-8" else {"encoding": encoding}
    if not file.name.lower().removesuffix(".gz").endswith(".csv"):
        found["format"] = "csv"
    try:
        text = content.decode(encoding, "replace")
    except LookupError:
        # That is ingest's to say.
        return dict(given)
    delimiter = given.get("delimiter") or max(_DELIMITERS, key=lambda sign: _columns(_rows(text, sign)))
    if delimiter != "," and _columns(_rows(text, delimiter)) > max(1, _columns(_rows(text, ","))):
        found["delimiter"] = delimiter
    if delimiter != ",":
        cells = [cell for row in _rows(text, delimiter)[1:] for cell in row]
        commas = [cell for cell in cells if _is_number(cell, ",")]
        if commas and not any(_is_number(cell, ".") for cell in cells):
            found["decimal"] = ","
    return found | dict(given)


def _rows(text: str, delimiter: str) -> list[list[str]]:
    """The first rows, without the last one, which may be cut off."""
    if len(delimiter) != 1 or delimiter in '"\r\n':
        return []
    with contextlib.suppress(csv.Error):
        rows = list(
            itertools.islice(filter(None, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)), _ROWS + 1)
        )
        return rows[:-1] if len(rows) > 2 else rows
    return []


def _csv_files(place: str, *, anything: bool) -> Iterator[Path]:
    path = Path(os.path.abspath(place))
    files = [path] if path.is_file() else sorted(path.rglob("*")) if "://" not in place and path.is_dir() else []
    for file in files:
        name = file.name.lower().removesuffix(".gz")
        if (anything or name.endswith((".csv", ".tsv"))) and not file.name.startswith((".", "_")):
            yield file


def _encoding(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        # A letter at the end may be cut off.
        content[: content.rfind(b"\n") + 1 or None].decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _columns(rows: list[list[str]]) -> int:
    """How many cells all rows have; 0 where they differ."""
    counts = {len(row) for row in rows}
    return counts.pop() if len(counts) == 1 else 0


def _is_number(cell: str, decimal: str) -> bool:
    """Whether a cell is a number with a fraction."""
    whole, sign, fraction = cell.strip().removeprefix("-").partition(decimal)
    return bool(sign) and whole.isdecimal() and fraction.isdecimal()
