"""Metrics that let confidence intervals gate: the ends of another metric's interval, with thresholds like any metric's.

TFMA holds thresholds against a metric's value, whatever its interval. In an EvalConfig with
`options { compute_confidence_intervals { value: true } }`:
`metrics { class_name: "LowerBound" module: "components.evaluate.metrics" config: '"metric": "auc"' }` is the lower end
of the 95 % interval of `auc`. Its change against the baseline is the lower end of the interval of the change of `auc`,
whose examples are drawn alike for both models: `absolute { value: -0.01 }` then says that the candidate is, with that
confidence, not worse by more than a hundredth.
"""

from __future__ import annotations

from typing import Any

from tensorflow_model_analysis.api import types
from tensorflow_model_analysis.metrics import metric_types, metric_util
from tensorflow_model_analysis.utils import math_util


class LowerBound(metric_types.Metric):
    """Lower end of the 95 % confidence interval of another metric of the same metrics_specs."""

    def __init__(self, metric: str, name: str = "") -> None:
        """Makes the metric of the one with this name; its own is `<metric>_lower_bound` unless it is given one."""
        super().__init__(_create, metric=metric, name=name or f"{metric}_lower_bound", upper=False)

    def get_config(self) -> dict[str, Any]:
        """What `__init__` takes."""
        return {"metric": self.kwargs["metric"], "name": self.name}


class UpperBound(metric_types.Metric):
    """Upper end of the 95 % confidence interval of another metric of the same metrics_specs."""

    def __init__(self, metric: str, name: str = "") -> None:
        """Makes the metric of the one with this name; its own is `<metric>_upper_bound` unless it is given one."""
        super().__init__(_create, metric=metric, name=name or f"{metric}_upper_bound", upper=True)

    def get_config(self) -> dict[str, Any]:
        """What `__init__` takes."""
        return {"metric": self.kwargs["metric"], "name": self.name}


def _computations(
    metric: str,
    name: str,
    upper: bool,
    eval_config: Any = None,
    model_name: str = "",
    output_name: str = "",
    sub_key: metric_types.SubKey | None = None,
    aggregation_type: metric_types.AggregationType | None = None,
    example_weighted: bool = False,
) -> metric_types.MetricComputations:
    if eval_config is None or not eval_config.options.compute_confidence_intervals.value:
        raise ValueError(f"{name} needs options {{ compute_confidence_intervals {{ value: true }} }}")
    if name.startswith("_"):
        raise ValueError(f"{name[1:]} cannot be averaged over classes: give it a metrics_specs of its own")
    measured = metric_types.MetricKey(metric, model_name, output_name, sub_key, aggregation_type, example_weighted)
    key = measured._replace(name=name)

    def ends(metrics: dict[metric_types.MetricKey, Any]) -> dict[metric_types.MetricKey, float]:
        found = {}
        for of, made in ((measured, key), (measured.make_diff_key(), key.make_diff_key())):
            # Where TFMA could not compute an interval there is a bare number, and no end to hold a bound against.
            if isinstance(metrics.get(of), types.ValueWithTDistribution):
                found[made] = float(interval(metrics[of])[upper])
        return found

    return [metric_types.CIDerivedMetricComputation(keys=[key], result=ends)]


_create = metric_util.merge_per_key_computations(_computations)


def interval(value: types.ValueWithTDistribution) -> tuple[float, float]:
    """Lower and upper end of the 95 % interval, as TFMA has them: Student's t around the samples' mean."""
    _, lower, upper = math_util.calculate_confidence_interval(value)
    return lower, upper
