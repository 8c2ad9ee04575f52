"""Holds the metrics against the thresholds of the EvalConfig and decides whether the model is blessed.

TFMA's own validation lists failures only, and counts thresholds on pairs of slices as failed whatever they are. Here
every threshold gets a line. Where TFMA has compared a value with a bound and found it wanting, the model is not blessed
either.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from tensorflow_model_analysis.metrics import metric_specs, metric_types
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.slicer import slicer_lib

from components.evaluate.computation.counts import SliceKey
from components.evaluate.computation.results import Results, SliceMetrics, candidate_name, metric_name
from components.evaluate.configuration.slices import cross_name, slice_spec_name
from components.evaluate.metrics.curves import OfBothClasses

NO_THRESHOLD = "NO THRESHOLD"
"""Begins the reason of a model that was blessed without a test, in capitals since it is easily passed over."""

_Spec: TypeAlias = "config_pb2.SlicingSpec | config_pb2.CrossSlicingSpec | None"


@dataclass(frozen=True)
class Outcome:
    """One threshold on one slice."""

    slice: str
    metric: str
    kind: str
    """value, or change against the baseline."""
    bound: str
    value: float | None
    """The candidate's; None where the metric was not computed."""
    baseline_value: float | None
    passed: bool | None
    """None where the threshold was not applied."""
    why: str
    """What failed, or why it was not applied; empty where it passed."""

    def as_json(self) -> dict[str, Any]:
        """The entry of blessing.json; NaN and infinities become text."""
        return {
            "slice": self.slice,
            "metric": self.metric,
            "kind": self.kind,
            "bound": self.bound,
            "value": json_number(self.value),
            "baseline_value": json_number(self.baseline_value),
            "passed": self.passed,
        }


@dataclass(frozen=True)
class Verdict:
    """Whether the model is blessed, and why."""

    blessed: bool
    baseline: bool
    reason: str
    outcomes: list[Outcome]


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
        for outcome in _apply(results, key, spec, threshold, smallest, key._replace(is_diff=False) in curves)
    ]
    skipped = [] if unapplied is None else [_skipped(*entry) for entry in _thresholds(unapplied) if entry[0].is_diff]
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
        return Verdict(False, unapplied is None, failures[0] + more + note, [*outcomes, *skipped])
    if outcomes:
        reason = f"all {len(outcomes)} thresholds hold" if len(outcomes) > 1 else "the one threshold holds"
    else:
        reason = f"{NO_THRESHOLD} IS SET: every model is blessed"
        reason = f"{NO_THRESHOLD} APPLIES: blessed without a test" if skipped else reason
    return Verdict(True, unapplied is None, reason + note, [*outcomes, *skipped])


def sets_thresholds(config: config_pb2.EvalConfig) -> bool:
    """Whether any metric has a threshold, be it one that only applies where there is a baseline."""
    return bool(_thresholds(config))


def json_number(value: float | None) -> float | str | None:
    """A number as strict JSON holds it."""
    return value if value is None or math.isfinite(value) else str(value)


def _thresholds(config: config_pb2.EvalConfig) -> list[tuple[metric_types.MetricKey, _Spec, Any]]:
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
        f"{metric_name(key)} is {_what_it_is(value)}, which never blesses ({entry.name})"
        for entry in looked_at
        for key, value in entry.values.items()
        if key.model_name == candidate and not key.is_diff and (entry.name, metric_name(key)) not in judged
        if math.isinf(value) or not (key in numbers or key.sub_key or key.aggregation_type)
    ]


def _curves(config: config_pb2.EvalConfig) -> set[metric_types.MetricKey]:
    """Metrics that are undefined where a class is missing."""
    found = metric_specs.keys_and_metrics_from_specs(config, config.metrics_specs)
    return {key for key, _, metric in found if isinstance(metric, OfBothClasses)}


def _apply(
    results: Results, key: metric_types.MetricKey, spec: _Spec, threshold: Any, smallest: int, curve: bool
) -> Iterable[Outcome]:
    number = key.sub_key.class_id if key.is_diff and key.sub_key else None
    if number in results.renumbered:
        mine, other = results.renumbered[number]
        why = f"{metric_name(key)} cannot be compared: class {number} is {mine!r}, and {other!r} in the baseline"
        return [Outcome(_spec_name(spec), metric_name(key), _kind(key), _bound(threshold), None, None, False, why)]
    slices = [entry for entry in results.slices if _applies(spec, entry)]
    if not slices:
        where = _spec_name(spec)
        few = f"fewer than {smallest}" if smallest > 1 else "no"
        why = f"{metric_name(key)}: {few} examples in the slice {where}"
        return [Outcome(where, metric_name(key), _kind(key), _bound(threshold), None, None, False, why)]
    return [_outcome(entry, key, threshold, smallest, curve) for entry in slices]


def _applies(spec: _Spec, entry: SliceMetrics) -> bool:
    if isinstance(spec, config_pb2.CrossSlicingSpec):
        # A spec without others is on every pair with its baseline.
        return (
            entry.is_cross
            and _is_of(spec.baseline_spec, entry.key[0])
            and (not spec.slicing_specs or any(_is_of(other, entry.key[1]) for other in spec.slicing_specs))
        )
    return not entry.is_cross and (spec is None or _is_of(spec, entry.key))


