"""Which of the spans that are there are read: one, a range, or the newest so many, up to one that is named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from components.runtime.data.span_patterns import number_of
from components.runtime.data.span_words import name, runs
from components.runtime.errors import InputError

LATEST, SCHEDULED = "latest", "scheduled"
MOST_DIGITS = 18
"""Of the number of a span or a version, here as in the names of folders: such a number fits into 64 bits."""

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_NUMBER = rf"[0-9]{{1,{MOST_DIGITS}}}"
_RANGE = re.compile(rf"({_DAY}|{_NUMBER})\s*[-/]\s*({_DAY}|{_NUMBER})")
_SCHEDULED = re.compile(rf"{SCHEDULED}(?:\s*-\s*({_NUMBER}))?")


SHAPES = (
    f"a number (5), a date (2026-11-29), a range (3-7, 2026-11-01/2026-11-07), {SCHEDULED}, {SCHEDULED}-1 or {LATEST}"
)
"""How a span is asked for, for messages."""


def can_be_asked(text: str) -> bool:
    """Whether a text has the shape of a span that is asked for."""
    shapes = (re.compile(_DAY), re.compile(_NUMBER), _RANGE, _SCHEDULED)
    return text.strip() in ("", LATEST) or any(each.fullmatch(text.strip()) for each in shapes)


def is_range(text: str) -> bool:
    """Whether a span that is asked for is a range, which says by itself how many are read."""
    return _RANGE.fullmatch(text.strip()) is not None


@dataclass(frozen=True)
class Asked:
    """What is asked for.

    Attributes:
      span: `5`, `2026-11-29`, the range `3-7` or `2026-11-01/2026-11-07`, `scheduled`, `scheduled-1` (the day before)
        or `latest`, which is the same as nothing.
      count: how many of the newest up to `span`; 0 for that one. Does not count where `span` is a range.
      scheduled: the time that `scheduled` means; now where it is None.
    """

    span: str = ""
    count: int = 0
    scheduled: datetime | None = None

    def among(self, there: Sequence[int], place: str, is_dated: bool) -> tuple[list[int], str]:
        """The numbers that are read, and in words what is missing among them.

        Args:
          there: numbers in rising order, at least one.
          place: where they lie, for messages.
          is_dated: whether people know them by their dates.

        Raises:
          InputError: nothing can be asked for so, or what is asked for is not there.
        """
        text = self.span.strip()
        if between := _RANGE.fullmatch(text):
            return self._range(there, between[1], between[2], place, is_dated)
        last = there[-1] if text in ("", LATEST) else self._named(text)
        if last not in there:
            also = f" ({text})" if text != name(last, is_dated) else ""
            raise InputError(f"{place}: there is no span {name(last, is_dated)}{also}; {_listing(there, is_dated)}")
        chosen = [each for each in there if each <= last][-max(self.count, 1) :]
        return chosen, _gaps(chosen, chosen[0], chosen[-1], is_dated)

    def _range(self, there: Sequence[int], first: str, last: str, place: str, is_dated: bool) -> tuple[list[int], str]:
        begin, end = self._ends(first, last)
        chosen = [each for each in there if begin <= each <= end]
        if not chosen:
            between = f"{name(begin, is_dated)} to {name(end, is_dated)}"
            raise InputError(f"{place}: there is no span from {between}; {_listing(there, is_dated)}")
        return chosen, _gaps(chosen, begin, end, is_dated)

    def check(self) -> None:
        """Refuses what no data could have.

        Raises:
          InputError: the text names no span, or a range that is backwards.
        """
        text = self.span.strip()
        if between := _RANGE.fullmatch(text):
            self._ends(between[1], between[2])
        elif text not in ("", LATEST):
            self._named(text)

    def _ends(self, first: str, last: str) -> tuple[int, int]:
        begin, end = self._named(first), self._named(last)
        if begin > end:
            sign = "-" if first.isdecimal() and last.isdecimal() else "/"
            raise InputError(f"span is {self.span}: the range is backwards; give {last}{sign}{first}")
        return begin, end

    def _named(self, text: str) -> int:
        """The number of a span that a text names.

        Raises:
          InputError: it names none.
        """
        if found := _SCHEDULED.fullmatch(text):
            return number_of((self.scheduled or datetime.now(UTC)).date()) - int(found[1] or 0)
        try:
            if re.fullmatch(_DAY, text):
                return number_of(date.fromisoformat(text))
        except ValueError:
            raise InputError(f"span is {text}: there is no such day") from None
        if re.fullmatch(_NUMBER, text):
            return int(text)
        if re.fullmatch("[0-9]+", text):
            raise InputError(f"span is {text}: the number of a span has at most {MOST_DIGITS} digits")
        raise InputError(f"span is {text!r}: give {SHAPES}")


def moment(text: str) -> datetime | None:
    """The time that a backend says a run was scheduled for; None where it says none.

    A server that does not know the placeholder hands it on as it is, or empty; Vertex AI has 1970 for runs without a
    schedule.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return found if found.year > 1970 else None


def _listing(there: Sequence[int], is_dated: bool) -> str:
    """What there is."""
    return f"there {'are' if len(there) > 1 else 'is'} {runs([(each, each) for each in there], is_dated)}"


def _gaps(chosen: Sequence[int], first: int, last: int, is_dated: bool) -> str:
    """What is not there between two numbers, in words."""
    missing, expected = [], first
    for each in chosen:
        if each > expected:
            missing.append((expected, each - 1))
        expected = each + 1
    if expected <= last:
        missing.append((expected, last))
    return runs(missing, is_dated)
