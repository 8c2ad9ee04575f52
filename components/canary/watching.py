"""Watches both versions for a step, and ends it as soon as a bound is broken."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.canary import counters, judging
from components.canary.counters import Counted
from components.canary.judging import Check
from components.canary.servers import Servers
from components.canary.traffic import CANARY, STABLE
from components.runtime.stage.progress import report

_LONGEST_LOOK = 10.0
_GONE_SECONDS = 60.0


@dataclass
class Sample:
    """What was counted between two looks.

    Attributes:
      minute: since the canary began.
      percent: share of the traffic that the new version had.
      seconds: between the looks.
      sides: STABLE and CANARY.
    """

    minute: float
    percent: int
    seconds: float
    sides: dict[str, Counted]

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"minute": round(self.minute, 3), "percent": self.percent} | {
            side: {
                "requests": each.requests,
                "per_second": each.requests / self.seconds,
                "error_rate": each.error_rate,
                "p50_ms": _ms(each.quantile(0.5)),
                "p99_ms": _ms(each.quantile(0.99)),
            }
            for side, each in self.sides.items()
        }


@dataclass
class Step:
    """What came of a step.

    Attributes:
      percent: share of the traffic that the new version had.
      sides: what was counted in it.
      checks: each bound.
      refused: why the new version is taken back; empty where nothing speaks against it.
    """

    percent: int
    sides: dict[str, Counted] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    refused: str = ""


def watch(
    servers: Servers,
    percent: int,
    version: int,
    seconds: float,
    min_requests: int,
    bounds: Mapping[str, float],
    answers: float | None,
    begun: float,
    samples: list[Sample],
) -> Step:
    """Watches a step.

    Args:
      servers: of both sides.
      percent: share of the traffic that the new version has.
      version: its number.
      seconds: how long; it ends earlier where a bound is broken.
      min_requests: to the new version, below which nothing is judged.
      bounds: by name.
      answers: share of the rows that were answered otherwise.
      begun: when the canary began, by the monotonic clock.
      samples: gets one for each look.
    """
    last = {side: servers.look(side).counted for side in (STABLE, CANARY)}
    looked = seen_at = time.monotonic()
    end, step = looked + seconds, Step(percent)
    interval = max(0.05, min(_LONGEST_LOOK, seconds / 10))
    while True:
        time.sleep(min(interval, max(end - time.monotonic(), 0.05)))
        now = {side: servers.look(side) for side in (STABLE, CANARY)}
        at = time.monotonic()
        sides = {side: counters.between(last[side], each.counted) for side, each in now.items()}
        samples.append(Sample((at - begun) / 60, percent, at - looked, sides))
        step.sides = {side: step.sides.get(side, Counted()) + counted for side, counted in sides.items()}
        # A pod that did not answer once is no new one when it does again.
        last, looked = {side: {**last[side], **each.counted} for side, each in now.items()}, at
        stable, canary = step.sides[STABLE], step.sides[CANARY]
        step.checks = judging.checks(bounds, stable, canary, answers)
        if now[CANARY].counted:
            seen_at = at
        elif at - seen_at >= min(_GONE_SECONDS, seconds / 2):
            step.refused = f"no pod of version {version} answers"
        others = {number for number in now[CANARY].versions.values() if number not in (None, version)}
        if others:
            step.refused = f"its server answers with version {max(others)} instead"
        if canary.requests >= min_requests:
            step.refused = step.refused or judging.broken(step.checks)
        _tell(step)
        if step.refused:
            return step
        if at >= end:
            if canary.requests < min_requests:
                step.refused = (
                    f"only {canary.requests} requests came to it in {seconds / 60:g} minutes of {percent} %, "
                    f"and {min_requests} are needed to judge it"
                )
            elif unknown := [each.name for each in step.checks if each.holds is None]:
                step.refused = f"not to be judged: {', '.join(unknown)} unknown"
            return step


def _tell(step: Step) -> None:
    told = []
    for side, each in step.sides.items():
        slow, errors = each.quantile(0.99), each.error_rate
        told.append(
            f"{side} {each.requests} requests"
            + ("" if errors is None else f", {errors:.2%} without an answer")
            + ("" if slow is None else f", p99 {slow * 1000:.1f} ms")
        )
    report(f"{step.percent} %: {'; '.join(told)}", force=False)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