def _is_of(spec: config_pb2.SlicingSpec, key: SliceKey) -> bool:
    return bool(slicer_lib.SingleSliceSpec(spec=spec).is_slice_applicable(key))


def _outcome(entry: SliceMetrics, key: metric_types.MetricKey, threshold: Any, smallest: int, curve: bool) -> Outcome:
    name, bound = metric_name(key), _bound(threshold)
    if curve and math.isnan(entry.values.get(key._replace(is_diff=False), 0.0)):
        lack = "a class that it needs has no examples" if key.sub_key or key.aggregation_type else ""
        why = f"{name} is not defined: {lack or 'all examples have one label'} ({entry.name})"
        return Outcome(entry.name, name, _kind(key), bound, None, None, False, why)
    if not key.is_diff:
        value = entry.values.get(key)
        why = _value_failure(name, value, threshold) if value is not None else _absence(entry, key, smallest)
        why = f"{why} ({entry.name})" if why else ""
        return Outcome(entry.name, name, "value", bound, value, None, not why, why)
    value = entry.values.get(key._replace(is_diff=False))
    baseline = _baseline_value(entry, key)
    change = entry.values.get(key)
    if value is None or baseline is None or change is None:
        why = _absence(entry, key, smallest)
    else:
        why = _change_failure(name, value, baseline, change, threshold)
    why = f"{why} ({entry.name})" if why else ""
    return Outcome(entry.name, name, "change", bound, value, baseline, not why, why)


def _baseline_value(entry: SliceMetrics, key: metric_types.MetricKey) -> float | None:
    for other, value in entry.values.items():
        if other.model_name != key.model_name and other._replace(model_name=key.model_name, is_diff=True) == key:
            return value
    return None


def _what_it_is(value: float) -> str:
    return "NaN" if math.isnan(value) else "infinite"


def _absence(entry: SliceMetrics, key: metric_types.MetricKey, smallest: int) -> str:
    """Why there is no value to judge."""
    name = metric_name(key)
    if entry.examples is not None and entry.examples < smallest:
        return f"{name} was not computed: the slice has {entry.examples} examples, min_slice_size is {smallest}"
    absent = f"{name} was not computed" + (" for both models" if key.is_diff else "")
    similar = (other for other in entry.values if (other.name, other.model_name) == (key.name, key.model_name))
    names = sorted({metric_name(other) for other in similar} - {name})
    return f"{absent}; there is {', '.join(names)}" if names else absent


def _value_failure(name: str, value: float, threshold: config_pb2.GenericValueThreshold) -> str:
    if not math.isfinite(value):
        return f"{name} is {_what_it_is(value)}"
    if threshold.HasField("lower_bound") and value < threshold.lower_bound.value:
        return f"{name} {value:.6g} < {threshold.lower_bound.value:.6g}"
    if threshold.HasField("upper_bound") and value > threshold.upper_bound.value:
        return f"{name} {value:.6g} > {threshold.upper_bound.value:.6g}"
    return ""


def _change_failure(
    name: str,
    value: float,
    baseline: float,
    change: float,
    threshold: config_pb2.GenericChangeThreshold,
) -> str:
    pair = f"{name} {value:.6g} against {baseline:.6g} of the baseline"
    if not math.isfinite(change):
        return f"{pair}: the change is {_what_it_is(change)}"
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


def _bound(threshold: Any) -> str:
    if isinstance(threshold, config_pb2.GenericValueThreshold):
        low = f">= {threshold.lower_bound.value:.6g}" if threshold.HasField("lower_bound") else ""
        high = f"<= {threshold.upper_bound.value:.6g}" if threshold.HasField("upper_bound") else ""
        return " and ".join(filter(None, [low, high])) or "is a number"
    sign = ">=" if threshold.direction == config_pb2.MetricDirection.HIGHER_IS_BETTER else "<="
    absolute = f"change {sign} {threshold.absolute.value:+.6g}" if threshold.HasField("absolute") else ""
    relative = f"relative change {sign} {threshold.relative.value:+.4g}" if threshold.HasField("relative") else ""
    return " and ".join(filter(None, [absolute, relative])) or "change is a number"


def _kind(key: metric_types.MetricKey) -> str:
    return "change" if key.is_diff else "value"


def _skipped(key: metric_types.MetricKey, spec: _Spec, threshold: Any) -> Outcome:
    why = "not applied: there is no baseline"
    return Outcome(_spec_name(spec), metric_name(key), "change", _bound(threshold), None, None, None, why)


def _spec_name(spec: _Spec) -> str:
    if spec is None:
        return "every slice"
    return cross_name(spec) if isinstance(spec, config_pb2.CrossSlicingSpec) else slice_spec_name(spec)


def _count(entries: list[Outcome], what: str) -> str:
    return f"{len(entries)} {what}{'s are' if len(entries) > 1 else ' is'}"
