"""Decision thresholds by group for a goal of fairness, and what they cost.

The goals are those of Hardt, Price and Srebro, "Equality of Opportunity in Supervised Learning", 2016: equal shares of
positive decisions (demographic parity), equal true positive rates (equal opportunity), equal true and false positive
rates (equalised odds). Thresholds are not drawn by chance here, as that article allows: who is alike is treated alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from components.runtime.explaining.rows import Array

GOALS = {
    "one threshold for all": (),
    "a threshold for each group": (),
    "demographic parity": ("positive",),
    "equal opportunity": ("true_positive",),
    "equalised odds": ("true_positive", "false_positive"),
}
"""What is to be equal over the groups; the first two have no goal but the accuracy."""

ONE = "one threshold for all"
CAVEAT = "Found on the examples that are shown here; hold them to other ones before you decide by them."
"""Goes wherever people are shown such thresholds."""

_STEPS = 100


@dataclass(frozen=True)
class Group:
    """The decisions about one group by threshold; arrays are of shape [thresholds].

    A row is decided to be positive where its score is at or above the threshold; the last threshold is above all.

    Attributes:
      labelled: rows whose label is 1.
      right: how many of these are decided to be positive.
      wrong: how many of the others are.
    """

    name: str
    rows: int
    labelled: int
    right: Array
    wrong: Array

    @property
    def correct(self) -> Array:
        """Rows that are decided as they are labelled."""
        return self.right + self.rows - self.labelled - self.wrong

    @property
    def positive(self) -> Array:
        """Share of the rows that are decided to be positive."""
        return (self.right + self.wrong) / self.rows

    @property
    def true_positive(self) -> Array:
        """The same of those whose label is 1."""
        return self.right / self.labelled

    @property
    def false_positive(self) -> Array:
        """The same of those whose label is 0."""
        return self.wrong / (self.rows - self.labelled)


@dataclass(frozen=True)
class Chosen:
    """Thresholds for a goal.

    Attributes:
      goal: one of `GOALS`.
      thresholds: by group.
      accuracy: share of all rows that are decided rightly.
      gap: largest difference between groups in what the goal makes equal; 0 for those without.
      rates: by group, then `positive`, `true_positive`, `false_positive`, `accuracy`.
    """

    goal: str
    thresholds: dict[str, float]
    accuracy: float
    gap: float
    rates: dict[str, dict[str, float]]


THRESHOLDS = np.append(np.arange(_STEPS + 1) / _STEPS, np.inf)


def groups_of(scores: Array, labels: Array, names: Sequence[str]) -> list[Group]:
    """Decisions about each group at each of `THRESHOLDS`.

    Args:
      scores: from 0 to 1, shape [rows].
      labels: 0 or 1, shape [rows].
      names: of the group that each row is in.

    Returns:
      Those that have rows of both labels, without which nothing of them is known; the largest first.
    """
    found = []
    membership = np.asarray(names, object)
    for name in sorted(set(names)):
        inside = membership == name
        score, label = scores[inside], labels[inside] == 1
        if label.all() or not label.any():
            continue
        decided = score[None, :] >= THRESHOLDS[:, None]
        found.append(
            Group(name, int(inside.sum()), int(label.sum()), decided[:, label].sum(1), decided[:, ~label].sum(1))
        )
    return sorted(found, key=lambda group: (-group.rows, group.name))


def choose(groups: Sequence[Group], tolerance: float) -> list[Chosen]:
    """For each goal the thresholds with the highest accuracy among those that hold it.

    Args:
      groups: two or more.
      tolerance: by how much the rates of two groups may differ.
    """
    return [_chosen(goal, rates, groups, tolerance) for goal, rates in GOALS.items()]


def _chosen(goal: str, rates: tuple[str, ...], groups: Sequence[Group], tolerance: float) -> Chosen:
    if goal == ONE:
        best = int(np.argmax(sum(group.correct for group in groups)))
        return _told(goal, rates, groups, [best] * len(groups))
    if not rates:
        return _told(goal, rates, groups, [int(np.argmax(group.correct)) for group in groups])
    # All groups within half of the tolerance of one target are within the tolerance of each other. At the last
    # threshold nothing is positive, at the first all is: some target always holds.
    axis = np.arange(_STEPS + 1) / _STEPS
    targets = np.stack([each.ravel() for each in np.meshgrid(*[axis] * len(rates), indexing="ij")], 1)
    total = np.zeros(len(targets))
    picks = []
    for group in groups:
        found = np.stack([getattr(group, rate) for rate in rates], 1)
        near = (np.abs(found[None] - targets[:, None]) <= tolerance / 2 + 1e-12).all(2)
        correct = np.where(near, group.correct[None].astype(np.float64), -np.inf)
        picks.append(correct.argmax(1))
        total += correct.max(1)
    best = int(np.argmax(total))
    return _told(goal, rates, groups, [int(pick[best]) for pick in picks])


def _told(goal: str, rates: tuple[str, ...], groups: Sequence[Group], picked: Sequence[int]) -> Chosen:
    rows = sum(group.rows for group in groups)
    right = sum(int(group.correct[place]) for group, place in zip(groups, picked, strict=True))
    measured: Mapping[str, dict[str, float]] = {
        group.name: {
            "positive": float(group.positive[place]),
            "true_positive": float(group.true_positive[place]),
            "false_positive": float(group.false_positive[place]),
            "accuracy": float(group.correct[place] / group.rows),
        }
        for group, place in zip(groups, picked, strict=True)
    }
    gaps = [
        max(each[rate] for each in measured.values()) - min(each[rate] for each in measured.values()) for rate in rates
    ]
    return Chosen(
        goal,
        {group.name: float(THRESHOLDS[place]) for group, place in zip(groups, picked, strict=True)},
        right / rows,
        max(gaps, default=0.0),
        dict(measured),
    )
