"""Which task a label makes, and what a model must reach for it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from components.runtime.errors import InputError
from runners.scaffold.model import gates, planning, task
from runners.scaffold.model.profile import Task
from tests.runners.scaffold.model.model_support import data_set

ROWS = 120


def infer(folder: Path, values: list[Any], **options: Any) -> Task:
    return task.infer(data_set(folder, {"x": list(range(len(values))), "y": values}), ["y"], **options)


@pytest.mark.parametrize(
    ("values", "kind", "positive"),
    [
        ([0, 1, 1], "binary", 1),
        (["no", "Yes", "no"], "binary", "Yes"),
        (["benign", "malignant", "benign"], "binary", "malignant"),
        (["a", "a", "b"], "binary", "b"),
        ([1, 2, 1], "binary", 2),
        (["a", "b", "c"], "classes", None),
        ([3, 4, 5], "classes", None),
        ([1.0, 2.0, 3.0], "classes", None),
        ([0.5, 1.5, 2.25], "number", None),
        (list(range(30)), "number", None),
    ],
)
def test_the_task_of_a_label(tmp_path: Path, values: list[Any], kind: str, positive: Any) -> None:
    found = infer(tmp_path, values * (ROWS // len(values)))
    assert (found.kind, found.positive) == (kind, positive)


def test_what_is_asked_for_holds(tmp_path: Path) -> None:
    assert infer(tmp_path / "1", ["a", "b"] * 20, positive="a").positive == "a"
    assert infer(tmp_path / "2", [1, 2, 3] * 20, kind="number").kind == "number"


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (["a"] * 9, {}, "--label y: one value in all rows"),
        ([None] * 9, {}, "--label y: no row has a value"),
        ([f"${n},000" for n in range(1, 30)], {}, "--label y: numbers written as .*clean them"),
        ([0.5, 1.5, float("inf")] * 9, {}, "--label y: 9 of 27 rows have inf"),
        ([f"{n}x" for n in range(300)], {}, "--label y: 300 different values, such as '0x', .*, are too many"),
        (["a", "b"] * 9, {"positive": "c"}, "--positive c: the label y has the values 'a', 'b'"),
        (["a", "b", "c"] * 9, {"positive": "a"}, "--positive a: the label y has 3 values, not two"),
        ([*range(99)], {"positive": "3"}, "--positive 3: the label y is a number"),
        (["a", "b", "c"] * 9, {"kind": "binary"}, "--task binary: the label y has 3 values, not two"),
        (["a", "b"] * 9, {"kind": "number"}, "--task number: the label y is text"),
        ([1, 0] * 9, {"kind": "labels"}, "--task labels: give several columns"),
    ],
)
def test_labels_that_nothing_can_be_learned_from(
    tmp_path: Path, values: list[Any], options: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        infer(tmp_path, values, **options)


def test_labels_that_are_not_there(tmp_path: Path) -> None:
    data = data_set(tmp_path, {"Preis in €": [1.5, 2.5], "qm": [3, 4]})
    with pytest.raises(InputError, match=r"--label Preis: no such column.*the columns are: Preis in €, qm"):
        task.infer(data, ["Preis"])
    with pytest.raises(InputError, match=r"--label COLUMN is missing: .* the columns are: Preis in €, qm"):
        task.infer(data, [])


def test_options_that_contradict_each_other() -> None:
    for labels, left_out, kept, line in (
        (["y", "y"], [], [], "--label y: given 2 times"),
        (["y"], ["y"], [], "--leave-out y: that is the label"),
        (["y"], ["a"], ["a"], "--leave-out a and --keep a"),
    ):
        with pytest.raises(InputError, match=line):
            planning.check_options(labels, left_out, kept)


def test_classes_that_look_wrong_are_told(tmp_path: Path) -> None:
    one, alike = infer(tmp_path, ["Yes", "no", "yes"] * 9 + ["maybe"]).remarks
    assert one == "classes of one row: 'maybe'; nobody learns them from that"
    assert alike == "'Yes' and 'yes' are classes of their own: is it one class, spelt in two ways?"


def test_several_labels(tmp_path: Path) -> None:
    columns = {"rain": [0, 1, 1, 0], "wind": [1, 0, 1, 0], "temperature": [1, 2, 3, 4], "tags": [["a"], ["a", "b"]] * 2}
    data = data_set(tmp_path, columns)
    assert task.infer(data, ["rain", "wind"]).shares == {"rain": 0.5, "wind": 0.5}
    assert task.infer(data, ["tags"]).shares == {"a": 1.0, "b": 0.5}
    with pytest.raises(InputError, match="--label temperature: several labels are columns of 0 and 1"):
        task.infer(data, ["rain", "temperature"])


def test_a_class_of_few_rows_may_be_new_to_training(tmp_path: Path) -> None:
    assert infer(tmp_path / "1", ["a", "b", "c"] * 40).unseen is False
    assert infer(tmp_path / "2", [*["a", "b"] * 40, "c"]).unseen is True


@pytest.mark.parametrize(
    ("shares", "rows", "metrics"),
    [
        ({0: 0.5, 1: 0.5}, 1000, {"AUC": 0.54, "MajorityLift": 1.06}),
        ({0: 0.7, 1: 0.3}, 1000, {"AUC": 0.54}),
        ({0: 0.98, 1: 0.02}, 5000, {"AUC": 0.55, "TopLift": 1.52}),
    ],
)
def test_gates_of_two_classes(shares: dict[int, float], rows: int, metrics: dict[str, float]) -> None:
    found = gates.gates(Task("binary", ("y",), shares, 1), rows)
    assert {name: gate.bound for name, gate in found.items()} == metrics


def test_a_bound_on_few_rows_is_not_told_as_that_of_chance() -> None:
    gate = gates.auc(0.5, 9)
    assert gate.bound == 0.75
    assert "less than 0.84" in gate.why
    assert "No more than 0.75 is asked for" in gate.why


def test_a_gate_leaves_room_for_a_model_that_is_right_on_few_rows() -> None:
    """Of three rows of four a constant answer is right; the best lift is 1.33."""
    (gate,) = gates.gates(Task("classes", ("y",), {"a": 0.75, "b": 0.15, "c": 0.1}), 10).values()
    assert 1 < gate.bound <= 1.17


def test_labels_are_gated_by_their_mean_and_not_by_the_rarest() -> None:
    """Of a rare label chance reaches 0.65 on so few rows, of the others less than 0.55."""
    shares = {"rare": 0.014, **{f"label {number}": 0.3 for number in range(13)}}
    (gate,) = gates.gates(Task("labels", tuple(shares), shares), 800).values()
    assert gate.bound == pytest.approx(0.55, abs=0.01)
    assert gates.auc(0.014, 800).bound > 0.64
    assert gates.mean_auc([0.3], 800).bound == gates.auc(0.3, 800).bound


def test_the_logarithm_of_a_label_with_a_heavy_tail_is_learned(tmp_path: Path) -> None:
    chance = random.Random(1)
    prices = [round(chance.lognormvariate(5, 1), 2) for _ in range(300)]
    assert infer(tmp_path / "1", prices).skewed
    assert not infer(tmp_path / "2", [price - 1000 for price in prices]).skewed
    assert not infer(tmp_path / "3", [round(chance.gauss(100, 9), 2) for _ in range(300)]).skewed
