"""Partial dependence, counterfactuals, integrated gradients and thresholds, held to what can be worked out by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from components.runtime.explaining import thresholds
from components.runtime.explaining.counterfactuals import nearest_other
from components.runtime.explaining.dependence import dependence, grid_of
from components.runtime.explaining.gradients import integrated_gradients
from components.runtime.explaining.rows import OTHER, TEXT, Array, Rows, kind, take, told
from components.runtime.missing import where as missing

RANDOM = np.random.default_rng(5)
SMALLEST = np.iinfo(np.int64).min


def test_kinds_and_missing_values() -> None:
    assert kind(np.array([b"a", "\xe4".encode()], object)) == TEXT
    assert kind(np.array([b"\xff\xd8\xff"], object)) == OTHER, "bytes that are no text"
    assert kind(np.array([b"\x00\x10\x03"], object)) == OTHER, "pixels"
    assert kind(np.zeros((2, 3))) == OTHER
    assert missing(np.array([1, SMALLEST])).tolist() == [False, True]
    assert missing(np.array([b"", b"a"], object)).tolist() == [True, False]
    values = [np.float32(0.1), np.float32("nan"), np.int64(SMALLEST), b"", b"a", np.int64(3)]
    assert [told(value) for value in values] == [0.1, None, None, None, "a", 3]


def test_partial_dependence_of_a_product_is_the_mean_of_the_other_factor() -> None:
    rows = {"a": RANDOM.normal(size=30).astype(np.float32), "b": RANDOM.normal(size=30)}
    known = np.append(rows["a"], np.float32("nan"))
    found = dependence(lambda x: (x["a"] * x["b"])[:, None], rows, "a", known)
    assert found is not None
    assert found.has_missing
    assert found.absent == 1
    assert found.mean[:-1, 0] == pytest.approx(found.grid[:-1] * rows["b"].mean(), abs=1e-6)
    assert math.isnan(found.mean[-1, 0])
    assert found.answers.shape == (21, 30, 1)
    assert found.counts.sum() >= 28, "all but what lies beyond the grid"


def test_partial_dependence_of_texts_goes_over_the_frequent_ones() -> None:
    words = np.array([b"x"] * 5 + [b"y"] * 3 + [b""] * 2, object)
    lengths = {b"x": 1.0, b"y": 2.0, b"": 0.0}
    found = dependence(lambda x: np.array([[lengths[each]] for each in x["w"]]), {"w": words[:4]}, "w", words)
    assert found is not None
    assert found.grid.tolist() == [b"x", b"y", b""]
    assert found.mean[:, 0].tolist() == [1, 2, 0]
    assert found.counts.tolist() == [5, 3, 2]
    assert dependence(lambda x: x, {"w": words}, "w", words[:3]) is None, "a single value has no curve"
    letters = np.array([f"letter {number}".encode() for number in range(9)], object)
    assert dependence(lambda x: x, {"w": letters}, "w", letters) is None, "texts of which each is another"
    assert len(grid_of(np.arange(1000.0))) == 20


def test_the_nearest_other_answer_by_hand() -> None:
    known = {
        "n": np.array([1.0, 2.0, 3.0, 1000.0]),
        "w": np.array([b"red car", b"red bike", b"blue car", b"red car"], object),
        "image": np.array([b"\xff"] * 4, object),
    }
    row = take(known, slice(0, 1))
    found = nearest_other(row, 0, known, np.array([0, 0, 1, 1]))
    # 3 is two of four places from 1 and has one word of three; 1000 is three places, with the same words.
    assert found is not None
    assert found.row == 3
    assert found.distance == pytest.approx(0.75 / 2)
    assert found.differs == ("n",)
    near = nearest_other(row, 0, known, np.array([0, 1, 1, 1]))
    assert near is not None
    assert near.row == 3, "two thirds of the words are far"
    assert nearest_other(row, 0, known, np.zeros(4, int)) is None
    assert nearest_other({"image": known["image"][:1]}, 0, {"image": known["image"]}, np.array([0, 1, 1, 1])) is None
    alike = {"image": known["image"], "n": np.ones(4)}
    assert nearest_other(take(alike, [0]), 0, alike, np.array([0, 1, 1, 1])) is None, "the image makes the answer"
    missing_one = {"n": np.array([np.nan]), "w": row["w"], "image": row["image"]}
    other = nearest_other(missing_one, 0, known, np.array([0, 0, 1, 1]))
    assert other is not None
    assert other.differs[0] == "n"
    assert other.distance == pytest.approx(0.5)


def test_integrated_gradients_add_up_and_are_exact_for_a_polynomial() -> None:
    row = {"x": np.array([[2.0, 3.0]], np.float32), "code": np.array([4])}
    base = {"x": np.array([[0.0, 1.0]], np.float32)}

    def answer(rows: Rows) -> Array:
        x = rows["x"].astype(np.float64)
        return np.stack([x[:, 0] ** 2 * rows["code"], x[:, 0] * x[:, 1]], 1)

    def gradient(rows: Rows, target: int) -> dict[str, Array]:
        x, zero = rows["x"], np.zeros(len(rows["x"]))
        return {"x": np.stack([2 * x[:, 0] * rows["code"], zero] if target == 0 else [x[:, 1], x[:, 0]], 1)}

    found = integrated_gradients(gradient, answer, row, base, 1, steps=50)
    # Along (2t, 1 + 2t): the integrals of 2 (1 + 2t) and of 2 (2t).
    assert found.values["x"] == pytest.approx([4.0, 2.0], rel=1e-5)
    assert found.missed == pytest.approx(0, abs=1e-5)
    square = integrated_gradients(gradient, answer, row, base, 0, steps=50)
    assert square.values["x"] == pytest.approx([16.0, 0.0], rel=1e-3)


def scored(number: int) -> tuple[Array, Array, list[str]]:
    names = RANDOM.choice(["one", "two"], number, p=[0.7, 0.3])
    labels = RANDOM.random(number) < np.where(names == "one", 0.6, 0.3)
    scores = np.clip(RANDOM.normal(np.where(labels, 0.65, 0.35) + np.where(names == "one", 0.05, -0.1), 0.2), 0, 1)
    return scores, labels.astype(int), names.tolist()


def test_thresholds_hold_their_goal_and_no_others_that_do_are_more_accurate() -> None:
    scores, labels, names = scored(800)
    groups = thresholds.groups_of(scores, labels, names)
    assert [group.name for group in groups] == ["one", "two"]
    found = {each.goal: each for each in thresholds.choose(groups, tolerance=0.05)}
    rows = sum(group.rows for group in groups)
    for goal, rates in thresholds.GOALS.items():
        best = 0.0
        for one, two in itertools.product(range(len(thresholds.THRESHOLDS)), repeat=2):
            if goal == thresholds.ONE and one != two:
                continue
            gap = max((abs(getattr(groups[0], r)[one] - getattr(groups[1], r)[two]) for r in rates), default=0)
            # (Targets are whole per cents, so that a pair just at the tolerance may be missed.)
            if gap <= 0.04:
                best = max(best, (groups[0].correct[one] + groups[1].correct[two]) / rows)
        assert found[goal].gap <= 0.05 + 1e-9
        assert found[goal].accuracy >= best
    accuracy = [found[goal].accuracy for goal in thresholds.GOALS]
    assert max(accuracy) == found["a threshold for each group"].accuracy
    direct = np.mean(
        [(s >= found[thresholds.ONE].thresholds[n]) == y for s, y, n in zip(scores, labels, names, strict=True)]
    )
    assert found[thresholds.ONE].accuracy == pytest.approx(direct)


def test_a_group_with_one_label_only_is_left_out() -> None:
    scores, labels, names = scored(100)
    alone = [*names, "three"]
    found = thresholds.groups_of(np.append(scores, 0.5), np.append(labels, 1), alone)
    assert {group.name for group in found} == {"one", "two"}
