"""The metrics of labels that arrived, held to what others compute, and their intervals to what chance does."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest

from components.watch.quality import Metric, by_slice, measured
from components.watch.windows import Answered


def answered(labels: object, outputs: object, **more: pa.Array) -> Answered:
    prediction = {"outputs": pa.array(outputs)} | {name: more.pop(name) for name in ("class",) if name in more}
    return Answered(pa.array(labels), prediction, more)


def metrics(rows: Answered, positive: dict[str, object] | None = None) -> dict[str, Metric]:
    return {each.name: each for each in measured(rows, positive or {})}


def test_a_binary_models_metrics_by_hand() -> None:
    truth, told = [1, 0, 1, 0, 1, 0], [0.9, 0.1, 0.4, 0.4, 0.8, 0.7]
    pairs = list(itertools.product([0.9, 0.4, 0.8], [0.1, 0.4, 0.7]))
    by_hand = sum(1.0 if one > other else 0.5 * (one == other) for one, other in pairs) / len(pairs)
    found = metrics(answered(truth, told))
    assert found["auc"].value == pytest.approx(by_hand)
    assert found["accuracy"].value == pytest.approx(4 / 6)
    chosen = np.where(np.array(truth) == 1, told, 1 - np.array(told))
    assert found["log_loss"].value == pytest.approx(-np.log(chosen).mean())
    assert {each.count for each in found.values()} == {6}


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(7)
    # Of two normal distributions a deviation and a half apart, by the normal distribution of their difference.
    area, share = 0.8556, 0.7734
    within = {"auc": 0, "accuracy": 0}
    for _ in range(300):
        truth = random.integers(0, 2, 200)
        score = np.clip(random.normal(0.5 + 0.15 * (2 * truth - 1) * 0.5, 0.1, 200), 0, 1)
        found = metrics(answered(truth, score))
        within["auc"] += found["auc"].low <= area <= found["auc"].high
        within["accuracy"] += found["accuracy"].low <= share <= found["accuracy"].high
    assert 275 <= within["auc"] <= 300
    assert 275 <= within["accuracy"] <= 299


def test_labels_that_are_all_alike_have_no_auc() -> None:
    assert set(metrics(answered([1, 1, 1], [0.9, 0.8, 0.1]))) == {"accuracy", "log_loss"}


def test_classes_by_number_and_by_name() -> None:
    outputs = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.6, 0.3, 0.1]]
    names = pa.array(["cat", "dog", "cow", "cat"])
    by_number = metrics(answered([0, 1, 1, 0], outputs))
    by_name = metrics(answered(["cat", "dog", "dog", "cat"], outputs, **{"class": names}))
    assert by_number == by_name
    assert by_number["accuracy"].value == 0.75
    assert by_number["log_loss"].value == pytest.approx(-np.log([0.7, 0.8, 0.3, 0.6]).mean())
    # A class that was never answered has no number that anybody knows.
    assert metrics(answered(["cat", "emu", "dog", "cat"], outputs, **{"class": names}))["accuracy"].count == 3


def test_two_classes_have_an_auc() -> None:
    found = metrics(answered([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]]))
    assert found["auc"].value == 1.0
    assert found["accuracy"].value == 0.75


def test_answers_that_are_text_are_right_or_not() -> None:
    found = metrics(answered(["cat", "dog", "cow"], ["cat", "cow", "cow"]))
    assert {name: each.value for name, each in found.items()} == {"accuracy": pytest.approx(2 / 3)}


def test_numbers_have_errors() -> None:
    found = metrics(answered([3.0, 5.0, float("nan"), 8.0], [2.0, 5.0, 7.0, 4.0]))
    assert found["mae"].value == pytest.approx(5 / 3)
    assert found["rmse"].value == pytest.approx(np.sqrt(17 / 3))
    assert found["mae"].count == 3
    assert found["rmse"].low <= found["rmse"].value <= found["rmse"].high


def test_a_label_becomes_a_class_in_float32_and_by_a_feature() -> None:
    # 0.2 * 8.05 is 1.61 but for the last bit, which float64 has elsewhere.
    fare = pa.array([8.05, 10.0, None, 20.0], pa.float32())
    rows = answered([1.61, 2.5, 9.0, 1.0], [0.1, 0.9, 0.2, 0.3], fare=fare)
    found = metrics(rows, {"above": 0.2, "of": "fare"})
    assert (found["accuracy"].value, found["accuracy"].count) == (1.0, 4)
    assert metrics(rows, {"above": 2.0})["accuracy"].value == 0.75


def test_what_is_not_of_one_kind_has_no_metrics() -> None:
    assert metrics(answered(["a", "b"], [0.1, 0.9])) == {}


def test_slices_are_of_their_rows() -> None:
    way = pa.array(["card", "cash", "card", None])
    found = by_slice(answered([1, 0, 0, 1], [0.9, 0.1, 0.8, 0.9], way=way), "way", {})
    assert {value: each[-1].count for value, each in found.items()} == {"card": 2, "cash": 1}
    assert {each.name: each.value for each in found["card"]}["accuracy"] == 0.5
