"""How a model did, beyond its metrics: curves, calibration, predictions, slices, out of what an evaluation leaves."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from components.runtime.data import tfrecord
from components.runtime.errors import InputError
from runners.history.distributions import rounded
from runners.history.executions import Execution
from runners.history.tfx_files import parsed

METRICS_FILES, PLOTS_FILES = "metrics-*.tfrecord", "plots-*.tfrecord"
"""In the folder of an evaluation; what TFMA calls them."""
MOST_SLICES = 500
_MOST_POINTS = 100
_BINS = 20
_CANDIDATE = ("", "candidate")
_REGRESSION = "regression_plot"

Points = list[list[float]]


@dataclass
class Evaluation:
    """How a model did, beyond its metrics.

    Attributes:
      roc: pairs of false positive rate and recall.
      precision_recall: pairs of recall and precision, by falling threshold.
      calibration: mean prediction and mean label, by rising prediction.
      predictions: lower end of each of several equal bins of the predictions, and the share of examples in it.
      residuals: the same of prediction less label, where the model answers a number.
      slices: metrics by slice; a slice lacks those that it has not.
    """

    roc: Points = field(default_factory=list)
    precision_recall: Points = field(default_factory=list)
    calibration: Points = field(default_factory=list)
    predictions: Points = field(default_factory=list)
    residuals: Points = field(default_factory=list)
    slices: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def says_nothing(self) -> bool:
        """Whether none of it is known."""
        return self == Evaluation()


def of_execution(execution: Execution) -> Evaluation:
    """What the evaluation of a local or an Argo run left; damaged or removed files tell nothing."""
    made = Evaluation(roc=roc(each.metadata for each in execution.outputs.values()))
    for name in execution.outputs:
        # (Inside of the execution's folder, wherever the root has been moved to.)
        folder = execution.folder / name
        for pattern, add in ((METRICS_FILES, add_metrics), (PLOTS_FILES, add_plots)):
            for file in sorted(folder.glob(pattern)):
                try:
                    add(made, tfrecord.read(file))
                except (InputError, OSError):
                    continue
    return made


def roc(metadata: Iterable[Mapping[str, Any]]) -> Points:
    """The ROC curve in KFP's `confidenceMetrics`: pairs of false positive rate and recall; empty without one."""
    for each in metadata:
        try:
            pairs = [
                [each_point["falsePositiveRate"], each_point["recall"]] for each_point in each["confidenceMetrics"]
            ]
            if pairs:
                return sorted([round(float(number), 5) for number in pair] for pair in pairs)
        except (TypeError, ValueError, KeyError):
            continue
    return []


def add_metrics(made: Evaluation, records: Iterable[bytes]) -> None:
    """Adds the candidate's metrics by slice, and its residuals, from the records of TFMA's `metrics` file."""
    for record in records:
        message = parsed("SliceMetrics", record)
        if message is None or message.HasField("cross_slice_key"):
            continue
        metrics = dict(_metrics(message.metrics))
        if metrics and len(made.slices) < MOST_SLICES:
            made.slices[_slice_name(message.slice_key)] = metrics
        if not message.slice_key.parts:
            for told in _regressions(message.metrics):
                made.residuals, made.calibration = _residuals(told), _deciles(told)


def add_plots(made: Evaluation, records: Iterable[bytes]) -> None:
    """Adds the candidate's curves over all examples, from the records of TFMA's `plots` file."""
    for record in records:
        message = parsed("SlicePlots", record)
        if message is None or message.HasField("cross_slice_key") or message.slice_key.parts:
            continue
        for entry in message.plots:
            # (Those of one class out of many would be taken for each other.)
            if entry.key.model_name in _CANDIDATE and not entry.key.HasField("sub_key"):
                made.precision_recall = made.precision_recall or _precision_recall(entry.value.confusion.matrices)
                if not made.residuals:
                    _add_calibration(made, entry.value.calibration.buckets)


