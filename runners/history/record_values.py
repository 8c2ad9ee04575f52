"""Values of records that may be damaged, or written by hand: each is what it has to be, or absent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.runtime.text.json_text import parse


def json_object(file: Path) -> dict[str, Any] | None:
    """A record, or None when it is not there or only half there."""
    try:
        record = parse(file.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def mapping(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A mapping of a record; empty where none stands there."""
    value = record.get(name)
    return dict(value) if isinstance(value, Mapping) else {}


def sequence(record: Mapping[str, Any], name: str) -> list[Any]:
    """A list of a record; empty where none stands there."""
    value = record.get(name)
    return value if isinstance(value, list) else []


def finite(value: object) -> float | None:
    """A number of a record; None where there is none, or what stands there cannot be counted or drawn."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def whole(value: object) -> int | None:
    """A whole number of a record; None where there is no number."""
    number = finite(value)
    return None if number is None else int(number)


def timestamp(value: object) -> datetime | None:
    """A time of a record, in UTC where it names no zone; None where there is none."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
