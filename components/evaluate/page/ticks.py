"""Names along the axes of a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_TICK_LETTERS = 28
_LEVEL = 4
"""Names of so many letters need not be turned."""
LETTER = 0.075
"""Width of a letter in inches."""
_SLANTED = 24
"""Up to so many names stand slanted under an axis, more upright."""


def put(axis: Any, places: Sequence[float], names: Sequence[str]) -> None:
    """Names along an axis: long ones shortened, and turned where they would run into each other."""
    turned: dict[str, Any] = {}
    if axis.axis_name == "x" and room_below(names):
        turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
        if len(names) > _SLANTED:
            turned = {"rotation": 90}
    axis.set_ticks(places, list(map(shortened, names)), **turned)


def shortened(name: str) -> str:
    """A name as it stands at an axis."""
    return name if len(name) <= _TICK_LETTERS else name[: _TICK_LETTERS - 1] + "…"


def room_below(names: Sequence[str]) -> float:
    """Inches that turned names take below an axis; 0 where they need not be turned."""
    longest = max((len(shortened(name)) for name in names), default=0)
    return 0.0 if longest <= _LEVEL else longest * (LETTER if len(names) > _SLANTED else LETTER / 2)
