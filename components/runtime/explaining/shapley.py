"""Shapley values: how much each feature of a row adds to the answer, against what is answered on average.

The value of a set of features is the mean answer to rows that have these features of the row, and the others of a
background row (the interventional one of Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions",
2017). Shapley's formula is a mean over all orders in which features can come in; orders are drawn, as in Strumbelj and
Kononenko, "Explaining prediction models and individual predictions with feature contributions", 2014, and each also
backwards, which lessens the variance: Mitchell and others, "Sampling Permutations for Shapley Value Estimation", 2022.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from components.runtime.explaining.rows import Array, Ask, Rows, count, in_batches, joined, take

_AT_ONCE = 4096


@dataclass(frozen=True)
class Attributions:
    """The Shapley values of rows.

    Attributes:
      features: names, in the order of the values.
      values: shape [rows, features, answers]; over the features they add up to `answers` - `baseline`.
      errors: standard errors, shape as `values`, that come of which background rows and which orders were drawn; NaN
        where there was one background row only.
      answers: to the rows, shape [rows, answers].
      baseline: mean answer to the background rows that were used, shape [answers].
      background: how many these are.
    """

    features: tuple[str, ...]
    values: Array
    errors: Array
    answers: Array
    baseline: Array
    background: int


def evaluations(rows: int, features: int, background: int, times: int = 1) -> int:
    """How many rows a model is asked for the Shapley values of rows; the arguments are those of `shapley`."""
    return rows + background + rows * background * times * 2 * max(features - 1, 0)


def shapley(
    ask: Ask,
    rows: Rows,
    background: Rows,
    seed: int,
    times: int = 1,
    *,
    at_once: int = _AT_ONCE,
    stop: Callable[[], bool] = lambda: False,
) -> Attributions:
    """Estimates the Shapley values of rows: for each row and background row some orders, forwards and backwards.

    Args:
      ask: the model.
      rows: to explain.
      background: against which; each of them counts alike.
      seed: of the orders.
      times: how many orders for each of them.
      at_once: so many rows are asked at once, at most.
      stop: whether to go by the background rows that were used so far; is asked after each few.
    """
    features = tuple(sorted(rows))
    rows, background = {name: rows[name] for name in features}, {name: background[name] for name in features}
    number, against, width = count(rows), count(background), len(features)
    answers, reached = in_batches(ask, rows, at_once), in_batches(ask, background, at_once)
    random = np.random.default_rng(seed)
    both = joined(rows, background)
    sums = np.zeros((number, width, answers.shape[1]))
    squares = np.zeros_like(sums)
    group = max(1, at_once // max(1, number * times * 2 * (width - 1)))
    used = 0
    while used < against and not (used > 1 and stop()):
        end = min(used + group, against)
        # Walks, each from a background row to a row.
        to = np.tile(np.arange(number), (end - used) * times)
        start = np.repeat(np.arange(used, end), number * times)
        order = random.permuted(np.tile(np.arange(width), (len(to), 1)), axis=1)
        gains = _gains(ask, both, to, start + number, order, answers[to], reached[start], at_once)
        by_background = gains.reshape(end - used, times, number, width, -1).mean(1)
        sums += by_background.sum(0)
        squares += (by_background**2).sum(0)
        used = end
    mean = sums / used
    spread = np.maximum(squares / used - mean**2, 0.0)
    errors = np.sqrt(spread / (used - 1)) if used > 1 else np.full_like(mean, np.nan)
    return Attributions(features, mean, errors, answers, reached[:used].mean(0), used)


def _gains(
    ask: Ask, both: Rows, to: Array, start: Array, order: Array, reached: Array, begun: Array, at_once: int
) -> Array:
    """What each feature adds on walks, forwards and backwards on average: shape [walks, features, answers]."""
    walks, width = order.shape
    if width == 1:
        return (reached - begun)[:, None, :]
    # The place of each feature in the order: after k steps those of the first k places are the row's own.
    place = np.argsort(order, axis=1)
    forward = place[:, None, :] < np.arange(1, width)[None, :, None]
    # Backwards the first k are the last k of the order: all but the first of its width - k.
    own = np.concatenate([forward, ~forward[:, ::-1]], axis=1)
    index = np.where(own, to[:, None, None], start[:, None, None]).reshape(-1, width)
    mixed = {name: values[index[:, column]] for column, (name, values) in enumerate(both.items())}
    answers = in_batches(ask, mixed, at_once).reshape(walks, 2, width - 1, -1)
    first, last = (np.tile(end[:, None, None], (1, 2, 1, 1)) for end in (begun, reached))
    steps = np.diff(np.concatenate([first, answers, last], 2), axis=2)
    walk = np.arange(walks)[:, None]
    return (steps[walk, 0, place] + steps[walk, 1, width - 1 - place]) / 2


def background_rows(known: Rows, most: int, seed: int) -> dict[str, Array]:
    """Rows against which others are explained: some of those that are known, none twice."""
    number = count(known)
    chosen = np.sort(np.random.default_rng(seed).permutation(number)[:most])
    return take(known, chosen)
