"""What is wrong with images: collected over all files, told in one error."""

from __future__ import annotations

from dataclasses import dataclass, field

from components.runtime.errors import InputError

NAMED = 20
"""So many files are named in the error; of the others it gives the count."""

ENOUGH = 500
"""After so many the rest is not looked at."""


class BadImage(ValueError):
    """Why an image or a mask cannot be used, and how to mend it, without its file's name."""


@dataclass
class Faults:
    """Files that cannot be used."""

    _reasons: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, reason: str) -> None:
        """Notes why a file cannot be used; the first reason counts."""
        self._reasons.setdefault(name, reason)

    @property
    def enough(self) -> bool:
        """Whether to stop looking."""
        return len(self._reasons) >= ENOUGH

    def raise_if_any(self) -> None:
        """Names the files.

        Raises:
          InputError: there are any.
        """
        if not self._reasons:
            return
        told = [f"{name}: {reason}" for name, reason in sorted(self._reasons.items())]
        least = "at least " if self.enough else ""
        more = len(told) - NAMED
        if len(told) == 1:
            raise InputError(told[0])
        head = f"{told[0]} (and {least}{len(told) - 1} more {'file' if len(told) == 2 else 'files'} to mend)"
        raise InputError("; ".join([head, *told[1:NAMED]]) + (f"; and {more} not named here" if more > 0 else ""))
