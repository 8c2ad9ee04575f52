"""Holds what was found to what is asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.infra_validate.asking import Agreement, Speed
from components.runtime.errors import InputError, did_you_mean

_MB = 1e6


@dataclass(frozen=True)
class Measured:
    """What serving the model costs; None where it was not measured.

    Attributes:
      load_seconds: from the server's start until the model answers.
      memory_bytes: the server's largest resident memory.
      model_bytes: of the SavedModel.
      speeds: by requests at once.
    """

    load_seconds: float | None
    memory_bytes: int | None
    model_bytes: int
    speeds: Sequence[Speed] = ()

    @property
    def single(self) -> Speed | None:
        """Requests one after the other."""
        return next((each for each in self.speeds if each.at_once == 1), None)

    @property
    def best(self) -> Speed | None:
        """The speed with the highest throughput."""
        return max(self.speeds, key=lambda each: each.per_second, default=None)

    def values(self) -> dict[str, float | None]:
        """By the name of the bound."""
        single, best = self.single, self.best
        return {
            "p50_ms": single.percentile(50) if single else None,
            "p99_ms": single.percentile(99) if single else None,
            "load_seconds": self.load_seconds,
            "memory_mb": None if self.memory_bytes is None else self.memory_bytes / _MB,
            "model_mb": self.model_bytes / _MB,
            "requests_per_second": best.per_second if best else None,
        }


LOWER_BOUNDS = frozenset({"requests_per_second"})
"""The bounds that must be reached; all others must not be exceeded."""

TITLES = {
    "p50_ms": "latency of a single row, median, ms",
    "p99_ms": "latency of a single row, 99th percentile, ms",
    "load_seconds": "seconds from start to the first answer",
    "memory_mb": "memory of the server, MB",
    "model_mb": "size of the model, MB",
    "requests_per_second": "requests a second, at the best number at once",
}


@dataclass(frozen=True)
class Check:
    """One thing that has to hold.

    Attributes:
      title: what.
      found: what was measured, for people.
      wanted: what it has to be; empty where it is only told.
      holds: whether it does; None where nothing is asked.
    """

    title: str
    found: str
    wanted: str
    holds: bool | None


def check_bounds(bounds: Mapping[str, float]) -> None:
    """Refuses bounds that there are not, or that are no numbers above 0.

    Raises:
      InputError: which one.
    """
    for name, bound in bounds.items():
        if name not in TITLES:
            raise InputError(f"bounds: {name!r}{did_you_mean(name, TITLES)}; there are {', '.join(TITLES)}")
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not 0 < bound < math.inf:
            raise InputError(f"bounds.{name}: expected a number above 0, not {bound!r}")


def of_answers(agreements: Sequence[Agreement], tolerance: float) -> list[Check]:
    """Whether the server answers as the model does."""
    return [
        Check(
            f"answers by {each.title}",
            each.error or f"{each.rows} rows, largest difference {_number(each.difference)}",
            f"as in this process, to {tolerance:g}",
            not each.error and each.difference <= tolerance,
        )
        for each in agreements
    ]


def of_load(speeds: Sequence[Speed]) -> list[Check]:
    """Whether every request was answered."""
    return [
        Check(
            f"{each.at_once} at once" if each.at_once > 1 else "one after the other",
            f"{len(each.latencies):,} answered, {each.errors:,} not" + (f": {each.error}" if each.error else ""),
            "every request answered",
            not each.errors and len(each.latencies) > 0,
        )
        for each in speeds
    ]


def of_bounds(measured: Measured, bounds: Mapping[str, float]) -> list[Check]:
    """Whether the bounds hold; what has none is only told. What was not measured holds no bound."""
    made = []
    for name, value in measured.values().items():
        bound = bounds.get(name)
        known = value is not None and not math.isnan(value)
        holds = None
        if bound is not None:
            holds = known and (value >= bound if name in LOWER_BOUNDS else value <= bound)  # type: ignore[operator]
        sign = "at least" if name in LOWER_BOUNDS else "at most"
        found = _number(value) if known and value is not None else "not measured"
        made.append(Check(TITLES[name], found, f"{sign} {bound:g}" if bound is not None else "", holds))
    return made


def reason(checks: Sequence[Check]) -> str:
    """Why the model does not pass, in one line; empty where it does."""
    failed = [f"{each.title}: {each.found} ({each.wanted})" for each in checks if each.holds is False]
    if not failed:
        return ""
    more = f"; and {len(failed) - 1} more" if len(failed) > 1 else ""
    return f"{failed[0]}{more}"


def _number(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
