"""What a regression is like, as numbers that pages draw: its errors, where they are, and what a constant answer errs.

Computed from sums in flat memory; exact for up to `DISTINCT` different predictions, labels and residuals.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.runtime.evaluation.metrics.histogram import Histogram

DISTINCT = 1024
"""Cells of the histograms. Beyond as many different values a quantile is exact to the width of a cell."""

_POINTS = 500
"""Cells of the picture of predictions and labels."""

_PARTS = 10
_BARS = 40
_MANY = 1000
"""From so many examples on, half a percent of the residuals at either end is not drawn: outliers hide the rest."""


@dataclass(frozen=True)
class Part:
    """The examples between two quantiles of the prediction.

    Attributes:
      low: smallest prediction.
      high: largest prediction.
      examples: their weight; those of a cell on the border belong to both parts in proportion.
      prediction: mean.
      label: mean.
      mae: mean absolute error.
      rmse: root of the mean squared error.
    """

    low: float
    high: float
    examples: float
    prediction: float
    label: float
    mae: float
    rmse: float


@dataclass(frozen=True)
class Regression:
    """Errors of a model that answers a number, over some examples.

    Attributes:
      examples: weight of those that all else is about.
      not_finite: weight of those left out because their label or prediction is NaN or infinite.
      labels: the smallest and the largest.
      zero_or_one: whether every label is 0 or 1, as those of a classification are.
      mean: of the labels, the constant answer with the smallest squared error.
      median: of the labels, the constant answer with the smallest absolute error.
      r2: 1 less the squared error over that of `mean`; None where all labels are equal.
      mae, rmse: mean absolute error, root of the mean squared error, in the labels' unit.
      mape: mean of the absolute error over the label's size, in percent, of the labels that are not 0.
      zeros: weight of the labels that are 0.
      bias: mean of prediction less label.
      constant_mae, constant_rmse: the same errors of `median` and of `mean`.
      parts: by deciles of the prediction; fewer where fewer predictions differ.
      residuals: borders of bars, and the weight in each: prediction less label.
      outside: weight of the residuals beyond the bars.
      points: (prediction, label, weight) of the occupied cells of a grid over both.
    """

    examples: float
    not_finite: float
    labels: tuple[float, float]
    zero_or_one: bool
    mean: float
    median: float
    r2: float | None
    mae: float
    rmse: float
    mape: float | None
    zeros: float
    bias: float
    constant_mae: float
    constant_rmse: float
    parts: list[Part]
    residuals: tuple[list[float], list[float]]
    outside: float
    points: list[tuple[float, float, float]]

    def to_json(self) -> bytes:
        """As it lies in a result directory."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Regression:
        """The reverse of `to_json`."""
        entry: dict[str, Any] = json.loads(text)
        low, high = entry["labels"]
        edges, weights = entry["residuals"]
        return cls(
            **entry
            | {
                "labels": (low, high),
                "residuals": (edges, weights),
                "parts": [Part(**part) for part in entry["parts"]],
                "points": [tuple(point) for point in entry["points"]],
            }
        )


