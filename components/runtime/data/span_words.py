"""Which spans something was made of, in words, by the metadata of examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.runtime.data.span_patterns import date_of

SPANS, VERSIONS, DATES = "spans", "span_versions", "span_dates"
"""Keys of the metadata: numbers, and for each its version and its date, where patterns have these."""
GAPS, WANTED, THERE = "span_gaps", "spans_asked", "span_versions_there"
"""What is not there, in words; how many were asked for, where that are more than there are; the newest version of each
span that was not read, by its number as a text."""

_MOST = 12
"""Spans, or runs of consecutive ones, that are named."""


def told(metadata: Mapping[str, Any]) -> str:
    """Which spans were read: `span 4 (version 2)`, `spans 3 to 7, 9`; empty where the data is in none.

    Args:
      metadata: of examples; numbers may be floats, as KFP hands them on.
    """
    numbers = whole(metadata, SPANS)
    if not numbers:
        return ""
    versions = whole(metadata, VERSIONS)
    is_dated = bool(metadata.get(DATES))
    if versions:
        each = [f"{name(span, is_dated)} (version {of})" for span, of in zip(numbers, versions, strict=False)]
        if len(each) > _MOST:
            each = [*each[: _MOST // 2], f"{len(each) - _MOST} more", *each[-_MOST // 2 :]]
        listed = ", ".join(each)
    else:
        listed = runs([(span, span) for span in numbers], is_dated)
    return f"span{'s' if len(numbers) > 1 else ''} {listed}"


def lacks(metadata: Mapping[str, Any]) -> str:
    """What is not there of what was asked for: `not there: 3, 4; only 2 of the 5 spans asked for`; empty where all is.

    Args:
      metadata: as of `told`.
    """
    gaps, wanted = metadata.get(GAPS), metadata.get(WANTED)
    parts = [f"not there: {gaps}"] if gaps else []
    if isinstance(wanted, int | float):
        parts.append(f"only {len(whole(metadata, SPANS))} of the {wanted:.0f} spans asked for")
    return "; ".join(parts)


def told_with_gaps(metadata: Mapping[str, Any]) -> str:
    """Both: `spans 1, 2; not there: 3, 4`; empty where the data is in no spans."""
    return "; ".join(filter(None, (told(metadata), lacks(metadata))))


def name(number: int, is_dated: bool) -> str:
    """What people know a span by: its number, or its date."""
    return date_of(number) if is_dated else str(number)


def runs(parts: Sequence[tuple[int, int]], is_dated: bool) -> str:
    """Numbers from and to, in rising order, without naming each of three or more that follow each other."""
    joined: list[tuple[int, int]] = []
    for first, last in parts:
        if joined and joined[-1][1] + 1 == first:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    words = []
    for first, last in joined:
        if last - first > 1:
            words.append(f"{name(first, is_dated)} to {name(last, is_dated)}")
        else:
            words += [name(each, is_dated) for each in range(first, last + 1)]
    shown = (
        words if len(words) <= _MOST else [*words[: _MOST // 2], f"{len(words) - _MOST} more", *words[-_MOST // 2 :]]
    )
    return ", ".join(shown)


def newest_versions(metadata: Mapping[str, Any]) -> dict[int, int]:
    """The newest version of each span that was there, read or not; empty where patterns have none."""
    there = metadata.get(THERE)
    known = there.items() if isinstance(there, Mapping) else ()
    return {int(span): int(version) for span, version in known if span.lstrip("-").isdecimal()} | read_versions(
        metadata
    )


def read_versions(metadata: Mapping[str, Any]) -> dict[int, int]:
    """The version of each span that was read; empty where patterns have none."""
    return dict(zip(whole(metadata, SPANS), whole(metadata, VERSIONS), strict=False))


def whole(metadata: Mapping[str, Any], key: str) -> list[int]:
    """A list of whole numbers of the metadata; what is none is left out, as records may be anybody's."""
    found = metadata.get(key)
    return [int(each) for each in found if isinstance(each, int | float)] if isinstance(found, list) else []
