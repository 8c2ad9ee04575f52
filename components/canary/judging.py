"""When a new version is taken back: what its bounds are, and whether it keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from components.canary.counters import Counted
from components.runtime.errors import InputError, did_you_mean

TITLES = {
    "error_rate": "share of requests without an answer",
    "error_rate_added": "the same, above that of the stable version",
    "p99_ms": "99 of 100 requests are answered within, in milliseconds",
    "p99_ratio": "the same, as a multiple of that of the stable version",
    "answers": "share of the same rows answered otherwise",
}


@dataclass(frozen=True)
class Check:
    """One bound.

    Attributes:
      name: of the bound, one of TITLES.
      found: what was measured; None where there was nothing to measure.
      limit: the bound.
    """

    name: str
    found: float | None
    limit: float

    @property
    def holds(self) -> bool | None:
        """Whether it is kept; None where nobody knows."""
        return None if self.found is None else self.found <= self.limit

    def __str__(self) -> str:
        """As it stands in a reason."""
        return f"{self.name} {self.found:.4g} > {self.limit:g}" if self.found is not None else f"{self.name} unknown"


def check_bounds(bounds: Mapping[str, float]) -> None:
    """Refuses bounds that there are not.

    Raises:
      InputError: a name or value is wrong.
    """
    for name, value in bounds.items():
        if name not in TITLES:
            raise InputError(f"bounds: no bound {name!r}{did_you_mean(name, TITLES)}; there are {', '.join(TITLES)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise InputError(f"bounds: {name}: expected a number from 0, not {value!r}")


def checks(bounds: Mapping[str, float], stable: Counted, canary: Counted, answers: float | None) -> list[Check]:
    """Holds what was counted to the bounds.

    Args:
      bounds: by name.
      stable: of the stable version.
      canary: of the new one, in the same time.
      answers: share of the rows that were answered otherwise; None where none were asked.
    """
    slow, slow_before = canary.quantile(0.99), stable.quantile(0.99)
    errors, errors_before = canary.error_rate, stable.error_rate
    found = {
        "error_rate": errors,
        "error_rate_added": None if errors is None or errors_before is None else max(0.0, errors - errors_before),
        "p99_ms": None if slow is None else slow * 1000,
        "p99_ratio": slow / slow_before if slow is not None and slow_before else None,
        "answers": answers,
    }
    return [Check(name, found[name], float(limit)) for name, limit in bounds.items()]


def broken(found: list[Check]) -> str:
    """The bounds that are not kept, in one line; empty where all are, or nobody knows."""
    return ", ".join(str(each) for each in found if each.holds is False)
