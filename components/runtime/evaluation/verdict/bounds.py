"""The bounds of a threshold: in words, and how a number or its change fails them."""

from __future__ import annotations

import math
from typing import Any

from tensorflow_model_analysis.proto import config_pb2


def what_it_is(value: float) -> str:
    """A number that is none, in words."""
    return "NaN" if math.isnan(value) else "infinite"


def value_failure(name: str, value: float, threshold: config_pb2.GenericValueThreshold) -> str:
    """How a value fails a threshold; empty where it holds."""
    if not math.isfinite(value):
        return f"{name} is {what_it_is(value)}"
    if threshold.HasField("lower_bound") and value < threshold.lower_bound.value:
        return f"{name} {value:.6g} < {threshold.lower_bound.value:.6g}"
    if threshold.HasField("upper_bound") and value > threshold.upper_bound.value:
        return f"{name} {value:.6g} > {threshold.upper_bound.value:.6g}"
    return ""


def change_failure(
    name: str,
    value: float,
    baseline: float,
    change: float,
    threshold: config_pb2.GenericChangeThreshold,
) -> str:
    """How a change against the baseline fails a threshold; empty where it holds.

    Args:
      name: of the metric.
      value: the candidate's.
      baseline: the baseline's.
      change: the difference of the two.
      threshold: with an absolute bound, one relative to the baseline, or both.
    """
    pair = f"{name} {value:.6g} against {baseline:.6g} of the baseline"
    if not math.isfinite(change):
        return f"{pair}: the change is {what_it_is(change)}"
    higher = threshold.direction == config_pb2.MetricDirection.HIGHER_IS_BETTER
    if not higher and threshold.direction != config_pb2.MetricDirection.LOWER_IS_BETTER:
        return f"{name}: its change threshold has no direction"
    sign = "<" if higher else ">"
    if threshold.HasField("absolute") and _worse(change, threshold.absolute.value, higher):
        return f"{pair}: change {change:+.6g} {sign} {threshold.absolute.value:+.6g}"
    if threshold.HasField("relative"):
        # Of the baseline's size: with its sign, a score below zero that falls would rise. Where the baseline is zero
        # the ratio is undefined, and what is undefined does not pass.
        ratio = math.nan if math.isclose(baseline, 0.0) else change / abs(baseline)
        if math.isnan(ratio) or _worse(ratio, threshold.relative.value, higher):
            return f"{pair}: relative change {ratio:+.4g} {sign} {threshold.relative.value:+.4g}"
    return ""


def _worse(change: float, bound: float, higher: bool) -> bool:
    return change < bound if higher else change > bound


def better(threshold: Any) -> str:
    """Which way a metric is better by its threshold: `higher` or `lower`; empty where that does not say."""
    if isinstance(threshold, config_pb2.GenericValueThreshold):
        sides = threshold.HasField("lower_bound"), threshold.HasField("upper_bound")
        return {(True, False): "higher", (False, True): "lower"}.get(sides, "")
    kinds = {config_pb2.MetricDirection.HIGHER_IS_BETTER: "higher", config_pb2.MetricDirection.LOWER_IS_BETTER: "lower"}
    return kinds.get(threshold.direction, "")


def bound(threshold: Any) -> str:
    """What a threshold asks for."""
    if isinstance(threshold, config_pb2.GenericValueThreshold):
        low = f">= {threshold.lower_bound.value:.6g}" if threshold.HasField("lower_bound") else ""
        high = f"<= {threshold.upper_bound.value:.6g}" if threshold.HasField("upper_bound") else ""
        return " and ".join(filter(None, [low, high])) or "is a number"
    sign = ">=" if threshold.direction == config_pb2.MetricDirection.HIGHER_IS_BETTER else "<="
    absolute = f"change {sign} {threshold.absolute.value:+.6g}" if threshold.HasField("absolute") else ""
    relative = f"relative change {sign} {threshold.relative.value:+.4g}" if threshold.HasField("relative") else ""
    return " and ".join(filter(None, [absolute, relative])) or "change is a number"
