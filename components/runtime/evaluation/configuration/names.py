"""How messages name the models, and list the names that exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from components.runtime.errors import InputError

THE_BASELINE = "the baseline, which is the model in service"

_MANY = 30


def refuse_unknown(where: str, field: str, name: str, names: Iterable[str], what: str) -> None:
    """Raises an `InputError` that says which names there are, where `name` is none of them."""
    names = list(names)
    if name in names:
        return
    close = difflib.get_close_matches(name, names, n=5, cutoff=0.5) if len(names) > _MANY else names
    raise InputError(f"{where}: {field} {name!r} is no {what}; there is: {listed(close or names)}")


def listed(names: list[str]) -> str:
    """The first names, or none."""
    return ", ".join(names[:_MANY]) + (", …" if len(names) > _MANY else "") if names else "none"
