"""Holds the metrics against the thresholds of the EvalConfig and decides whether the model is blessed.

TFMA's own validation lists failures only, and counts thresholds on pairs of slices as failed whatever they are. Here
every threshold gets a line. Where TFMA has compared a value with a bound and found it wanting, the model is not blessed
either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tensorflow_model_analysis.metrics import metric_specs, metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.runtime.evaluation.computation.results import Results, candidate_name, metric_name
from components.runtime.evaluation.metrics.curves import OfBothClasses
from components.runtime.evaluation.verdict import bounds
from components.runtime.evaluation.verdict.outcomes import Outcome, Spec, apply, not_applied

NO_THRESHOLD = "NO THRESHOLD"
"""Begins the reason of a model that was blessed without a test, in capitals since it is easily passed over."""


@dataclass(frozen=True)
class Verdict:
    """Whether the model is blessed, and why.

    Attributes:
      better: by metric whether it is better `higher` or `lower`, as far as thresholds say, in their order.
    """

    blessed: bool
    baseline: bool
    reason: str
    outcomes: list[Outcome]
    better: dict[str, str]


def judge(
    results: Results,
    config: config_pb2.EvalConfig,
    unapplied: config_pb2.EvalConfig | None,
    tfma_failures: list[str],
    fault: str = "",
) -> Verdict:
    """Decides.

    Args:
      results: what was measured.
      config: the configuration with the models that were measured.
      unapplied: where there is no baseline, the configuration as it would be with one: its change thresholds are
        listed as not applied. None where there is a baseline.
      tfma_failures: the comparisons that failed in TFMA's own validation, for where this module found nothing.
      fault: why the model is not blessed whatever its metrics are; empty where there is no such reason.
    """
    smallest = config.options.min_slice_size.value
    curves = _curves(config)
    outcomes = [
        outcome
        for written, spec, threshold in _thresholds(config)
        for key in _measured(results, written)
        for outcome in apply(results, key, spec, threshold, smallest, key._replace(is_diff=False) in curves)
    ]
    better = _better(results, [*_thresholds(config), *(_thresholds(unapplied) if unapplied else [])])
    skipped = [] if unapplied is None else [not_applied(*entry) for entry in _thresholds(unapplied) if entry[0].is_diff]
    failures = [outcome.why for outcome in outcomes if not outcome.passed]
    failures += _not_finite(results, {(outcome.slice, outcome.metric) for outcome in outcomes})
    failures = failures or [f"TensorFlow Model Analysis: {failure}" for failure in tfma_failures]
    if fault:
        # Thresholds that hold say nothing then, and those that fail only follow.
        failures = [fault]
    note = "; there is no baseline" if unapplied is not None else ""
    note += f", so {_count(skipped, 'change threshold')} not applied" if skipped else ""
    if failures:
        more = f"; and {len(failures) - 1} more" if len(failures) > 1 else ""
        return Verdict(False, unapplied is None, failures[0] + more + note, [*outcomes, *skipped], better)
    if outcomes:
        reason = f"all {len(outcomes)} thresholds hold" if len(outcomes) > 1 else "the one threshold holds"
    else:
        reason = f"{NO_THRESHOLD} IS SET: every model is blessed"
        reason = f"{NO_THRESHOLD} APPLIES: blessed without a test" if skipped else reason
    return Verdict(True, unapplied is None, reason + note, [*outcomes, *skipped], better)


def sets_thresholds(config: config_pb2.EvalConfig) -> bool:
    """Whether any metric has a threshold, be it one that only applies where there is a baseline."""
    return bool(_thresholds(config))


def _thresholds(config: config_pb2.EvalConfig) -> list[tuple[metric_types.MetricKey, Spec, Any]]:
    baseline = {spec.name for spec in config.model_specs if spec.is_baseline}
    found = metric_specs.metric_thresholds_from_metrics_specs(config.metrics_specs, eval_config=config)
    return [
        (key, spec, threshold)
        for key, entries in found.items()
        if key.model_name not in baseline
        for spec, threshold in entries
    ]


def _measured(results: Results, key: metric_types.MetricKey) -> list[metric_types.MetricKey]:
    """The metrics that a threshold is for: one in the map of a metrics_specs does not tell whether weighted or not."""
    if key.example_weighted is not None:
        return [key]
    keys = [key._replace(example_weighted=weighted) for weighted in (False, True)]
    known = {other for entry in results.slices for other in entry.values}
    return [each for each in keys if each in known] or keys[:1]


def _better(results: Results, thresholds: list[tuple[metric_types.MetricKey, Spec, Any]]) -> dict[str, str]:
    """Which way a metric is better; one that has to lie between two bounds says nothing of that."""
    found: dict[str, str] = {}
    for written, _, threshold in thresholds:
        if direction := bounds.better(threshold):
            for key in _measured(results, written._replace(is_diff=False)):
                found.setdefault(metric_name(key), direction)
    return found


def _not_finite(results: Results, judged: set[tuple[str, str]]) -> list[str]:
    """What no threshold judges and yet speaks against the candidate: metrics over all examples that are no number.

    Those of one class, and averages over classes, are left alone: the examples may lack a class. Where no slicing spec
    is of all examples, each slice is looked at; a metric may be NaN in some, which may lack what it needs.

    Args:
      results: what was measured.
      judged: slice and metric of what thresholds judge.
    """
    looked_at = [entry for entry in results.slices if entry.key == ()]
    looked_at = looked_at or [entry for entry in results.slices if not entry.is_cross]
    candidate = candidate_name(key.model_name for entry in looked_at for key in entry.values)
    numbers = {key for entry in looked_at for key, value in entry.values.items() if not math.isnan(value)}
    return [
        f"{metric_name(key)} is {bounds.what_it_is(value)}, which never blesses ({entry.name})"
        for entry in looked_at
        for key, value in entry.values.items()
        if key.model_name == candidate and not key.is_diff and (entry.name, metric_name(key)) not in judged
        if math.isinf(value) or not (key in numbers or key.sub_key or key.aggregation_type)
    ]


def _curves(config: config_pb2.EvalConfig) -> set[metric_types.MetricKey]:
    """Metrics that are undefined where a class is missing."""
    found = metric_specs.keys_and_metrics_from_specs(config, config.metrics_specs)
    return {key for key, _, metric in found if isinstance(metric, OfBothClasses)}


def _count(entries: list[Outcome], what: str) -> str:
    return f"{len(entries)} {what}{'s are' if len(entries) > 1 else ' is'}"