def _precision_recall(matrices: Iterable[Any]) -> Points:
    found: Points = []
    for each in sorted(matrices, key=lambda matrix: -matrix.threshold):
        positives, answered = each.true_positives + each.false_negatives, each.true_positives + each.false_positives
        # Of no answers nobody can say how many were right.
        if positives and answered:
            point = [round(each.true_positives / positives, 5), round(each.true_positives / answered, 5)]
            if [point] != found[-1:]:
                found.append(point)
    step = max(1, math.ceil(len(found) / _MOST_POINTS))
    return found[::step] + (found[-1:] if (len(found) - 1) % step else [])


def _add_calibration(made: Evaluation, buckets: Iterable[Any]) -> None:
    """Equal bins of the predictions: from 0 to 1, or as far as they reach beyond."""
    known = [(each.prediction.value, each.label.value, each.examples.value) for each in buckets]
    known = [each for each in known if all(map(math.isfinite, each)) and each[2] > 0]
    if not known or made.predictions:
        return
    means = [prediction / examples for prediction, _, examples in known]
    low, high = min(0.0, *means), max(1.0, *means)
    width, sums = (high - low) / _BINS, [[0.0, 0.0, 0.0] for _ in range(_BINS)]
    for mean, each in zip(means, known, strict=True):
        place = min(int((mean - low) / width), _BINS - 1)
        sums[place] = [one + other for one, other in zip(sums[place], each, strict=True)]
    total = sum(examples for *_, examples in sums)
    made.calibration = [[rounded(sum_ / n), rounded(label / n)] for sum_, label, n in sums if n]
    made.predictions = [[rounded(low + place * width), rounded(n / total)] for place, (*_, n) in enumerate(sums)]


def _regressions(entries: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """What components.evaluate.metrics.regression leaves of a model that answers a number."""
    for entry in entries:
        if entry.key.name == _REGRESSION and entry.key.model_name in _CANDIDATE and not entry.key.is_diff:
            try:
                told = json.loads(entry.value.bytes_value)
            except ValueError:
                continue
            # (A classification's labels are 0 and 1.)
            if isinstance(told, dict) and not told.get("zero_or_one"):
                yield told


def _residuals(told: Mapping[str, Any]) -> Points:
    try:
        edges, weights = told["residuals"]
        total = sum(weights) + told["outside"]
        return [[rounded(edge), rounded(each / total)] for edge, each in zip(edges, weights, strict=False)]
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return []


def _deciles(told: Mapping[str, Any]) -> Points:
    try:
        return [[rounded(part["prediction"]), rounded(part["label"])] for part in told["parts"]]
    except (KeyError, TypeError, ValueError):
        return []


def _metrics(entries: Iterable[Any]) -> Iterator[tuple[str, float]]:
    for entry in entries:
        key, value = entry.key, entry.value
        kind = next((each for each in ("double_value", "bounded_value") if value.HasField(each)), "")
        if not kind or key.is_diff or key.model_name not in _CANDIDATE or key.name.startswith("__"):
            continue
        number = value.double_value.value if kind == "double_value" else value.bounded_value.value.value
        if math.isfinite(number):
            parts = [f"{key.output_name}/{key.name}" if key.output_name else key.name]
            words = (("class_id", "class"), ("k", "rank"), ("top_k", "top"))
            parts += [
                f"{word} {getattr(key.sub_key, name).value}" for name, word in words if key.sub_key.HasField(name)
            ]
            yield " ".join(parts), rounded(number)


def _slice_name(key: Any) -> str:
    parts = []
    for part in key.parts:
        kind = next((each for each in ("bytes_value", "float_value", "int64_value") if part.HasField(each)), "")
        value = getattr(part, kind) if kind else ""
        text = (
            value.decode("utf-8", "replace")
            if isinstance(value, bytes)
            else f"{value:g}"
            if isinstance(value, float)
            else value
        )
        parts.append(f"{part.column}={text}" if kind else part.column)
    return ", ".join(parts) or "overall"
