"""What stands in the tables of metrics: the candidate's metrics by name, and values with their intervals."""

from __future__ import annotations

from collections.abc import Iterable

from tensorflow_model_analysis import constants
from tensorflow_model_analysis.metrics import metric_types

from components.runtime.evaluation.computation.results import SliceMetrics, candidate_name, metric_name
from components.runtime.stage import report
from components.runtime.stage.report import Html

MAX_ROWS = 60
"""Of a table that would have one for each slice, class or threshold."""


def columns(entry: SliceMetrics) -> dict[str, metric_types.MetricKey]:
    """The candidate's metrics by the name people read."""
    name = candidate_name(key.model_name for key in entry.values)
    return {metric_name(key): key for key in entry.values if key.model_name == name and not key.is_diff}


def baseline_key(key: metric_types.MetricKey) -> metric_types.MetricKey:
    """The baseline's metric that stands beside one of the candidate."""
    return key._replace(model_name=constants.BASELINE_KEY)


def cell(entry: SliceMetrics, key: metric_types.MetricKey) -> object:
    """A value, with its confidence interval where there is one."""
    value = entry.defined(key)
    if value is None or key not in entry.intervals:
        return value
    low, high = entry.intervals[key]
    return Html(f"{report.escape(value)} {report.text(f'{low:.4g} to {high:.4g}', 'muted')}")


def interval_note(entries: Iterable[SliceMetrics]) -> list[Html]:
    """What the grey numbers are; nothing where there are none."""
    if not any(entry.intervals for entry in entries):
        return []
    return [report.paragraph(report.text("grey: 95 % confidence interval", "muted"))]


def class_of(key: metric_types.MetricKey) -> int | None:
    """Number of the class that a metric is of; None where it is of all."""
    return key.sub_key.class_id if key.sub_key else None
