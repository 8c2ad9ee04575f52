"""What a new model must reach: more than a constant answer reaches, and more than chance on so few rows."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from runners.scaffold.model.profile import BINARY, CLASSES, LABELS, NUMBER, Task

RARE = 0.2
"""Of a positive class with a smaller share, what counts is how well the highest scores find it."""
TOP = 0.1
MOST_AUC = 0.75
"""What is asked for at most, though chance reaches more on few rows."""
CHANCE = 1.645
"""Standard deviations that a normal variable exceeds in one of 20 cases."""


@dataclass(frozen=True)
class Gate:
    """A threshold.

    Attributes:
      bound: the least value.
      change: how much less than the model in service is let pass, as a difference or, with `relative`, as a share.
      relative: whether it is a share.
      why: what the bound is held against, for people.
    """

    bound: float
    change: float
    relative: bool
    why: str


def gates(task: Task, rows: int) -> dict[str, Gate]:
    """Thresholds by the class names of metrics.

    Args:
      task: with the shares of the classes.
      rows: of the split that is evaluated; what chance reaches in 19 of 20 cases is left to it.
    """
    rows = max(rows, 1)
    if task.kind == NUMBER:
        told = "The squared error of answering the mean over the model's: the mean gets 1. R² = 1 - 1 / lift."
        return {"SquaredErrorLift": Gate(1.05, -0.05, True, told)}
    if task.kind == LABELS:
        return {"AUC": mean_auc(task.shares.values(), rows)}
    if task.kind == CLASSES:
        most = max(task.shares.values())
        told = f"Accuracy over the share of the most frequent class, {most:.0%}: a constant answer gets 1."
        return {"MajorityLift": Gate(lift(most, rows), -0.05, True, told)}
    share = task.shares[task.positive]
    found = {"AUC": auc(share, rows)}
    if share < RARE:
        bound = lift(share, rows * TOP, most=min(1 / share, 1 / TOP))
        told = (
            f"How much more often 1, here {share:.1%} of the rows, is met among the tenth with the highest scores: "
            "chance and constant answers get 1."
        )
        found["TopLift"] = Gate(bound, -0.1, True, told)
    elif task.kind == BINARY and max(share, 1 - share) <= 0.65:
        most = max(share, 1 - share)
        told = f"Accuracy over the share of the more frequent class, {most:.0%}: a constant answer gets 1."
        found["MajorityLift"] = Gate(lift(most, rows), -0.05, True, told)
    return found


def auc(share: float, rows: int) -> Gate:
    """What chance hardly reaches of a class with this share."""
    return _auc(_deviation(share, rows), rows, "Chance and constant answers reach 0.5")


def mean_auc(shares: Collection[float], rows: int) -> Gate:
    """What chance hardly reaches on average over labels with these shares.

    Labels may go together, so that chance favours all of them at once: their mean varies as much as one does, at most.
    """
    deviation = sum(_deviation(share, rows) for share in shares) / len(shares)
    return _auc(deviation, rows, "Constant answers by label reach a mean of 0.5, as chance does")


def _deviation(share: float, rows: int) -> float:
    """The AUC of scores without meaning is normal around a half, with the deviation of Mann and Whitney's statistic."""
    ones = max(share * rows, 1)
    others = max(rows - ones, 1)
    return math.sqrt((ones + others + 1) / (12 * ones * others))


def _auc(deviation: float, rows: int, told: str) -> Gate:
    chance = min(1.0, _up(0.5 + CHANCE * deviation))
    bound = min(MOST_AUC, chance)
    told += f", on {rows:,} rows in 19 of 20 cases less than {chance}."
    if chance > bound:
        told += f" No more than {bound} is asked for, so on so few rows chance passes more often than that."
    return Gate(bound, -max(0.01, round(deviation / 2, 2)), False, told)


def lift(share: float, rows: float, most: float = 0.0) -> float:
    """What chance reaches above 1 in 19 of 20 cases, but at most half of what is to be gained."""
    most = most or 1 / share
    return _up(min(1 + CHANCE * math.sqrt((1 - share) / (share * max(rows, 1))), 1 + (most - 1) / 2))


def _up(number: float) -> float:
    return math.ceil(round(number * 100, 6)) / 100
