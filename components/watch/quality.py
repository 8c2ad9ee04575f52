"""How well a version answered, by labels that arrived later: metrics with what chance leaves open."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.runtime.errors import InputError, did_you_mean
from components.watch import masks
from components.watch.windows import Answered, scores

AUC, ACCURACY, LOG_LOSS, MAE, RMSE = "auc", "accuracy", "log_loss", "mae", "rmse"
MEAN_IOU, PIXEL_ACCURACY = "mean_iou", "pixel_accuracy"
HIGHER = frozenset({AUC, ACCURACY, MEAN_IOU, PIXEL_ACCURACY})
"""The metrics that are better when they are higher; what they may lose is a difference, of the others a share."""

AT_BLESSING = {
    AUC: ("auc",),
    ACCURACY: ("binary_accuracy", "sparse_categorical_accuracy", "categorical_accuracy", "accuracy"),
    LOG_LOSS: ("binary_crossentropy", "sparse_categorical_crossentropy", "categorical_crossentropy"),
    MAE: ("mean_absolute_error",),
    RMSE: ("root_mean_squared_error",),
    MEAN_IOU: ("mean_iou",),
    PIXEL_ACCURACY: ("pixel_accuracy",),
}
"""What evaluate calls each of them, by kind of model."""

_Z = 1.959964
"""95 % of a normal distribution are within so many deviations."""
_SMALLEST = 1e-7
"""Probabilities are held this far from 0 and 1, as Keras does, or one false answer would have an infinite loss."""

_Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """A metric, with its 95 % interval; `count` labels."""

    name: str
    value: float
    low: float
    high: float
    count: int


def check(worse_by: Mapping[str, float], positive: Mapping[str, object]) -> None:
    """Refuses settings of metrics that are none.

    Raises:
      InputError: which one.
    """
    for name, value in worse_by.items():
        if name not in AT_BLESSING:
            raise InputError(f"worse_by: {name!r}{did_you_mean(name, AT_BLESSING)}; there are {', '.join(AT_BLESSING)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise InputError(f"worse_by.{name}: expected a number from 0, not {value!r}")
    above = positive.get("above")
    if positive and (
        positive.keys() - {"above", "of"}
        or isinstance(above, bool)
        or not isinstance(above, int | float)
        or not isinstance(positive.get("of", ""), str)
    ):
        raise InputError(f"positive: expected above (a number) and of (a feature), not {dict(positive)}")


def measured(rows: Answered, positive: Mapping[str, object]) -> list[Metric]:
    """The metrics of rows that have a label; none where the labels are not of the kind of the answers.

    Args:
      rows: with a label.
      positive: how a label that is a number becomes a class; empty where it is one.
    """
    if rows.pixels is not None:
        return _of_pixels(rows.pixels)
    scored = _scored(rows, positive)
    if scored is None or not len(scored[1]):
        return []
    kind, truth, told = scored
    return _KINDS[kind](truth, told)


def kinds(rows: Answered) -> str:
    """What labels and answers are, in words, for those who have to make them alike."""
    answers = " and ".join(f"{name} {_kind(each.type)}" for name, each in rows.prediction.items()) or "nothing"
    return f"the labels are {_kind(rows.labels.type)}, the answers {answers}"


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_nested(kind):
        return f"lists of {_kind(kind.value_type)}" if hasattr(kind, "value_type") else "nested"
    return "numbers" if _is_number(kind) else "texts" if _is_text(kind) else str(kind)


def by_slice(rows: Answered, feature: str, positive: Mapping[str, object]) -> dict[str, list[Metric]]:
    """The metrics by the values of a feature."""
    values = [value for value in pc.unique(rows.features[feature]).to_pylist() if value is not None]
    return {_shown(value): measured(_of_value(rows, feature, value), positive) for value in sorted(values, key=str)}


def _of_value(rows: Answered, feature: str, value: object) -> Answered:
    mask = pc.fill_null(pc.equal(rows.features[feature], pa.scalar(value, rows.features[feature].type)), False)
    keep: Callable[[pa.Array], pa.Array] = lambda column: column.filter(mask)  # noqa: E731
    pixels = rows.pixels[mask.to_numpy(zero_copy_only=False)] if rows.pixels is not None else None
    return Answered(
        keep(rows.labels),
        {name: keep(each) for name, each in rows.prediction.items()},
        {name: keep(each) for name, each in rows.features.items()},
        pixels,
    )


def _shown(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _scored(rows: Answered, positive: Mapping[str, object]) -> tuple[str, _Floats, _Floats] | None:
    """The kind of the metrics, what is true, and what was told.

    Of one output of numbers: numbers, binary where what is true is 0 or 1 and what is told a probability. Of several
    numbers: the number of the true class, and the probabilities of all, [N, K]. Of text: whether it is the label.
    """
    names = [name for name, values in rows.prediction.items() if _is_text(values.type)]
    for values in rows.prediction.values():
        matrix = scores(values)
        if matrix is not None:
            truth = _class_numbers(rows, matrix, rows.prediction[names[0]] if names else None)
            return None if truth is None else _classes(truth, matrix)
    if names:
        same = pc.equal(rows.prediction[names[0]].cast(pa.string()), rows.labels.cast(pa.string()))
        right = pc.fill_null(same, False).to_numpy(zero_copy_only=False).astype(np.float64)
        return "told", right, right
    numbers = [values for values in rows.prediction.values() if _is_number(values.type)]
    truth = _numbers(rows, positive)
    if not numbers or truth is None:
        return None
    told = _floats(numbers[0])
    known = np.isfinite(truth) & np.isfinite(told)
    truth, told = truth[known], told[known]
    is_binary = bool(positive) or (np.isin(truth, (0, 1)).all() and ((told >= 0) & (told <= 1)).all())
    return ("binary" if is_binary else "numbers"), truth, told


def _classes(truth: _Floats, matrix: _Floats) -> tuple[str, _Floats, _Floats]:
    known = truth >= 0
    if matrix.shape[1] == 2:
        return "binary", truth[known], matrix[known, 1]
    return "classes", truth[known], matrix[known]


def _class_numbers(rows: Answered, matrix: _Floats, names: pa.Array | None) -> _Floats | None:
    """The number of each row's true class; -1 where nobody knows it, None where labels are no classes.

    Labels that are names have the numbers that the answers show: each names the class of its largest number.
    """
    labels = rows.labels
    if pa.types.is_integer(labels.type) or pa.types.is_boolean(labels.type):
        return _floats(labels)
    if names is None:
        return None
    numbers: dict[object, int] = {}
    for name, number in zip(names.cast(pa.string()).to_pylist(), matrix.argmax(axis=1).tolist(), strict=True):
        numbers[name] = number
    return np.array([numbers.get(label, -1) for label in labels.cast(pa.string()).to_pylist()], np.float64)


def _numbers(rows: Answered, positive: Mapping[str, object]) -> _Floats | None:
    if not (_is_number(rows.labels.type) or pa.types.is_boolean(rows.labels.type)):
        return None
    labels = _floats(rows.labels)
    if not positive:
        return labels
    # In float32, as the stages keep numbers: a label of exactly the bound may fall on either side otherwise.
    bound: npt.NDArray[np.float32] = np.float32(positive["above"])  # type: ignore[arg-type, assignment]
    if feature := positive.get("of"):
        values = rows.features[str(feature)]
        if not _is_number(values.type):
            return None
        bound = _floats(values).astype(np.float32) * bound
    truth = (labels.astype(np.float32) > bound).astype(np.float64)
    # (Of what has no number to compare with, nothing is true: as in the preprocessing, a comparison with NaN fails.)
    return np.where(np.isnan(labels), np.nan, truth)


def _binary(truth: _Floats, told: _Floats) -> list[Metric]:
    right = ((told > 0.5) == (truth > 0.5)).astype(np.float64)
    return [
        *_auc(truth, told),
        _share(ACCURACY, right),
        _mean(LOG_LOSS, -np.log(np.clip(np.where(truth > 0.5, told, 1 - told), _SMALLEST, 1))),
    ]


def _several(truth: _Floats, told: _Floats) -> list[Metric]:
    number = truth.astype(np.int64)
    known = number < told.shape[1]
    number, told = number[known], told[known]
    if not len(number):
        return []
    chosen = told[np.arange(len(number)), number]
    return [
        _share(ACCURACY, (told.argmax(axis=1) == number).astype(np.float64)),
        _mean(LOG_LOSS, -np.log(np.clip(chosen, _SMALLEST, 1))),
    ]


def _regression(truth: _Floats, told: _Floats) -> list[Metric]:
    squares = _mean(RMSE, (told - truth) ** 2)
    root = [math.sqrt(max(each, 0.0)) for each in (squares.value, squares.low, squares.high)]
    return [_mean(MAE, np.abs(told - truth)), Metric(RMSE, root[0], root[1], root[2], squares.count)]


_KINDS: Mapping[str, Callable[[_Floats, _Floats], list[Metric]]] = {
    "binary": _binary,
    "classes": _several,
    "numbers": _regression,
    "told": lambda right, _: [_share(ACCURACY, right)],
}


def _auc(truth: _Floats, told: _Floats) -> list[Metric]:
    """Area under the ROC curve by ranks, ties counting half, with the interval of Hanley and McNeil (1982).

    None where all labels are alike.
    """
    positives = int((truth > 0.5).sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return []
    _, places, counts = np.unique(told, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    area = (ranks[truth > 0.5].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    both, one = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (positives - 1) * (both - area**2) + (negatives - 1) * (one - area**2)) / (
        positives * negatives
    )
    half = _Z * math.sqrt(max(variance, 0.0))
    return [Metric(AUC, float(area), max(area - half, 0.0), min(area + half, 1.0), len(truth))]


def _of_pixels(pixels: masks.Counts) -> list[Metric]:
    """Mean IoU over the classes that there are, and the share of the pixels that are right.

    Both with the interval of the jackknife over images (Efron and Stein, 1981): pixels of one image are alike.

    Args:
      pixels: [N, K, K], of each image; see `components.watch.masks.confusions`.
    """
    count = len(pixels)
    everything = pixels.sum(axis=0)
    if not everything.any():
        return []
    made = []
    for name, of in ((MEAN_IOU, masks.mean_iou), (PIXEL_ACCURACY, masks.pixel_accuracy)):
        value = float(of(everything[np.newaxis])[0])
        half = math.inf
        if count > 1:
            without = of(everything - pixels)
            half = _Z * math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))
        made.append(Metric(name, value, max(value - half, 0.0), min(value + half, 1.0), count))
    return made


def _share(name: str, right: _Floats) -> Metric:
    """A share, with the interval of Wilson (1927)."""
    count, share = len(right), float(right.mean())
    middle = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2)) / (1 + _Z**2 / count)
    return Metric(name, share, max(middle - half, 0.0), min(middle + half, 1.0), count)


def _mean(name: str, values: _Floats) -> Metric:
    """A mean of so many values that it is distributed normally, which those who call see to."""
    mean, count = float(values.mean()), len(values)
    half = _Z * float(values.std(ddof=1)) / math.sqrt(count) if count > 1 else math.inf
    return Metric(name, mean, mean - half, mean + half, count)


def _floats(values: pa.Array) -> _Floats:
    return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind))
