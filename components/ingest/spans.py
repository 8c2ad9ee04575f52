"""The files of the spans that are read, and what is told of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from components.ingest.sources import Sources, check_patterns, find
from components.runtime.data.span_choice import SCHEDULED, Asked, moment
from components.runtime.data.span_words import told as told_of
from components.runtime.data.spans import Chosen, choose
from components.runtime.errors import InputError
from components.runtime.stage.progress import report

ON_GAPS = ("warn", "stop")


def chosen(data: str, patterns: Mapping[str, str], span: str, spans: int, scheduled: str, on_gaps: str) -> Chosen:
    """The spans that are read.

    Args:
      data: see `components.runtime.data.spans.choose`, as `patterns`.
      patterns: of the splits.
      span: which, see `components.runtime.data.span_choice.Asked`.
      spans: how many of the newest up to that.
      scheduled: the time that the run was scheduled for, as the backend tells it; empty, or a placeholder that it has
        not filled in, where it tells none.
      on_gaps: warn, or stop where something in between is not there.

    Raises:
      InputError: what is asked for is not there or cannot be used.
    """
    if on_gaps not in ON_GAPS:
        raise InputError(f"on_gaps is {on_gaps!r}: choose {' or '.join(ON_GAPS)}")
    if spans < 0:
        raise InputError(f"spans is {spans}: say how many of the newest are read, or 0 for one span or none")
    if not data:
        raise InputError("data is empty: give a folder with the folders span-1, span-2 and so on")
    check_patterns(patterns)
    time = moment(scheduled)
    if time is None and SCHEDULED in span:
        time = datetime.now(UTC)
        report(f"the backend does not tell what the run was scheduled for: by this stage's start it is {time:%Y-%m-%d}")
    found = choose(data, patterns, Asked(span, spans, time))
    if found.gaps and on_gaps == "stop":
        raise InputError(
            f"{found.place}: not there of the spans asked for: {found.gaps}; add what is missing, or set on_gaps: warn"
        )
    return found


def find_files(spans: Chosen) -> Sources:
    """Finds the files of all of them, as one table's.

    Raises:
      InputError: a span has no files, or not of each split.
    """
    files = []
    for span in spans.spans:
        files += [replace(file, label=f"{span.prefix}{file.label}") for file in find(span.data, span.patterns).files]
    return Sources(files, spans.place)


def told(spans: Chosen, wanted: int) -> str:
    """Which spans were read, and which are not there."""
    parts = [told_of(spans.metadata)]
    if spans.gaps:
        parts.append(f"{spans.gaps} not there")
    if len(spans.spans) < wanted:
        parts.append(f"there are no {wanted}")
    return ", ".join(parts)
