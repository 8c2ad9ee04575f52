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
FEW = 50
"""A rate over fewer examples than this moves by chance; the page says so."""
FEW_OF_A_CLASS = 10
"""The same of what is measured against the examples of one of two classes, as AUC and recall are."""

_LIFTS = {
    "majority_lift": "accuracy over the share of the most frequent class",
    "top_lift": "share of positives among the highest scores over that among all",
    "pixel_accuracy_lift": "accuracy of pixels over the share of the most frequent class",
    "mean_iou_lift": "mean IoU over that of the most frequent class everywhere",
    "squared_error_lift": "squared error of the labels' mean over the model's",
    "absolute_error_lift": "absolute error of the labels' median over the model's",
}
"""What the metrics are that nobody else has, by the names that they have of themselves."""


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


def lift_note(keys: Iterable[metric_types.MetricKey]) -> list[Html]:
    """What the lifts among some metrics are; nothing where there are none."""
    there = {key.name for key in keys}
    told = "; ".join(f"{name}: {what}" for name, what in _LIFTS.items() if name in there)
    return [report.paragraph(report.text(f"{told}; 1 is what the best constant answer gets", "muted"))] if told else []


def is_of_few(entry: SliceMetrics) -> bool:
    """Whether a slice has so few examples, or of one of two classes, that what is measured on it may be chance."""
    # (Of a slice by the label one class has none, and what compares the classes is not defined there.)
    return (entry.examples is not None and entry.examples < FEW) or 0 < (entry.rarer or 0) < FEW_OF_A_CLASS


def class_of(key: metric_types.MetricKey) -> int | None:
    """Number of the class that a metric is of; None where it is of all."""
    return key.sub_key.class_id if key.sub_key else None
