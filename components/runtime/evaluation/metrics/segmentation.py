"""Metrics of models that give every pixel a class: accuracy, intersection over union, and both over a constant answer.

In an EvalConfig: `metrics { class_name: "MeanIoU" module: "components.evaluate.metrics" }`. Labels are class
numbers of shape [height, width] (or any other shape), predictions one score per class, [height, width, classes]. All
follow from one table of pixels by true and predicted class over all images, so that every pixel counts the same.
Keras's own metrics of this kind do not take TFMA's weights, which are one per image. A pixel of the label -1 is not
counted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types, metric_util
from tensorflow_model_analysis.proto import config_pb2, metrics_for_slice_pb2

from components.runtime.errors import InputError
from components.runtime.module_file import moved

NO_CLASS = -1
"""The label of pixels that are not judged, such as borders that nobody could draw."""

PIXEL_MATRIX = "pixel_confusion_matrix_plot"
"""Name of the plot that counts pixels by class."""

_TABLE = "_pixels_by_class"
"""What TFMA keeps to itself: metrics with a leading underscore are not written."""

Table = np.ndarray
"""Pixels by true class (rows) and predicted class (columns), float64; NaN where a prediction was NaN."""


def accuracy(table: Table) -> float:
    """Share of the pixels that have the right class; NaN without any."""
    return _ratio(np.trace(table), table.sum())


def class_iou(table: Table) -> np.ndarray:
    """Intersection over union of each class; NaN for a class that is neither there nor predicted.

    Pixels that have the class and got it, over pixels that have it or got it (the Jaccard index).
    """
    right = np.diagonal(table)
    union = table.sum(axis=0) + table.sum(axis=1) - right
    return np.divide(right, union, out=np.full(len(table), math.nan), where=union != 0)


def mean_iou(table: Table) -> float:
    """Mean of `class_iou` over the classes that have one; NaN where there is none."""
    values = class_iou(table)
    found = values[table.sum(axis=0) + table.sum(axis=1) != 0]
    return float(found.mean()) if len(found) else math.nan


def constant(table: Table) -> Table:
    """The table of who answers the most frequent class everywhere: no other constant answer has a better metric."""
    truth = table.sum(axis=1)
    result = np.zeros_like(table)
    result[:, int(truth.argmax()) if len(truth) else 0] = truth
    return result


class PixelAccuracy(metric_types.Metric):
    """Share of the pixels that have the right class."""

    def __init__(self, name: str = "pixel_accuracy") -> None:
        """Makes the metric under a name."""
        super().__init__(_create, name=name, kind="accuracy")


class MeanIoU(metric_types.Metric):
    """Mean over the classes of the intersection over union."""

    def __init__(self, name: str = "mean_iou") -> None:
        """Makes the metric under a name."""
        super().__init__(_create, name=name, kind="mean_iou")


class ClassIoU(metric_types.Metric):
    """Intersection over union of one class."""

    def __init__(self, class_id: int, name: str = "") -> None:
        """Makes the metric of the class with this number."""
        super().__init__(_create, name=name or f"iou_{class_id}", kind="class_iou", class_id=class_id)


class PixelAccuracyLift(metric_types.Metric):
    """Pixel accuracy over that of the best constant answer, which therefore gets 1."""

    def __init__(self, name: str = "pixel_accuracy_lift") -> None:
        """Makes the metric; the constant answer's own comes as `constant_pixel_accuracy`."""
        super().__init__(_create, name=name, kind="accuracy_lift")


class MeanIoULift(metric_types.Metric):
    """Mean IoU over that of the best constant answer, which therefore gets 1."""

    def __init__(self, name: str = "mean_iou_lift") -> None:
        """Makes the metric; the constant answer's own comes as `constant_mean_iou`."""
        super().__init__(_create, name=name, kind="mean_iou_lift")


class PixelConfusionMatrixPlot(metric_types.Metric):
    """Pixels by true and predicted class, in the form of TFMA's plot of several classes."""

    def __init__(self, classes: list[str] | None = None) -> None:
        """Makes the plot; `classes` are the names of the classes for pages, by number."""
        super().__init__(_create, name=PIXEL_MATRIX, kind="plot", classes=classes)


def class_names(config: config_pb2.EvalConfig) -> list[str]:
    """Names of the classes by number, where the configuration's `PixelConfusionMatrixPlot` has them."""
    for metric in (metric for spec in config.metrics_specs for metric in spec.metrics):
        ours = metric.class_name == PixelConfusionMatrixPlot.__name__ and metric.module in (moved.METRICS, __package__)
        if ours and metric.config:
            text = metric.config.strip()
            # TFMA lets the braces be left out.
            names = json.loads(text if text.startswith("{") else "{" + text + "}").get("classes")
            return [str(name) for name in names or []]
    return []


