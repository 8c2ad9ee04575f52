"""Names and values as they stand in a drawing."""

from __future__ import annotations

from typing import Any

from components.explain.findings import Findings
from components.runtime.explaining.answers import CLASSES
from components.runtime.explaining.rows import NUMBER, OTHER, TEXT, Array, kind, told
from components.runtime.missing import where as missing


def cut(value: object, length: int) -> str:
    """A text of so many letters."""
    line = " ".join(str(value).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def short(value: object, length: int = 24) -> str:
    """The same for a drawing, in which a dollar is no formula."""
    return cut(value, length).replace("$", r"\$")


def value(values: Array, place: int, length: int) -> str:
    """The value of a feature in a row; none of what is no number or text."""
    if kind(values) == OTHER:
        return ""
    found = told(values[place])
    return "missing" if found is None else cut(f"{found:.6g}" if isinstance(found, float) else found, length)


def unit(findings: Findings) -> str:
    """What attributions are of."""
    return "answered class" if findings.subject.task == CLASSES else "answer"


def shares(values: Array) -> Array | None:
    """Places of numbers among all, from 0 to 1; None of what are none, or where all are alike."""
    import numpy as np

    if kind(values) != NUMBER:
        return None
    known = np.sort(values[~missing(values)].astype(np.float64))
    if not len(known) or known[0] == known[-1]:
        return None
    found = np.searchsorted(known, values.astype(np.float64), "left") / max(len(known) - 1, 1)
    return np.where(missing(values), np.nan, np.clip(found, 0, 1))


def is_plain(values: Any) -> bool:
    """Whether a feature has one number or one text in a row."""
    return kind(values) in (NUMBER, TEXT)
