"""Holds the metrics that an EvalConfig names against those that exist."""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorflow_model_analysis.metrics import confusion_matrix_metrics as tfma_metrics
from tensorflow_model_analysis.metrics import metric_specs, metric_types
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils.keras_lib import tf_keras

from components.runtime.errors import InputError, StageError
from components.runtime.evaluation.configuration.names import listed, refuse_unknown
from components.runtime.evaluation.configuration.reading import with_baseline
from components.runtime.evaluation.metrics import interval
from components.runtime.stage import imports


def _metrics(config: config_pb2.EvalConfig) -> Iterator[config_pb2.MetricConfig]:
    for spec in config.metrics_specs:
        yield from spec.metrics


def check_metrics(file: str, config: config_pb2.EvalConfig) -> None:
    """Holds every metric against what can be computed: its class, its options, its thresholds.

    Raises:
      InputError: a metric does not exist, cannot be made, or has a threshold that would say nothing.
    """
    registered = metric_types.registered_metrics()
    if not all(
        metric.module or metric.class_name in registered or hasattr(tf_keras.metrics, metric.class_name)
        for metric in _metrics(config)
    ):
        imports.fill("tensorflow_model_analysis.metrics")
        registered = metric_types.registered_metrics()
    for metric in _metrics(config):
        where = f"{file}: metric {metric.class_name!r}"
        if metric.config:
            _check_json(where, metric.config)
            _check_thresholds(where, _json(metric.config).get("thresholds"))
        if metric.class_name in registered:
            continue
        if metric.module:
            _check_class(where, metric, Path(file).parent)
        elif not isinstance(getattr(tf_keras.metrics, metric.class_name, None), type):
            keras_names = [name for name, kind in vars(tf_keras.metrics).items() if isinstance(kind, type)]
            refuse_unknown(file, "class_name", metric.class_name, sorted({*registered, *keras_names}), "metric")
    try:
        alone = with_baseline(config, False)
        computed = metric_specs.to_computations(list(alone.metrics_specs), eval_config=alone)
    except StageError:
        raise
    except Exception as error:
        raise InputError(f"{file}: a metric cannot be made: {error}") from None
    _check_names(file, alone)
    _check_bounds(file, config)
    measured = {key for computation in computed for key in computation.keys}
    for key, written, metric in metric_specs.keys_and_metrics_from_specs(alone, alone.metrics_specs):
        if isinstance(metric, interval.LowerBound | interval.UpperBound):
            of = key._replace(name=metric.kwargs["metric"])
            beside = {other.name for other in measured if other._replace(name=of.name) == of}
            names = sorted(name for name in beside if not name.startswith("_") and name != key.name)
            refuse_unknown(file, f"{written.class_name}'s metric", of.name, names, "metric of its metrics_specs")
        several = _json(written.config or "{}").get("thresholds")
        if isinstance(metric, tfma_metrics.ConfusionMatrixMetric) and isinstance(several, list) and len(several) > 1:
            raise InputError(
                f"{file}: metric {written.class_name!r} has {len(several)} thresholds, and would have as many values; "
                "give each a metric with one, and a name"
            )


def _check_thresholds(where: str, thresholds: Any) -> None:
    """TFMA counts the rows of a threshold as often as it stands there."""
    numbers = [each for each in thresholds if isinstance(each, int | float)] if isinstance(thresholds, list) else []
    if twice := [each for each in numbers if numbers.count(each) > 1]:
        raise InputError(f"{where} has the threshold {twice[0]:g} twice; name it once")


def _check_names(file: str, config: config_pb2.EvalConfig) -> None:
    """Of two metrics of one name TFMA computes one, and holds the thresholds of both against it."""
    known: dict[metric_types.MetricKey, tuple[Any, ...]] = {}
    for spec in config.metrics_specs:
        averaged = (spec.binarize.SerializeToString(deterministic=True),) if spec.HasField("aggregate") else ()
        options = (spec.aggregate.SerializeToString(deterministic=True), *averaged, spec.query_key)
        for key, metric, _ in metric_specs.keys_and_metrics_from_specs(config, [spec]):
            this = (metric.class_name, metric.module, _json(metric.config), *options)
            if known.setdefault(key, this) != this:
                raise InputError(
                    f"{file}: two different metrics are called {key.name!r} ({known[key][0]} and {metric.class_name}); "
                    f'give one of them another name: config: \'"name": "…"\''
                )


def _check_bounds(file: str, config: config_pb2.EvalConfig) -> None:
    """A bound that is no number holds or fails whatever the value is."""
    found = metric_specs.metric_thresholds_from_metrics_specs(config.metrics_specs, eval_config=config)
    for key, entries in found.items():
        for _, threshold in entries:
            for field, bound in threshold.ListFields():
                if field.message_type and math.isnan(bound.value):
                    raise InputError(f"{file}: the {field.name} of a threshold of {key.name!r} is NaN; give a number")


def _check_json(where: str, text: str) -> None:
    # TFMA lets the braces be left out.
    try:
        _json(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: its config is not JSON: {error}") from None


def _json(text: str) -> Any:
    return json.loads(text if text.lstrip().startswith("{") else "{" + text + "}")


def _check_class(where: str, metric: Any, folder: Path) -> None:
    # A metric of the user's own lies beside the configuration.
    if str(folder.resolve()) not in sys.path:
        sys.path.append(str(folder.resolve()))
    try:
        module = importlib.import_module(metric.module)
    except Exception as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise InputError(f"{where}: its module {metric.module!r} cannot be imported: {error}{line}") from None
    if not isinstance(getattr(module, metric.class_name, None), type):
        raise InputError(f"{where}: module {metric.module!r} has no such class; it has: {listed(_classes(module))}")


def _classes(module: Any) -> list[str]:
    kinds = (metric_types.Metric, tf_keras.metrics.Metric, tf_keras.losses.Loss)
    public = getattr(module, "__all__", None)
    own = (
        kind
        for name, kind in vars(module).items()
        if isinstance(kind, type) and (name in public if public else kind.__module__ == module.__name__)
    )
    return sorted(kind.__name__ for kind in own if issubclass(kind, kinds))
