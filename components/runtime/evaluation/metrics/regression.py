"""Metrics of models that answer a number: how much less they err than the best constant answer, and their plots.

In an EvalConfig:
`metrics { class_name: "SquaredErrorLift" module: "components.evaluate.metrics" }`,
`metrics { class_name: "AbsoluteErrorLift" module: "components.evaluate.metrics" }`.
Labels and predictions are one number per example. All follow from one set of sums in flat memory
(`components.runtime.evaluation.metrics.residuals`). The plots come by themselves with any other metric of a regression.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types, metric_util
from tensorflow_model_analysis.proto import config_pb2

from components.runtime.errors import InputError
from components.runtime.evaluation.metrics.residuals import Errors

REGRESSION_PLOT = "regression_plot"
"""Name of the metric that holds a `Regression` as JSON."""

SQUARED_ERROR_LIFT, ABSOLUTE_ERROR_LIFT = "squared_error_lift", "absolute_error_lift"
_ERRORS = "_regression_errors"
"""What TFMA keeps to itself: metrics with a leading underscore are not written."""

_ROWS_AT_ONCE = 256

_OF_A_REGRESSION = {
    "MeanSquaredError",
    "RootMeanSquaredError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredLogarithmicError",
    "LogCoshError",
    "R2Score",
    "SquaredPearsonCorrelation",
    "SquaredErrorLift",
    "AbsoluteErrorLift",
}
"""Metrics that ask how far a number is off; where the labels turn out to be 0 and 1 only, no page shows the plots."""


class SquaredErrorLift(metric_types.Metric):
    """Mean squared error of the best constant answer, the labels' mean, divided by that of the model.

    1 is what the constant reaches, exactly; twice the lift is half the squared error. It is 1 / (1 - R²). Without any
    error it is infinite, which never blesses: a model that errs nowhere has seen the labels. A NaN among labels or
    predictions makes it NaN, an infinite prediction 0.
    """

    def __init__(self, name: str = SQUARED_ERROR_LIFT) -> None:
        """Makes the metric under a name."""
        super().__init__(_create, name=name, kind="squared")


class AbsoluteErrorLift(metric_types.Metric):
    """Mean absolute error of the best constant answer, the labels' median, divided by that of the model.

    As `SquaredErrorLift`; single large errors weigh less. Of more than `residuals.DISTINCT` different
    labels, those next to the median count as the median.
    """

    def __init__(self, name: str = ABSOLUTE_ERROR_LIFT) -> None:
        """Makes the metric under a name."""
        super().__init__(_create, name=name, kind="absolute")


class R2Score(metric_types.Metric):
    """Coefficient of determination: 1 less the squared error over that of the labels' mean, which gets 0.

    In the place of Keras's under its name: that one takes the difference of float32 sums of squares, of which nothing
    is left where labels differ by little of what they are, as years and times do.
    """

    def __init__(self, name: str = "r2_score") -> None:
        """Makes the metric under a name."""
        super().__init__(_create, name=name, kind="r2")


metric_types.register_metric(R2Score)


class RegressionPlot(metric_types.Metric):
    """What the report draws of a regression: see `components.runtime.evaluation.metrics.residuals.Regression`."""

    def __init__(self, where_it_fits: bool = False) -> None:
        """Makes the plot.

        Args:
          where_it_fits: whether labels and predictions that are not one number per example are passed over in silence
            instead of refused.
        """
        super().__init__(_create, name=REGRESSION_PLOT, kind="plot", where_it_fits=where_it_fits)


def with_plots(config: config_pb2.EvalConfig) -> config_pb2.EvalConfig:
    """The configuration with a `RegressionPlot` beside every metric of a regression that is over whole examples."""
    result = config_pb2.EvalConfig()
    result.CopyFrom(config)
    for spec in result.metrics_specs:
        names = {metric.class_name for metric in spec.metrics}
        plain = not (spec.HasField("binarize") or spec.HasField("aggregate") or spec.query_key)
        if plain and names & _OF_A_REGRESSION and RegressionPlot.__name__ not in names:
            spec.metrics.add(class_name=RegressionPlot.__name__, module=__name__, config='"where_it_fits": true')
    return result


def _computations(
    name: str,
    kind: str,
    where_it_fits: bool = False,
    eval_config: Any = None,
    model_name: str = "",
    output_name: str = "",
    sub_key: metric_types.SubKey | None = None,
    aggregation_type: metric_types.AggregationType | None = None,
    class_weights: dict[int, float] | None = None,
    example_weighted: bool = False,
) -> metric_types.MetricComputations:
    if sub_key or aggregation_type or class_weights:
        raise ValueError(f"{name} is over numbers: it takes no binarize, aggregate or class weights")
    place = {"model_name": model_name, "output_name": output_name, "example_weighted": example_weighted}
    summed = metric_types.MetricKey(name=_ERRORS, **place)
    # TFMA drops all but one of the same: the errors are summed up once for all metrics.
    counted = metric_types.MetricComputation([summed], None, RegressionCombiner(summed, eval_config))
    key = metric_types.MetricKey(name=name, **place)

    def result(metrics: dict[metric_types.MetricKey, Any]) -> dict[metric_types.MetricKey, Any]:
        sums: Sums = metrics[summed]
        if sums.unfit and not where_it_fits:
            raise InputError(f"eval config: {name}: {sums.unfit}")
        if kind != "plot":
            return {key: _VALUES[kind](sums.errors)}
        found = None if sums.unfit else sums.errors.regression()
        return {key: found.to_json()} if found else {}

    return [counted, metric_types.DerivedMetricComputation([key], result)]


_create = metric_util.merge_per_key_computations(_computations)


def squared_error_lift(errors: Errors) -> float:
    """Squared error of the labels' mean over that of the predictions."""
    return _lift(errors, errors.constant_squared(), errors.squared)


