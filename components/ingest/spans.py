"""The files of the spans that are read, and what is told of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from components.ingest.sources import Sources, check_patterns, find
from components.runtime.data.span_choice import SCHEDULED, Asked, is_range, moment
from components.runtime.data.span_words import lacks, told
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
      on_gaps: warn, or stop where something in between is not there, or fewer are than `spans`.

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
    if spans > 1 and is_range(span):
        report(f"span is the range {span}, which says how many are read: spans, {spans}, does not count")
    found = choose(data, patterns, Asked(span, spans, time))
    if on_gaps == "stop" and (lacking := lacks(found.metadata)):
        between = "" if is_range(span) or not found.gaps else " between them"
        raise InputError(
            f"{found.place} has {told(found.metadata)};{between} {lacking}; add what is missing, or set on_gaps: warn"
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
