"""Shapley values, held to the formula itself."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from components.runtime.explaining.rows import Array, Ask, Rows, count, in_batches, take
from components.runtime.explaining.shapley import background_rows, evaluations, shapley

RANDOM = np.random.default_rng(7)


def made(number: int) -> dict[str, Array]:
    return {
        "a": RANDOM.normal(size=number).astype(np.float32),
        "b": RANDOM.normal(size=number).astype(np.float32),
        "word": RANDOM.choice(np.array([b"x", b"yy", b"zzz"], object), number),
        "wide": RANDOM.normal(size=(number, 3)).astype(np.float32),
    }


def ask(rows: Rows) -> Array:
    """Two answers, with products of three features and more in both, so that the orders that are drawn matter."""
    length = np.array([len(each) for each in rows["word"]], np.float64)
    a, b, wide = rows["a"].astype(np.float64), rows["b"].astype(np.float64), rows["wide"].astype(np.float64).sum(1)
    return np.stack([a * b * length + length * wide, np.tanh(a * length + b * wide) + b * wide], 1)


def exact(rows: Rows, background: Rows, ask: Ask = ask) -> Array:
    """Shapley's formula over all subsets, shape [rows, features, answers]."""
    names = sorted(rows)
    found = np.zeros((count(rows), len(names), 2))

    def value(row: int, own: tuple[str, ...]) -> Array:
        mixed = {
            name: np.repeat(rows[name][row : row + 1], count(background), 0) if name in own else background[name]
            for name in names
        }
        return ask(mixed).mean(0)

    for row, (place, name) in itertools.product(range(count(rows)), enumerate(names)):
        others = [each for each in names if each != name]
        for size in range(len(others) + 1):
            weight = math.factorial(size) * math.factorial(len(others) - size) / math.factorial(len(names))
            for own in itertools.combinations(others, size):
                found[row, place] += weight * (value(row, (*own, name)) - value(row, own))
    return found


def test_the_estimate_is_what_the_formula_says_within_its_own_error() -> None:
    rows, few = made(6), made(5)
    truth = exact(rows, few)
    # Many orders of each background row: the same rows over and over.
    many = {name: np.concatenate([values] * 400) for name, values in few.items()}
    found = shapley(ask, rows, many, seed=1)
    off = np.abs(found.values - truth)
    assert off.max() < 0.2
    assert (off <= 4.5 * found.errors + 1e-9).all(), "what the errors say is how far it is"
    assert found.errors.max() < 0.1


def test_more_orders_of_the_same_rows_come_nearer() -> None:
    rows, few = made(6), made(5)
    truth = exact(rows, few)
    off = [np.abs(shapley(ask, rows, few, 1, times).values - truth).mean() for times in (1, 64)]
    # The error goes with the root of their number.
    assert off[1] < off[0] / 4
    asked: list[int] = []

    def counted(given: Rows) -> Array:
        asked.append(count(given))
        return ask(given)

    assert shapley(counted, rows, few, 1, 3).background == 5
    assert sum(asked) == evaluations(6, 4, 5, 3)


def test_attributions_add_up_whatever_the_number_of_orders() -> None:
    rows, background = made(7), made(3)
    found = shapley(ask, rows, background, seed=3)
    assert found.values.sum(1) == pytest.approx(found.answers - found.baseline, abs=1e-6)
    assert found.baseline == pytest.approx(ask(background).mean(0))
    assert found.answers == pytest.approx(ask(rows))
    assert (found.features, found.background) == (("a", "b", "wide", "word"), 3)


def test_forwards_and_backwards_a_single_order_is_exact_where_no_three_features_go_together() -> None:
    pairs = lambda x: np.stack([x["a"] * x["b"], x["b"] * x["wide"].sum(1) + x["a"]], 1).astype(np.float64)  # noqa: E731
    rows, background = made(6), made(5)
    found = shapley(pairs, rows, background, seed=1)
    assert found.values == pytest.approx(exact(rows, background, pairs), abs=1e-6)


def test_two_features_are_exact_with_a_single_order() -> None:
    rows, background = made(4), made(6)
    fixed = {"wide": rows["wide"][:1], "word": rows["word"][:1]}

    def two(asked: Rows) -> Array:
        return ask({**asked, **{name: np.repeat(values, count(asked), 0) for name, values in fixed.items()}})

    chosen = [{name: each[name] for name in ("a", "b")} for each in (rows, background)]
    found = shapley(two, *chosen, seed=1)
    halves = []
    for row in range(4):
        own = {name: np.repeat(values[row : row + 1], 6, 0) for name, values in chosen[0].items()}
        both, none = two(own), two(chosen[1])
        only_a = two({"a": own["a"], "b": chosen[1]["b"]})
        only_b = two({"a": chosen[1]["a"], "b": own["b"]})
        halves.append(((only_a - none + both - only_b) / 2).mean(0))
    assert found.values[:, 0] == pytest.approx(np.array(halves), abs=1e-6)


def test_a_seed_tells_the_orders_and_batches_change_nothing() -> None:
    rows, background = made(5), made(8)
    first, again, other = (shapley(ask, rows, background, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.values, again.values)
    assert not np.array_equal(first.values, other.values)


def test_no_more_rows_are_asked_than_was_said_and_not_too_many_at_once() -> None:
    rows, background = made(5), made(8)
    sizes: list[int] = []

    def counted(asked: Rows) -> Array:
        sizes.append(count(asked))
        return ask(asked)

    shapley(counted, rows, background, seed=1, at_once=64)
    assert sum(sizes) == evaluations(5, 4, 8)
    assert max(sizes) <= 64


def test_stopped_early_it_goes_by_the_background_rows_so_far() -> None:
    rows, background = made(3), made(50)
    found = shapley(ask, rows, background, seed=1, at_once=40, stop=lambda: True)
    assert 2 <= found.background < 50
    used = take(background, slice(0, found.background))
    assert found.baseline == pytest.approx(ask(used).mean(0))
    assert found.values.sum(1) == pytest.approx(found.answers - found.baseline, abs=1e-6)


def test_a_feature_that_does_nothing_gets_nothing_and_a_single_one_all() -> None:
    rows, background = made(4), made(6)
    alone = {"a": rows["a"]}, {"a": background["a"]}
    one = lambda asked: asked["a"][:, None].astype(np.float64)  # noqa: E731
    found = shapley(one, *alone, seed=1)
    assert found.values[:, 0, 0] == pytest.approx(rows["a"] - background["a"].mean(), abs=1e-6)
    assert evaluations(4, 1, 6) == 10
    idle = shapley(one, rows, background, seed=1)
    assert np.abs(idle.values[:, 1:]).max() == 0


def test_background_rows_are_rows_that_there_are() -> None:
    known = {"a": np.arange(20), "b": np.arange(20) * 2}
    some = background_rows(known, 5, seed=1)
    assert len(set(some["a"].tolist())) == 5
    assert (some["b"] == some["a"] * 2).all()
    assert len(background_rows(known, 50, seed=1)["a"]) == 20


def test_large_rows_are_asked_few_at_a_time() -> None:
    sizes: list[int] = []

    def asked(rows: Rows) -> Array:
        sizes.append(count(rows))
        return np.zeros((count(rows), 1))

    in_batches(asked, {"image": np.array([bytes(20 << 20)] * 7, object)})
    assert sizes == [3, 3, 1]
