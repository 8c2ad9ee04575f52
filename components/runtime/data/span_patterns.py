"""Placeholders for spans and versions in paths and patterns, by the rules of TFX's ExampleGen.

| | |
| --- | --- |
| `{SPAN}`, `{SPAN:5}` | the span's number; with a width as many digits, zeros in front |
| `{YYYY}`, `{MM}`, `{DD}` | the span's date, all three of them; its number is that of days since 1970-01-01 |
| `{VERSION}`, `{VERSION:2}` | the version of a span |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

from components.runtime.errors import InputError, did_you_mean

SPAN, VERSION, DATE = "SPAN", "VERSION", ("YYYY", "MM", "DD")
IMPLIED = "span-{SPAN}"
"""What folders of spans are called where nobody says."""

_EPOCH = date(1970, 1, 1)
_KNOWN = (SPAN, VERSION, *DATE)
_DIGITS = {"YYYY": "4", "MM": "2", "DD": "2"}
_PLACEHOLDER = re.compile(r"\{([A-Z]+)(?::([^{}/]*))?\}")
_TOKEN = re.compile(r"(\{(?:SPAN|VERSION|YYYY|MM|DD)(?::[^{}/]*)?\}|\*\*/|\*\*|\*|\?)")
_GLOBS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_UNBOUNDED = re.compile(r"\{(?:SPAN|VERSION)\}\{(?:SPAN|VERSION)\b")


def names(pattern: str) -> tuple[str, ...]:
    """The placeholders in a path or a pattern, in their order."""
    return tuple(found[1] for found in _PLACEHOLDER.finditer(pattern) if found[1] in _KNOWN)


def is_in_spans(data: str, patterns: Iterable[Any], span: str = "", count: int = 0) -> bool:
    """Whether data is in spans: by a placeholder in its path or in a pattern, or by what is asked for."""
    return bool(span or count or any(names(str(each)) for each in (data, *patterns)))


def check(pattern: str) -> None:
    """Holds a whole path, with the pattern behind it, against the rules.

    Raises:
      InputError: an unknown placeholder, one that is there twice, or that cannot stand without another.
    """
    for found in _PLACEHOLDER.finditer(pattern):
        name, width = found[1], found[2]
        if name not in _KNOWN:
            known = ", ".join(f"{{{each}}}" for each in _KNOWN)
            raise InputError(f"{pattern}: no placeholder {{{name}}}{did_you_mean(name, _KNOWN)}; known are {known}")
        if width is not None and (name in DATE or not re.fullmatch("[1-9][0-9]?", width)):
            raise InputError(f"{pattern}: {found[0]}: a width is a number of digits, of SPAN and VERSION: {{SPAN:5}}")
    there = names(pattern)
    for name in there:
        if there.count(name) > 1:
            raise InputError(f"{pattern}: has {{{name}}} twice; once is what can be told apart")
    if days := [name for name in DATE if name in there]:
        if lacking := [name for name in DATE if name not in there]:
            raise InputError(
                f"{pattern}: has {{{days[0]}}} without {{{lacking[0]}}}; a date is {{YYYY}}, {{MM}} and {{DD}}"
            )
        if SPAN in there:
            raise InputError(f"{pattern}: has {{SPAN}} and a date; a span has one of the two")
    elif VERSION in there and SPAN not in there:
        raise InputError(f"{pattern}: has {{VERSION}} without {{SPAN}} or a date, of which it would be a version")
    if _UNBOUNDED.search(pattern):
        raise InputError(
            f"{pattern}: nobody can tell where the one number ends: write {{SPAN:5}}, or a sign between them"
        )


def regex(pattern: str) -> re.Pattern[str]:
    """What a pattern stands for: `*` and `?` within a name, `**` across folders, placeholders as named groups."""
    result = ""
    for token in _TOKEN.split(pattern):
        if found := _PLACEHOLDER.fullmatch(token):
            digits = found[2] or _DIGITS.get(found[1], "")
            result += f"(?P<{found[1]}>[0-9]{f'{{{digits}}}' if digits else '+'})"
        else:
            result += _GLOBS.get(token, re.escape(token))
    return re.compile(result)


def is_pattern(part: str) -> bool:
    """Whether a part of a path stands for several names."""
    return _TOKEN.search(part) is not None


def filled(pattern: str, texts: Mapping[str, str]) -> str:
    """The same with the texts that stand in the places of placeholders."""
    return _PLACEHOLDER.sub(lambda found: texts.get(found[1], found[0]), pattern)


def number(texts: Mapping[str, str]) -> int:
    """The number of a span by the texts in its placeholders' places.

    Raises:
      ValueError: a date that no calendar has.
    """
    if SPAN in texts:
        return int(texts[SPAN])
    return number_of(date(*(int(texts[name]) for name in DATE)))


def number_of(day: date) -> int:
    """Days since 1970-01-01, as TFX numbers the spans of dates."""
    return (day - _EPOCH).days


def date_of(number: int) -> str:
    """The date of a span's number, as 2026-11-30; the number itself where no calendar has one."""
    try:
        return (_EPOCH + timedelta(days=number)).isoformat()
    except OverflowError:
        return str(number)
