"""Names of columns, which become those of features: held against what can be one, and against each other."""

from __future__ import annotations

from collections.abc import Sequence

from components.runtime.errors import InputError, did_you_mean


def check_name(name: str, known: Sequence[str], parameter: str, file: str) -> None:
    """Holds a column's name in a parameter against those of a file.

    Raises:
      InputError: the file has no such column.
    """
    if name not in known:
        hint = did_you_mean(str(name), known)
        names = ", ".join(quoted_if_odd(each) for each in known)
        raise InputError(f"{file}: no column {name!r}, which {parameter} names{hint}; it has: {names}")


def check_names(names: Sequence[str], file: str, hint: str = "give every column a name") -> None:
    """Holds the names of a file's columns against what can name features.

    Raises:
      InputError: none, an empty one, or one twice.
    """
    if not names:
        raise InputError(f"{file}: has no columns: write it again, or move it away")
    for place, name in enumerate(names, 1):
        if not name.strip():
            raise InputError(f"{file}: column {place} has no name: {hint}")
        if name in names[: place - 1]:
            first = names.index(name) + 1
            raise InputError(f"{file}: columns {first} and {place} are both named {name!r}: rename one of them")


def compare_names(names: Sequence[str], file: str, expected: Sequence[str], first: str) -> None:
    """Holds the columns of a file against those of the first one, in any order.

    Raises:
      InputError: they are others.
    """
    if sorted(names) == sorted(expected):
        return
    missing = [name for name in expected if name not in names]
    added = [name for name in names if name not in expected]
    parts = [f"lacks {_listing(missing)}"] if missing else []
    parts += [f"has {_listing(added)} besides"] if added else []
    raise InputError(f"{file}: other columns than {first}: {' and '.join(parts)}; give all files the same columns")


def quoted_if_odd(name: str) -> str:
    """A column's name, in quotes where blanks around it would not be seen."""
    return name if name == name.strip() else repr(name)


def _listing(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
