"""The nearest example that is answered otherwise: what would have had to be different.

Of the examples that there are, not made-up ones, as the What-If Tool has it. Nearness is Gower's ("A General
Coefficient of Similarity and Some of Its Properties", 1971), with the share of examples between two numbers in place of
their difference, so that no unit and no outlier counts; of texts it is Jaccard's, over their words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.runtime.explaining.rows import NUMBER, OTHER, Array, Rows, count, kind
from components.runtime.missing import where as missing


@dataclass(frozen=True)
class Counterfactual:
    """An example near another one, with another answer.

    Attributes:
      row: its place among the known ones.
      distance: from 0 (the same in all that can be compared) to 1.
      differs: the features in which they differ, the most distant first.
    """

    row: int
    distance: float
    differs: tuple[str, ...]


def nearest_other(row: Rows, decided: int, known: Rows, decisions: Array) -> Counterfactual | None:
    """Finds the nearest known example with another answer.

    Args:
      row: a single one.
      decided: its answer, as a number of a class.
      known: the examples, with the same features.
      decisions: their answers, int of shape [examples].

    Returns:
      None where all are answered alike, or nothing that can be compared differs: then another feature, such as an
      image, makes the answer, and none of the examples is nearer than others.
    """
    names = [name for name, values in known.items() if kind(values) != OTHER]
    others = np.flatnonzero(decisions != decided)
    if not len(others) or not names:
        return None
    distances = np.stack([_distances(row[name], known[name]) for name in names])
    total = distances.mean(0)
    nearest = int(others[np.argmin(total[others])])
    apart = distances[:, nearest]
    if not apart.any():
        return None
    order = sorted((place for place in range(len(names)) if apart[place] > 0), key=lambda place: -apart[place])
    return Counterfactual(nearest, float(total[nearest]), tuple(names[place] for place in order))


def _distances(value: Array, known: Array) -> Array:
    """Of one value, shape [1], from each of the known ones; a missing one is as far as can be from any other."""
    absent, is_absent = missing(known), bool(missing(value)[0])
    if is_absent:
        return (~absent).astype(np.float64)
    if kind(known) == NUMBER:
        ranked = np.sort(known[~absent])
        number = max(len(ranked), 1)

        def rank(values: Array) -> Array:
            return (np.searchsorted(ranked, values, "left") + np.searchsorted(ranked, values, "right")) / 2 / number

        far = np.abs(rank(known) - rank(value))
        # Two numbers beyond all others have the same rank and are not the same.
        far = np.where((far == 0) & (known != value), 1 / (count({"": known}) + 1), far)
    else:
        words = set(value[0].split())
        far = np.array([_jaccard(words, set(each.split()), each == value[0]) for each in known.tolist()])
    return np.where(absent, 1.0, far)


def _jaccard(one: set[bytes], other: set[bytes], is_same: bool) -> float:
    if is_same:
        return 0.0
    either = one | other
    return 1.0 - len(one & other) / len(either) if either and one != other else 1.0
