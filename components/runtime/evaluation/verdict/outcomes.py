"""What comes of one threshold on each slice that it is for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.slicer import slicer_lib

from components.runtime.evaluation.computation.counts import SliceKey
from components.runtime.evaluation.computation.results import Results, SliceMetrics, metric_name
from components.runtime.evaluation.configuration.slices import cross_name, slice_spec_name
from components.runtime.evaluation.verdict import bounds

Spec: TypeAlias = "config_pb2.SlicingSpec | config_pb2.CrossSlicingSpec | None"


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


def json_number(value: float | None) -> float | str | None:
    """A number as strict JSON holds it."""
    return value if value is None or math.isfinite(value) else str(value)


def apply(
    results: Results, key: metric_types.MetricKey, spec: Spec, threshold: Any, smallest: int, curve: bool
) -> Iterable[Outcome]:
    """Judges one metric, on every slice that its threshold is for.

    Args:
      results: what was measured.
      key: of the metric.
      spec: the slices that the threshold is for; None for all.
      threshold: of TFMA, on the value or on the change.
      smallest: examples that a slice needs, `min_slice_size`.
      curve: whether the metric is undefined where a class is missing.
    """
    number = key.sub_key.class_id if key.is_diff and key.sub_key else None
    if number in results.renumbered:
        mine, other = results.renumbered[number]
        why = f"{metric_name(key)} cannot be compared: class {number} is {mine!r}, and {other!r} in the baseline"
        return [
            Outcome(_spec_name(spec), metric_name(key), _kind(key), bounds.bound(threshold), None, None, False, why)
        ]
    slices = [entry for entry in results.slices if _applies(spec, entry)]
    if not slices:
        where = _spec_name(spec)
        few = f"fewer than {smallest}" if smallest > 1 else "no"
        why = f"{metric_name(key)}: {few} examples in the slice {where}"
        return [Outcome(where, metric_name(key), _kind(key), bounds.bound(threshold), None, None, False, why)]
    return [_outcome(entry, key, threshold, smallest, curve) for entry in slices]


def _applies(spec: Spec, entry: SliceMetrics) -> bool:
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
    name, bound = metric_name(key), bounds.bound(threshold)
    if curve and math.isnan(entry.values.get(key._replace(is_diff=False), 0.0)):
        lack = "a class that it needs has no examples" if key.sub_key or key.aggregation_type else ""
        why = f"{name} is not defined: {lack or 'all examples have one label'} ({entry.name})"
        return Outcome(entry.name, name, _kind(key), bound, None, None, False, why)
    if not key.is_diff:
        value = entry.values.get(key)
        why = bounds.value_failure(name, value, threshold) if value is not None else _absence(entry, key, smallest)
        why = f"{why} ({entry.name})" if why else ""
        return Outcome(entry.name, name, "value", bound, value, None, not why, why)
    value = entry.values.get(key._replace(is_diff=False))
    baseline = _baseline_value(entry, key)
    change = entry.values.get(key)
    if value is None or baseline is None or change is None:
        why = _absence(entry, key, smallest)
    else:
        why = bounds.change_failure(name, value, baseline, change, threshold)
    why = f"{why} ({entry.name})" if why else ""
    return Outcome(entry.name, name, "change", bound, value, baseline, not why, why)


def _baseline_value(entry: SliceMetrics, key: metric_types.MetricKey) -> float | None:
    for other, value in entry.values.items():
        if other.model_name != key.model_name and other._replace(model_name=key.model_name, is_diff=True) == key:
            return value
    return None


def _absence(entry: SliceMetrics, key: metric_types.MetricKey, smallest: int) -> str:
    """Why there is no value to judge."""
    name = metric_name(key)
    if entry.examples is not None and entry.examples < smallest:
        return f"{name} was not computed: the slice has {entry.examples} examples, min_slice_size is {smallest}"
    absent = f"{name} was not computed" + (" for both models" if key.is_diff else "")
    similar = (other for other in entry.values if (other.name, other.model_name) == (key.name, key.model_name))
    names = sorted({metric_name(other) for other in similar} - {name})
    return f"{absent}; there is {', '.join(names)}" if names else absent


def _kind(key: metric_types.MetricKey) -> str:
    return "change" if key.is_diff else "value"


def not_applied(key: metric_types.MetricKey, spec: Spec, threshold: Any) -> Outcome:
    """A threshold on the change where there is no baseline."""
    why = "not applied: there is no baseline"
    return Outcome(_spec_name(spec), metric_name(key), "change", bounds.bound(threshold), None, None, None, why)


def _spec_name(spec: Spec) -> str:
    if spec is None:
        return "every slice"
    return cross_name(spec) if isinstance(spec, config_pb2.CrossSlicingSpec) else slice_spec_name(spec)
