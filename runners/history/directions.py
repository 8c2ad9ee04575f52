"""Which way a metric is better."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from runners.history.executions import Execution
from runners.history.record_values import json_object, mapping

_FILE = "blessing.json"
_WAYS = {"higher": 1, "lower": -1}
_BETTER_WHEN_LOW = ("loss", "error", "mse", "mae", "rmse", "cross_entropy", "crossentropy")
_NEITHER = ("count", "second", "examples", "step", "epoch", "threshold", "mean_label", "mean_prediction")


def directions(executions: Iterable[Execution]) -> dict[str, int]:
    """What the evaluations of a run say of their metrics by their thresholds: 1 where high is better, -1 where low."""
    found: dict[str, int] = {}
    for execution in executions:
        if "blessing" in execution.outputs:
            # (Inside the execution's folder, wherever the root has been moved to.)
            told = mapping(json_object(execution.folder / "blessing" / _FILE) or {}, "better")
            found |= {name: _WAYS[way] for name, way in told.items() if way in _WAYS}
    return found


def better(metric: str, told: Mapping[str, int] | None = None) -> int:
    """Which way a metric is better: 1 where high, -1 where low, 0 where it is neither.

    Args:
      metric: its name, maybe behind that of its task.
      told: what is known of metrics; the name alone tells of others.
    """
    if (way := (told or {}).get(metric.rpartition(".")[2])) is not None:
        return way
    name = metric.lower()
    if any(word in name for word in _NEITHER):
        return 0
    # A lift over the best constant answer is one, whatever of.
    return -1 if "lift" not in name and any(word in name for word in _BETTER_WHEN_LOW) else 1
