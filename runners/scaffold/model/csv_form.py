"""How CSV files are written, where they are not written as ingest takes them without being told."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BEGINNING = 1 << 16
_DELIMITERS = (",", ";", "\t", "|")
_ROWS = 50


def settings(place: str) -> dict[str, Any]:
    """Settings of ingest for the first CSV file of a place on this machine, as far as they are not the default.

    Nothing where it holds no CSV, or lies elsewhere: ingest says then which setting it misses.
    """
    file = next(_csv_files(place), None)
    if file is None:
        return {}
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
        content = stream.read(_BEGINNING)
    encoding = _encoding(content)
    lines = content.decode(encoding, "replace").splitlines()
    # The last one may be cut off.
    lines = [line for line in lines[: _ROWS + 1] if line.strip()]
    lines = lines[:-1] if len(lines) > 2 else lines
    found: dict[str, Any] = {} if encoding == "utf-8" else {"encoding": encoding}
    delimiter = max(_DELIMITERS, key=lambda sign: _columns(lines, sign))
    if delimiter != "," and _columns(lines, delimiter) > max(1, _columns(lines, ",")):
        found["delimiter"] = delimiter
    if delimiter != ",":
        cells = [cell for row in csv.reader(lines[1:], delimiter=delimiter) for cell in row]
        commas = [cell for cell in cells if _is_number(cell, ",")]
        if commas and not any(_is_number(cell, ".") for cell in cells):
            found["decimal"] = ","
    return found


def _csv_files(place: str) -> Iterator[Path]:
    path = Path(os.path.abspath(place))
    files = [path] if path.is_file() else sorted(path.rglob("*")) if "://" not in place and path.is_dir() else []
    for file in files:
        name = file.name.lower().removesuffix(".gz")
        if name.endswith((".csv", ".tsv")) and not file.name.startswith((".", "_")):
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


def _columns(lines: list[str], delimiter: str) -> int:
    """How many cells all lines have; 0 where they differ."""
    counts = {len(row) for row in csv.reader(lines, delimiter=delimiter)}
    return counts.pop() if len(counts) == 1 else 0


def _is_number(cell: str, decimal: str) -> bool:
    """Whether a cell is a number with a fraction."""
    whole, sign, fraction = cell.strip().removeprefix("-").partition(decimal)
    return bool(sign) and whole.isdecimal() and fraction.isdecimal()
