"""What the servers have counted, in Prometheus' text form, and what that says of the time between two looks.

The names are TensorFlow Serving's, which the built-in server has too; latencies are in microseconds there.
The form: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

PATH = "/monitoring/prometheus/metrics"

_REQUESTS = ":tensorflow:serving:request_count"
_LATENCY = ":tensorflow:serving:request_latency_bucket"
_IN_SERVICE = "millrace_version_in_service"
_LINE = re.compile(r"([:\w]+)\{(.*)\} (\S+)(?: \d+)?")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_OK = "OK"
_REFUSED = frozenset({"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"})
"""How a request ends that is wrong itself, whichever version is asked."""

_US = 1e6


@dataclass(frozen=True)
class Counted:
    """What was counted.

    Attributes:
      answered: requests that were answered.
      failed: requests that the server owes an answer.
      buckets: by upper bound in seconds, as many requests as took no longer.
    """

    answered: float = 0.0
    failed: float = 0.0
    buckets: Mapping[float, float] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """All that count."""
        return round(self.answered + self.failed)

    @property
    def error_rate(self) -> float | None:
        """Share of the requests without an answer; None without requests."""
        return self.failed / (self.answered + self.failed) if self.requests else None

    def quantile(self, share: float) -> float | None:
        """The time in seconds within which a share of the requests ended; None without requests.

        Within a bucket linear, as Prometheus' histogram_quantile:
        https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile.
        """
        bounds = sorted(self.buckets)
        total = self.buckets[bounds[-1]] if bounds else 0
        if total <= 0:
            return None
        below, before = 0.0, 0.0
        for bound in bounds:
            count = self.buckets[bound]
            if count >= share * total:
                if math.isinf(bound):
                    return before
                part = (share * total - below) / (count - below) if count > below else 1.0
                return before + (bound - before) * part
            below, before = count, bound
        return before

    def __add__(self, other: Counted) -> Counted:
        """Both together."""
        bounds = {**self.buckets, **other.buckets}
        buckets = {bound: self.buckets.get(bound, 0.0) + other.buckets.get(bound, 0.0) for bound in bounds}
        return Counted(self.answered + other.answered, self.failed + other.failed, buckets)

    def since(self, earlier: Counted) -> Counted:
        """What was counted after an earlier look; a counter that has less than before has begun anew."""
        if earlier.answered > self.answered or earlier.failed > self.failed:
            return self
        return Counted(
            self.answered - earlier.answered,
            self.failed - earlier.failed,
            {bound: count - earlier.buckets.get(bound, 0.0) for bound, count in self.buckets.items()},
        )


def read(text: str, model: str) -> Counted:
    """What a server has counted of one model since it began.

    Args:
      text: of its metrics.
      model: its name in requests.
    """
    answered = failed = 0.0
    buckets: defaultdict[float, float] = defaultdict(float)
    for line in text.splitlines():
        if not line.startswith((_REQUESTS, _LATENCY)) or not (found := _LINE.fullmatch(line.strip())):
            continue
        name, labels, value = found[1], dict(_LABEL.findall(found[2])), float(found[3])
        if labels.get("model_name") != model:
            continue
        if name == _REQUESTS and (status := labels.get("status", "")) not in _REFUSED:
            answered, failed = answered + value * (status == _OK), failed + value * (status != _OK)
        elif name == _LATENCY:
            buckets[float(labels["le"]) / _US] += value
    return Counted(answered, failed, dict(buckets))


def in_service(text: str, model: str) -> int | None:
    """The version that a server answers with where none is asked for; None where it does not say, or has none.

    Args:
      text: of its metrics; only those of the built-in server tell.
      model: its name in requests.
    """
    for line in text.splitlines():
        found = _LINE.fullmatch(line.strip()) if line.startswith(_IN_SERVICE) else None
        if found and dict(_LABEL.findall(found[2])).get("model_name") == model:
            return int(float(found[3])) or None
    return None


def between(earlier: Mapping[str, Counted], now: Mapping[str, Counted]) -> Counted:
    """What all servers of a side counted since an earlier look; one that was not there then counts whole.

    Args:
      earlier: by server.
      now: by server.
    """
    return total(each.since(earlier.get(name, Counted())) for name, each in now.items())


def total(each: Iterable[Counted]) -> Counted:
    """What several servers counted."""
    return sum(each, Counted())
