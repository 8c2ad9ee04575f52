"""Names of columns that are asked for, looked at before TensorFlow is imported where ingest tells which there are."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from components.runtime.errors import InputError, did_you_mean

ALL = "*"
_NAMED = 10


def check(columns: Sequence[str], known: Collection[str]) -> None:
    """Refuses a name that no column has.

    Args:
      columns: that are asked for; `*` stands for all that are numbers or text.
      known: that there are.

    Raises:
      InputError: there is no column of such a name.
    """
    for name in columns:
        if name != ALL and name not in known:
            some = ", ".join(list(known)[:_NAMED]) + (", ..." if len(known) > _NAMED else "")
            raise InputError(f"columns: the data has no column {name!r}{did_you_mean(name, known)}; it has: {some}")
