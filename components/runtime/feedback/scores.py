"""Whether labels came only of what the model chose: then a model that learns from them confirms itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from components.runtime.records import prediction_log

_FEWEST = 30
_MOST_APART = 0.3
"""A distance of two distributions, 0 to 1, from which they are told to differ."""


class Scores:
    """What was predicted of the rows that have a label, and of all that was logged beside them.

    Beside them is what the same version answered in the time that its labels are of: what another version or another
    day was asked says nothing of who chose the labels.
    """

    def __init__(self) -> None:
        self._values: list[np.ndarray[Any, Any]] = []
        self._chosen: list[np.ndarray[Any, Any]] = []
        self._versions: list[np.ndarray[Any, Any]] = []
        self._times: list[np.ndarray[Any, Any]] = []
        self._are_classes = False

    def add(self, batch: pa.RecordBatch, chosen: list[bool]) -> None:
        """Adds rows of the log.

        Args:
          batch: of any number of rows.
          chosen: whether each is among those with a label.
        """
        for _, values in sorted(prediction_log.prediction(batch).items()):
            scores, are_classes = _scores(values)
            if scores is not None:
                self._are_classes |= are_classes
                self._values.append(scores)
                self._chosen.append(np.array(chosen, bool))
                self._versions.append(batch.column("version").to_numpy(zero_copy_only=False))
                self._times.append(batch.column("time").cast(pa.int64()).to_numpy(zero_copy_only=False))
                return

    def told(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], bool]:
        """What was predicted of the rows with labels and all beside them, what of those alone, and whether by class."""
        if not self._values:
            return np.array([]), np.array([]), False
        everything, chosen = np.concatenate(self._values), np.concatenate(self._chosen)
        versions, times = np.concatenate(self._versions), np.concatenate(self._times)
        beside = np.zeros(len(everything), bool)
        for version in np.unique(versions[chosen]):
            is_its = versions == version
            of_labels = times[chosen & is_its]
            beside |= is_its & (times >= of_labels.min()) & (times <= of_labels.max())
        are_numbers = ~np.isnan(everything)
        return everything[beside & are_numbers], everything[chosen & are_numbers], self._are_classes

    def one_sided(self) -> str:
        """How the rows with labels differ from all, in words; empty where they do not, or are too few to tell.

        The distance is that of Kolmogorov and Smirnov for numbers, the total variation for classes.
        """
        everything, labelled, are_classes = self.told()
        if not _FEWEST <= len(labelled) < len(everything):
            return ""
        if are_classes:
            known = np.unique(everything)
            shares = [np.array([np.mean(each == one) for one in known]) for each in (labelled, everything)]
            if np.abs(shares[0] - shares[1]).sum() / 2 < _MOST_APART:
                return ""
            top = int(np.argmax(shares[0]))
            return (
                f"class {known[top]:.0f} was predicted of {shares[0][top]:.0%} of the rows with labels, "
                f"of {shares[1][top]:.0%} of all in their time"
            )
        points = np.sort(everything)
        below = [np.searchsorted(np.sort(each), points, "right") / len(each) for each in (labelled, everything)]
        if np.abs(below[0] - below[1]).max() < _MOST_APART:
            return ""
        return (
            f"half of the predictions with labels are from {_middle(labelled)}, "
            f"half of all in their time from {_middle(everything)}"
        )


def _middle(values: np.ndarray[Any, Any]) -> str:
    low, high = np.quantile(values, [0.25, 0.75])
    return f"{low:.3g} to {high:.3g}"


def _scores(values: pa.Array) -> tuple[np.ndarray[Any, Any] | None, bool]:
    """A number for each row: the only one that was answered, or of several the place of the largest."""
    is_list = pa.types.is_list(values.type)
    kind = values.type.value_type if is_list else values.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        return None, False
    if not is_list:
        return values.cast(pa.float64()).to_numpy(zero_copy_only=False), False
    flat = values.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
    width = len(flat) // max(len(values), 1)
    if not width or any(size != width for size in values.value_lengths().to_pylist()):
        return None, False
    rows = flat.reshape(len(values), width)
    return (rows[:, 0], False) if width == 1 else (rows.argmax(axis=1).astype(float), True)
