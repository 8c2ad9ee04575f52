"""Explanations as a terminal shows them: the parts of an answer, the largest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runners.terminal import output
from runners.terminal.text import table

_MOST = 12
_WIDTH = 12
_DIFFERING = 5


def tell(found: Mapping[str, Any]) -> None:
    """Prints what a server explained, row by row.

    Args:
      found: the answer to `explain`.
    """
    for place, row in enumerate(found["explanations"], 1):
        of = f", class {row['name']}" if "name" in row else ""
        output.note(
            f"row {place}{of}: {_number(row['answer'])}; the {found['known_rows']} known rows are answered "
            f"{_number(row['baseline'])} on average"
        )
        parts = sorted(row["attributions"].items(), key=lambda part: -abs(part[1] or 0.0))
        largest = abs(parts[0][1] or 0.0) if parts else 0.0
        table(["feature", "part", "error", ""], [_line(name, value, row, largest) for name, value in parts[:_MOST]])
        if len(parts) > _MOST:
            output.note(f"and {len(parts) - _MOST} smaller ones")
        if other := row.get("nearest_other"):
            answer = f"{other['name']} ({_number(other['answer'])})" if "name" in other else _number(other["answer"])
            first, more = other["differs"][:_DIFFERING], len(other["differs"]) - _DIFFERING
            told = ", ".join(first) + (f" and {more} more" if more > 0 else "")
            output.note(f"the nearest known row with another answer, {answer}, differs most in {told}")


def _line(name: str, value: float | None, row: Mapping[str, Any], largest: float) -> list[str]:
    bar = "" if value is None or not largest else "█" * round(abs(value) / largest * _WIDTH)
    sign = "" if value is None else "+" if value >= 0 else ""
    return [name, f"{sign}{_number(value)}", _number(row["errors"].get(name)), bar]


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