class Errors:
    """Sums over labels, predictions and weights, from which a `Regression` follows. Order and grouping do not matter.

    Attributes:
      weight: of the examples whose label and prediction are finite.
      nan: weight of those whose label is no finite number or whose prediction is NaN.
      infinite: weight of those whose prediction is infinite.
      squared, absolute: sums of the squared and the absolute error.
    """

    def __init__(self) -> None:
        """Nothing counted yet."""
        self.weight = self.nan = self.infinite = 0.0
        self.squared = self.absolute = 0.0
        self._signed = self._relative = self._zeros = 0.0
        # Mean and sum of squared deviations of the labels, by the updates of Chan, Golub and LeVeque (1983): a
        # difference of large sums would leave nothing of labels that differ little.
        self._mean = self._deviations = 0.0
        self._low, self._high = math.inf, -math.inf
        self._zero_or_one = True
        self._labels = Histogram(DISTINCT, axes=1, sums=2)
        self._predictions = Histogram(DISTINCT, axes=1, sums=5)
        self._residuals = Histogram(DISTINCT, axes=1, sums=2)
        self._points = Histogram(_POINTS, axes=2, sums=3)

    def add(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> None:
        """Adds examples; all arguments are of shape [rows] and of any kind of number."""
        labels, predictions, weights = (array.astype(np.float64) for array in (labels, predictions, weights))
        unknown = ~np.isfinite(labels) | np.isnan(predictions)
        infinite = ~unknown & np.isinf(predictions)
        self.nan += float(weights[unknown].sum())
        self.infinite += float(weights[infinite].sum())
        kept = ~unknown & ~infinite & (weights > 0)
        if not kept.any():
            return
        labels, predictions, weights = labels[kept], predictions[kept], weights[kept]
        residuals = predictions - labels
        absolute = np.abs(residuals)
        weight = float(weights.sum())
        mean = float(weights @ labels) / weight
        self._spread(weight, mean, float(weights @ (labels - mean) ** 2))
        self.squared += float(weights @ residuals**2)
        self.absolute += float(weights @ absolute)
        self._signed += float(weights @ residuals)
        zero = labels == 0
        self._zeros += float(weights[zero].sum())
        self._relative += float((weights * absolute)[~zero] @ (1 / np.abs(labels[~zero])))
        self._low, self._high = min(self._low, float(labels.min())), max(self._high, float(labels.max()))
        self._zero_or_one &= bool((zero | (labels == 1)).all())
        self._labels.add(labels[:, np.newaxis], np.stack([weights, weights * labels], axis=1))
        sums = [weights, weights * predictions, weights * labels, weights * absolute, weights * residuals**2]
        self._predictions.add(predictions[:, np.newaxis], np.stack(sums, axis=1))
        self._residuals.add(residuals[:, np.newaxis], np.stack([weights, weights * residuals], axis=1))
        self._points.add(np.stack([predictions, labels], axis=1), np.stack([weights, sums[1], sums[2]], axis=1))

    def merge(self, other: Errors) -> None:
        """Adds all that another one has seen."""
        self._spread(other.weight, other._mean, other._deviations)
        for name in ("nan", "infinite", "squared", "absolute", "_signed", "_relative", "_zeros"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self._low, self._high = min(self._low, other._low), max(self._high, other._high)
        self._zero_or_one &= other._zero_or_one
        for name in ("_labels", "_predictions", "_residuals", "_points"):
            getattr(self, name).merge(getattr(other, name))

    def _spread(self, weight: float, mean: float, deviations: float) -> None:
        """Counts examples with this mean and this sum of squared deviations of their labels."""
        total = self.weight + weight
        if not total:
            return
        difference = mean - self._mean
        self._deviations += deviations + difference**2 * self.weight * weight / total
        self._mean += difference * weight / total
        self.weight = total

    def constant_squared(self) -> float:
        """Sum of the squared error of the labels' mean: no constant answer has a smaller one."""
        # The mean of equal labels is rounded, too.
        return self._deviations if self._low < self._high else 0.0

    def constant_absolute(self) -> float:
        """Sum of the absolute error of the labels' median: no constant answer has a smaller one.

        Exact for up to `DISTINCT` different labels; beyond, the labels of the median's cell count as the median.
        """
        weights, sums = self._labels.sums().T
        return float(np.abs(sums - weights * self.median()).sum())

    def median(self) -> float:
        """Of the labels: the smallest that at least half of the weight does not exceed; NaN without examples."""
        if not self.weight:
            return math.nan
        weights, sums = self._labels.sums().T
        place = int(np.searchsorted(np.cumsum(weights), weights.sum() / 2))
        return float(sums[place] / weights[place])

    def regression(self) -> Regression | None:
        """What pages show; None without examples."""
        if not self.weight:
            return None
        known = self.weight - self._zeros
        edges, bars, outside = self._bars()
        points = self._points.sums()
        return Regression(
            examples=self.weight,
            not_finite=self.nan + self.infinite,
            labels=(self._low, self._high),
            zero_or_one=self._zero_or_one,
            mean=self._mean,
            median=self.median(),
            r2=1 - self.squared / self.constant_squared() if self.constant_squared() else None,
            mae=self.absolute / self.weight,
            rmse=math.sqrt(self.squared / self.weight),
            mape=100 * self._relative / known if known > 0 else None,
            zeros=self._zeros,
            bias=self._signed / self.weight,
            constant_mae=self.constant_absolute() / self.weight,
            constant_rmse=math.sqrt(self.constant_squared() / self.weight),
            parts=self._parts(),
            residuals=(edges, bars),
            outside=outside,
            points=[_short(row[1] / row[0], row[2] / row[0], row[0]) for row in points.tolist()],
        )

    def _parts(self) -> list[Part]:
        cells = self._predictions.sums()
        weights, places = cells[:, 0], cells[:, 1] / cells[:, 0]
        ends = np.cumsum(weights)
        starts = ends - weights
        count = min(_PARTS, len(cells))
        parts: list[Part] = []
        for number in range(count):
            low, high = ends[-1] * number / count, ends[-1] * (number + 1) / count
            share = (np.minimum(ends, high) - np.maximum(starts, low)).clip(min=0) / weights
            # What rounding leaves of a neighbouring cell is no part of this one.
            share[share < 1e-9] = 0
            inside = np.flatnonzero(share)
            sums = share @ cells
            mean_prediction, mean_label, mae, squared = (sums[1:] / sums[0]).tolist()
            first, last = float(places[inside[0]]), float(places[inside[-1]])
            part = Part(first, last, float(sums[0]), mean_prediction, mean_label, mae, math.sqrt(squared))
            # Many equal predictions fill several parts, which cannot be told apart.
            if parts and parts[-1].low == parts[-1].high == first == last:
                part = dataclasses.replace(part, examples=part.examples + parts.pop().examples)
            parts.append(part)
        return parts

    def _bars(self) -> tuple[list[float], list[float], float]:
        """Borders of bars over the residuals, the weight in each, and the weight beyond."""
        weights, sums = self._residuals.sums().T
        places = sums / weights
        low, high = float(places[0]), float(places[-1])
        if self.weight >= _MANY:
            ends = np.cumsum(weights)
            low, high = (float(places[np.searchsorted(ends, ends[-1] * share)]) for share in (0.005, 0.995))
        inside = (places >= low) & (places <= high)
        counted, edges = np.histogram(places[inside], bins=_BARS, range=(low, high), weights=weights[inside])
        return edges.tolist(), counted.tolist(), float(weights[~inside].sum())


def _short(*point: float) -> tuple[float, float, float]:
    """A point as exactly as it can be drawn: every slice has a picture in the result directory."""
    prediction, label, weight = (float(f"{value:.6g}") for value in point)
    return prediction, label, weight