def absolute_error_lift(errors: Errors) -> float:
    """Absolute error of the labels' median over that of the predictions."""
    return _lift(errors, errors.constant_absolute(), errors.absolute)


def _lift(errors: Errors, constant: float, model: float) -> float:
    if errors.nan or not errors.weight + errors.infinite:
        return math.nan
    if errors.infinite:
        return 0.0
    return constant / model if model else math.inf if constant else math.nan


def r2_score(errors: Errors) -> float:
    """1 less the squared error over that of the labels' mean; NaN where all labels are equal."""
    if errors.nan or not errors.constant_squared():
        return math.nan
    return -math.inf if errors.infinite else 1 - errors.squared / errors.constant_squared()


_VALUES: dict[str, Callable[[Errors], float]] = {
    "squared": squared_error_lift,
    "absolute": absolute_error_lift,
    "r2": r2_score,
}


@dataclass
class Sums:
    """The accumulator.

    Attributes:
      errors: of what was added up.
      waiting: (label, prediction, weight) of single examples; many are added at once.
      unfit: why labels or predictions are not one number per example; empty where they are.
    """

    errors: Errors = field(default_factory=Errors)
    waiting: list[tuple[float, float, float]] = field(default_factory=list)
    unfit: str = ""

    def settle(self) -> None:
        """Adds up what waits."""
        if self.waiting:
            self.errors.add(*np.array(self.waiting).T)
            self.waiting = []


class RegressionCombiner(beam.CombineFn):
    """Sums up errors."""

    def __init__(self, key: metric_types.MetricKey, eval_config: Any) -> None:
        self._key = key
        self._eval_config = eval_config

    def create_accumulator(self) -> Sums:
        """Nothing added up yet."""
        return Sums()

    def add_input(self, accumulator: Sums, element: Any) -> Sums:
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
            accumulator.unfit = accumulator.unfit or _unfit(label[np.newaxis], prediction[np.newaxis])
            if not accumulator.unfit:
                values = (array.reshape(-1)[0] for array in (label, prediction, weight))
                accumulator.waiting.append(tuple(map(float, values)))  # type: ignore[arg-type]
        if len(accumulator.waiting) >= _ROWS_AT_ONCE:
            accumulator.settle()
        return accumulator

    def add_batch(
        self, accumulator: Sums, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None = None
    ) -> Sums:
        """`add_input` for many rows.

        Args:
          accumulator: what was added up so far.
          labels: [rows, 1].
          predictions: [rows, 1].
          weights: [rows]; 1 for each row without.
        """
        accumulator.unfit = accumulator.unfit or _unfit(labels, predictions)
        if not accumulator.unfit:
            ones = np.ones(len(labels))
            accumulator.errors.add(labels.reshape(-1), predictions.reshape(-1), ones if weights is None else weights)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Sums]) -> Sums:
        """Adds up sums."""
        total = self.create_accumulator()
        for other in accumulators:
            other.settle()
            total.errors.merge(other.errors)
            total.unfit = total.unfit or other.unfit
        return total

    def extract_output(self, accumulator: Sums) -> dict[metric_types.MetricKey, Sums]:
        """The sums."""
        accumulator.settle()
        return {self._key: accumulator}


def _unfit(labels: np.ndarray, predictions: np.ndarray) -> str:
    """Why these are not one number per example; empty where they are."""
    for what, array in (("labels", labels), ("predictions", predictions)):
        if array.size != len(array):
            return f"{what} of shape {list(array.shape[1:])} are not one number per example"
        if array.dtype.kind not in "biuf":
            return f"{what} of type {array.dtype} are no numbers"
    return ""
