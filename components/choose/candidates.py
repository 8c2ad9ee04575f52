"""The candidates of a run as their blessings tell of them, and which one is best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.runtime.errors import InputError
from components.runtime.publish.blessing import document
from components.runtime.stage.artifacts import InputArtifact

INTERVAL = (" 95% low", " 95% high")
"""What stands behind a metric's name for the ends of its interval."""


@dataclass(frozen=True)
class Candidate:
    """A model that may be chosen.

    Attributes:
      name: as the settings call it.
      reason: why it is blessed or not.
      metrics: over all examples.
      better: by metric whether it is better `higher` or `lower`, as far as thresholds say.
      thresholds: each with its outcome, as blessing.json has them.
    """

    name: str
    model: InputArtifact
    blessing: InputArtifact
    blessed: bool
    reason: str
    metrics: dict[str, float]
    better: dict[str, str]
    thresholds: list[dict[str, Any]]


@dataclass(frozen=True)
class Choice:
    """What was decided.

    Attributes:
      best: the best of those that are blessed; of all where none is.
      metric: which decided.
      better: whether `higher` or `lower` is better.
      why: in one line.
    """

    best: Candidate
    metric: str
    better: str
    why: str


def read(name: str, model: InputArtifact, blessing: InputArtifact) -> Candidate:
    """Reads what is known of a candidate.

    Raises:
      InputError: the blessing is none, or of an evaluation that did not note metrics.
    """
    content = document(blessing)
    metrics, better = content.get("metrics"), content.get("better")
    if not isinstance(metrics, dict) or not isinstance(better, dict):
        raise InputError(f"candidate {name}: its blessing.json tells no metrics; evaluate it again")
    return Candidate(
        name,
        model,
        blessing,
        bool(content["blessed"]),
        str(content["reason"]),
        {key: float(value) for key, value in metrics.items()},
        {key: str(value) for key, value in better.items()},
        list(content.get("thresholds", [])),
    )


def choose(candidates: Sequence[Candidate], metric: str, better: str) -> Choice:
    """Finds the best candidate.

    Args:
      candidates: in the order of the settings.
      metric: which decides; empty for the first that has a threshold with a direction.
      better: `higher`, `lower`, or empty for what the thresholds say.

    Raises:
      InputError: nothing says by which metric, or which way, or a candidate that is blessed has no such metric.
    """
    metric = metric or next((name for each in candidates for name in each.better), "")
    if not metric:
        raise InputError(
            "no evaluation has a threshold that says which way a metric is better, so nothing says which candidate "
            "is best; name a metric: choose: {metric: auc, better: higher}"
        )
    ways = {each.better[metric]: each.name for each in candidates if metric in each.better}
    if not better and len(ways) > 1:
        first, second = ways.values()
        raise InputError(
            f"the thresholds of {first} and {second} do not agree which way {metric} is better; say it: "
            f"choose: {{metric: {metric}, better: higher}}, or lower"
        )
    direction = better or next(iter(ways), "")
    blessed = [each for each in candidates if each.blessed]
    for each in blessed or candidates:
        if metric not in each.metrics and (each.blessed or not any(metric in other.metrics for other in candidates)):
            known = [name for name in each.metrics if not name.endswith(INTERVAL)]
            raise InputError(
                f"the evaluation of {each.name} has no metric {metric!r} over all examples; it has: "
                f"{', '.join(known) or 'none'}; name one of all candidates: choose: {{metric: ...}}"
            )
    if not direction:
        raise InputError(
            f"no threshold says which way {metric} is better; say it: choose: {{metric: {metric}, better: higher}}, "
            "or lower"
        )
    compared = [each for each in blessed or candidates if metric in each.metrics]
    sign = 1 if direction == "higher" else -1
    # The first of those that are as good: max keeps it.
    best = max(compared, key=lambda each: sign * each.metrics[metric])
    return Choice(best, metric, direction, _why(best, candidates, blessed, metric))


def _why(best: Candidate, candidates: Sequence[Candidate], blessed: Sequence[Candidate], metric: str) -> str:
    if not blessed:
        return f"no candidate is blessed: {'; '.join(f'{each.name}: {each.reason}' for each in candidates)}"
    value = best.metrics[metric]
    if len(blessed) == 1:
        return f"{best.name} is the only blessed one of {len(candidates)} candidates, {metric} {value:.6g}"
    equal = [each.name for each in blessed if each is not best and each.metrics[metric] == value]
    tie = f", as good as {' and '.join(equal)}, and named before in the settings" if equal else ""
    return f"{best.name} is the best of {len(blessed)} blessed candidates by {metric}, {value:.6g}{tie}"