def _computations(
    name: str,
    kind: str,
    class_id: int | None = None,
    classes: list[str] | None = None,
    eval_config: Any = None,
    model_name: str = "",
    output_name: str = "",
    sub_key: metric_types.SubKey | None = None,
    aggregation_type: metric_types.AggregationType | None = None,
    class_weights: dict[int, float] | None = None,
    example_weighted: bool = False,
) -> metric_types.MetricComputations:
    if sub_key or aggregation_type or class_weights:
        raise ValueError(f"{name} is over all pixels: it takes no binarize, aggregate or class weights")
    place = {"model_name": model_name, "output_name": output_name, "example_weighted": example_weighted}
    table = metric_types.MetricKey(name=_TABLE, **place)
    # TFMA drops all but one of the same: the pixels are counted once for all metrics.
    combiner = PixelCombiner(table, eval_config)
    counted = metric_types.MetricComputation(keys=[table], preprocessors=None, combiner=combiner)
    key = metric_types.MetricKey(name=name, **place)
    plot = metric_types.PlotKey(name=name, **place)

    def derived(made_key: Any, make: Callable[[Table], Any]) -> metric_types.DerivedMetricComputation:
        return metric_types.DerivedMetricComputation([made_key], lambda metrics: {made_key: make(metrics[table])})

    if kind == "plot":
        return [counted, derived(plot, _matrix)]
    if kind == "class_iou":
        return [counted, derived(key, lambda pixels: _of_class(pixels, class_id))]
    metric = accuracy if kind.startswith("accuracy") else mean_iou
    if not kind.endswith("lift"):
        return [counted, derived(key, metric)]
    base = metric_types.MetricKey(
        name="constant_pixel_accuracy" if metric is accuracy else "constant_mean_iou", **place
    )
    return [
        counted,
        derived(base, lambda pixels: metric(constant(pixels))),
        derived(key, lambda pixels: _ratio(metric(pixels), metric(constant(pixels)))),
    ]


_create = metric_util.merge_per_key_computations(_computations)


class PixelCombiner(beam.CombineFn):
    """Counts pixels by true and predicted class."""

    def __init__(self, key: metric_types.MetricKey, eval_config: Any) -> None:
        self._key = key
        self._eval_config = eval_config

    def create_accumulator(self) -> Table:
        """Nothing counted yet, and no class known."""
        return np.zeros((0, 0))

    def add_input(self, accumulator: Table, element: Any) -> Table:
        """Adds one example."""
        for label, prediction, weight in metric_util.to_label_prediction_example_weight(
            element,
            eval_config=self._eval_config,
            model_name=self._key.model_name,
            output_name=self._key.output_name,
            example_weighted=self._key.example_weighted,
            flatten=False,
            allow_none=False,
        ):
            counted = count(np.asarray(label)[np.newaxis], np.asarray(prediction)[np.newaxis])
            accumulator = _sum(accumulator, counted * float(weight.reshape(-1)[0]))
        return accumulator

    def add_batch(self, accumulator: Table, labels: np.ndarray, predictions: np.ndarray) -> Table:
        """`add_input` for rows of equal weight; shapes as `count` has them."""
        return _sum(accumulator, count(labels, predictions))

    def merge_accumulators(self, accumulators: Iterable[Table]) -> Table:
        """Adds up counts."""
        total = self.create_accumulator()
        for table in accumulators:
            total = _sum(total, table)
        return total

    def extract_output(self, accumulator: Table) -> dict[metric_types.MetricKey, Table]:
        """The table."""
        return {self._key: accumulator}


def count(labels: np.ndarray, predictions: np.ndarray) -> Table:
    """Pixels by true and predicted class.

    Args:
      labels: class numbers or `NO_CLASS`, [rows, ...] or [rows, ..., 1].
      predictions: scores, [rows, ..., classes].

    Raises:
      ValueError: the shapes do not fit each other, or a label is no number of a class.
    """
    classes = predictions.shape[-1]
    places = predictions.shape[:-1]
    if labels.shape not in (places, (*places, 1)) or classes < 2:
        raise ValueError(
            f"labels of shape {list(labels.shape[1:])} do not fit predictions of shape {list(predictions.shape[1:])}; "
            "expected one class number per pixel, and a score per pixel and class"
        )
    truth = labels.reshape(-1).astype(np.int64)
    if len(truth) and (truth.min() < NO_CLASS or truth.max() >= classes):
        wrong = truth.max() if truth.max() >= classes else truth.min()
        raise ValueError(f"a pixel has the label {wrong}, but the model knows the classes 0 to {classes - 1}")
    if np.isnan(predictions).any():
        return np.full((classes, classes), math.nan)
    known = truth != NO_CLASS
    pairs = truth[known] * classes + predictions.reshape(-1, classes).argmax(axis=1)[known]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes).astype(np.float64)


def _sum(one: Table, other: Table) -> Table:
    if one.size and other.size:
        return one + other
    return one if one.size else other


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan


def _of_class(table: Table, class_id: int | None) -> float:
    values = class_iou(table)
    if class_id is None or not 0 <= class_id < max(len(values), 1):
        raise InputError(
            f"ClassIoU: there is no class {class_id}, the model knows the classes 0 to {len(values) - 1}; "
            "correct class_id in the eval config"
        )
    return float(values[class_id]) if len(values) else math.nan


def _matrix(table: Table) -> metrics_for_slice_pb2.MultiClassConfusionMatrixAtThresholds:
    result = metrics_for_slice_pb2.MultiClassConfusionMatrixAtThresholds()
    matrix = result.matrices.add(threshold=0.0)
    for (actual, predicted), pixels in np.ndenumerate(table):
        matrix.entries.add(actual_class_id=actual, predicted_class_id=predicted, num_weighted_examples=pixels)
    return result
