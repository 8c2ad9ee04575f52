"""The explain stage as runners call it, on models whose answers can be worked out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.explain.findings import Findings, fairness, sizes
from components.explain.page.fairness import part
from components.explain.sample import Sample
from components.runtime.explaining.answers import BINARY, Subject
from components.runtime.explaining.shapley import Attributions, evaluations
from tests.components.explain.conftest import PEOPLE, ROWS, Explain, Odd, People, Pictures, run, save
from tests.support import StageResult


def found(result: StageResult) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    document: dict[str, Any] = json.loads((result.folder / "explanations" / "explanations.json").read_text())
    return document


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, people: Path, examples: Path) -> StageResult:
    return run(tmp_path_factory.mktemp("explained") / "out", people, examples)


def answer(age: float | None, word: str) -> float:
    return float(1 / (1 + np.exp(-(0.4 * len(word) - ((40 if age is None else age) - 40) / 10))))


def test_attributions_lead_from_the_baseline_to_the_answer(result: StageResult) -> None:
    document = found(result)
    assert (document["task"], document["output"], document["examples"]) == ("binary", "outputs", PEOPLE)
    assert (document["explained"], document["background"]) == (20, 8)
    [baseline] = document["baseline"]
    assert len(document["rows"]) == 4
    for row in document["rows"]:
        assert row["answer"] == pytest.approx([answer(row["features"]["age"], row["features"]["word"])], abs=1e-6)
        assert sum(row["attributions"].values()) == pytest.approx(row["answer"][0] - baseline, abs=1e-6)
        assert abs(row["attributions"]["idle"]) < 1e-6, "what the model takes no notice of"
        assert row["label"] in (0, 1)
    answers = [row["answer"][0] for row in document["rows"]]
    assert answers == sorted(answers, reverse=True)
    importance = {each["feature"]: each["mean"] for each in document["importance"]}
    assert set(importance) == {"age", "word", "idle"}
    assert min(importance["age"], importance["word"]) > 0.05
    metadata = result.metadata("explanations")
    assert metadata["importance"] == pytest.approx(importance)
    assert metadata["explained"] == 20
    assert metadata["goes_by"] == [name for name in importance if name != "idle"], "nothing goes by what has no part"


def test_partial_dependence_goes_as_the_model_does(result: StageResult) -> None:
    curves = {each["feature"]: each for each in found(result)["dependence"]}
    age, word = curves["age"], curves["word"]
    assert age["values"][-1] is None, "a missing value stands last"
    means = [row[0] for row in age["answers"][:-1]]
    assert means == sorted(means, reverse=True)
    assert age["missing"] == 1
    assert dict(zip(word["values"], word["counts"], strict=True)) == {
        text: sum(row["word"] == text for row in ROWS) for text in ("x", "yyyy", "zzzzzzzz")
    }


def test_the_nearest_other_answer_is_an_example_with_one(result: StageResult) -> None:
    for row in found(result)["rows"]:
        other = row["nearest_other"]
        assert (other["answer"][0] >= 0.5) != (row["answer"][0] >= 0.5)
        assert set(other["differs"]) <= set(row["features"])
        same = {name for name in row["features"] if row["features"][name] == other["features"][name]}
        assert same == set(row["features"]) - set(other["differs"])


def test_integrated_gradients_are_of_what_has_one(result: StageResult) -> None:
    told = found(result)["integrated_gradients"]
    assert list(told["importance"]) == ["age_xf"]
    assert told["held"] == ["length"]
    assert told["not_added_up"] < 1e-3


def test_thresholds_are_between_the_groups_that_evaluate_slices_by(result: StageResult) -> None:
    [told] = found(result)["thresholds"]
    assert told["feature"] == "group"
    assert told["groups"] == {"young": 160, "old": 80}
    labels = np.array([row["paid"] for row in ROWS]) == 1
    for name, counts in told["counts"].items():
        inside = np.array([row["group"] == name for row in ROWS])
        assert (counts["rows"], counts["labelled"]) == (inside.sum(), (inside & labels).sum())
        assert (counts["right"][0], counts["wrong"][0]) == ((inside & labels).sum(), (inside & ~labels).sum())
        assert (counts["right"][-1], counts["wrong"][-1], told["at"][-1]) == (0, 0, None)
    goals = {each["goal"]: each for each in told["goals"]}
    parity = goals["demographic parity"]
    assert parity["gap"] <= 0.05 + 1e-9
    assert parity["accuracy"] <= goals["a threshold for each group"]["accuracy"]
    scores = np.array([answer(row["age"], row["word"]) for row in ROWS])
    for name in ("young", "old"):
        inside = np.array([row["group"] == name for row in ROWS])
        threshold = parity["thresholds"][name]
        share = 0.0 if threshold is None else (scores[inside] >= threshold).mean()
        assert parity["rates"][name]["positive"] == pytest.approx(share, abs=0.02)


def test_of_many_groups_the_largest_with_both_labels_are_compared() -> None:
    sizes_of = {"all paid": 90, **{f"street {number}": 40 - number for number in range(8)}, "few": 29}
    streets = [name for name, size in sizes_of.items() for _ in range(size)]
    labels = np.array([name == "all paid" or place % 2 == 0 for place, name in enumerate(streets)], float)
    answers = np.random.default_rng(1).random((len(streets), 1))
    nothing = Attributions((), np.zeros((0, 0, 1)), np.zeros((0, 0, 1)), np.zeros((0, 1)), np.zeros(1), 0)
    subject = Subject(lambda rows: answers, "outputs", BINARY, ())
    findings = Findings(subject, {}, answers, labels, [], nothing, [])
    drawn = Sample([], [{"street": [name.encode()]} for name in streets], len(streets))
    fairness(findings, drawn, ["street"], 0.05)
    [made] = findings.fairness
    assert [group.name for group in made.groups] == [f"street {number}" for number in range(6)]
    assert set(made.left_out) == {"all paid", "few", "street 6", "street 7"}
    said = "Left out, for the 6 largest groups of 30 examples or more with both labels are compared: all paid (90), few"
    assert said in part(made)


def test_the_page_has_a_picture_of_each(result: StageResult) -> None:
    page = (result.folder / "report").read_text()
    for title in (
        "What it goes by",
        "Integrated gradients",
        "Partial dependence",
        "Single rows",
        "Nearest other answers",
    ):
        assert title in page
    assert "Decision thresholds by group" in page
    assert page.count("<svg") == 5
    assert page.count("data-adjustable=") == 1
    assert "http" not in page.replace("http://www.w3.org", "")


@pytest.mark.slow
def test_the_same_seed_finds_the_same(result: StageResult, tmp_path: Path, people: Path, examples: Path) -> None:
    again = run(tmp_path / "again", people, examples)
    assert found(again) == found(result)


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        (
            {"split": "evla"},
            "examples: no split 'evla', it has: empty, eval, images; name one of these in the settings",
        ),
        ({"split": "empty"}, "split 'empty' of the examples has no rows; name another one in explain.split"),
        ({"groups": ["grup"]}, "explain.groups: the examples have no feature 'grup', did you mean 'group'?"),
        ({"output": "output"}, "the model answers no 'output', did you mean 'outputs'?; it answers outputs"),
        ({"rows": 0}, "rows is 0: give a number from 1"),
        ({"minutes": 0.0}, "minutes is 0: give a number above 0"),
        ({"tolerance": 2.0}, "tolerance is 2: give a share from 0 to 1"),
    ],
)
def test_bad_input_is_one_line(explain: Explain, parameters: dict[str, Any], error: str) -> None:
    result = explain(**parameters)
    assert (result.exit_code, result.error) == (65, error)
    assert not (result.folder / "explanations").exists()


@pytest.mark.parametrize(
    ("signature", "error"),
    [
        ("mask", "the output 'mask' is of shape [4, 4] for a row; explained are a number, and a number for each of up "
         "to 1,000 classes; there is no explanation of this model"),
        ("text", "the model answers told, none of which is a number with a fraction; "
         "name the one to explain as `output`"),
        ("two", "the model answers high, low, several of them numbers; name the one to explain as `output`"),
    ],
)  # fmt: skip
def test_a_model_that_nothing_explains_is_one_line(
    explain: Explain, tmp_path: Path, signature: str, error: str
) -> None:
    made = Odd()
    result = explain(model=save(tmp_path / "odd", made, serving_default=getattr(made, signature)))
    assert (result.exit_code, result.error) == (65, error)


def test_a_number_has_no_other_answer_and_no_threshold(explain: Explain, tmp_path: Path) -> None:
    made = Odd()
    result = explain(model=save(tmp_path / "euros", made, serving_default=made.euros), label="age")
    document = found(result)
    assert document["task"] == "number"
    assert document["notes"] == [
        "no nearest other answer: the answer is a number, of which each is another",
        "no decision thresholds: the answer is not the probability of one class",
        "no integrated gradients: the model was saved without its network beside the signatures, as signatures.export "
        "does it",
    ]
    for row in document["rows"]:
        years = 40 if row["features"]["age"] is None else row["features"]["age"]
        assert row["attributions"]["age"] == pytest.approx(100 + 3 * years - document["baseline"][0], rel=1e-5)
        assert "nearest_other" not in row
    assert "What is not here" in (result.folder / "report").read_text()


def test_an_image_has_a_picture_of_its_gradients(explain: Explain, tmp_path: Path) -> None:
    made = Pictures()
    model = save(tmp_path / "pictures", made, serving_default=made.plain, transform_features=made.transform_features)
    result = explain(model=model, split="images", label="", classes=["top", "bottom", "none"])
    document = found(result)
    assert (document["task"], document["classes"]) == ("classes", ["top", "bottom", "none"])
    assert document["integrated_gradients"]["not_added_up"] < 1e-3
    assert document["notes"] == [
        "no partial dependence on image: neither a number nor a text that rows share, or always the same",
        "no nearest other answer: the examples differ in no number and no text, which alone are compared",
    ]
    page = (result.folder / "report").read_text()
    assert "which pixels speak for the answered class" in page
    assert page.count("<image") >= 8, "images and their gradients"
    # All that speaks for an image's class is the image.
    for row in document["rows"]:
        assert row["attributions"]["image"] == pytest.approx(
            row["answer"][row["target"]] - document["baseline"][row["target"]]
        )


@pytest.mark.slow
def test_a_model_of_serialised_examples_gets_attributions_of_raw_features(explain: Explain, tmp_path: Path) -> None:
    class Serialised(tf.Module):
        """As TFX's module files export."""

        def __init__(self) -> None:
            super().__init__()
            self.people = People()

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
        def serve(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.people.from_examples(examples)

    made = Serialised()
    document = found(explain(model=save(tmp_path / "serialised", made, serving_default=made.serve), label="paid"))
    assert document["task"] == "binary"
    for row in document["rows"]:
        assert row["answer"] == pytest.approx([answer(row["features"]["age"], row["features"]["word"])], abs=1e-6)
        assert row["attributions"]["group"] == pytest.approx(0, abs=1e-6)
    assert document["thresholds"][0]["groups"] == {"young": 160, "old": 80}, "the raw label tells it too"


def test_after_its_minutes_it_tells_what_it_has(explain: Explain) -> None:
    result = explain(minutes=1e-9, background=200)
    document = found(result)
    assert 2 <= document["background"] < 200
    assert document["integrated_gradients"]["rows"] == 1
    assert document["dependence"] == []
    assert document["notes"] == [
        f"explain.minutes ended it after {document['background']} of 200 background rows",
        "no partial dependence on "
        + ", ".join(each["feature"] for each in document["importance"])
        + ": explain.minutes were over",
    ]
    for row in document["rows"]:
        assert sum(row["attributions"].values()) == pytest.approx(row["answer"][0] - document["baseline"][0], abs=1e-6)
    assert "explain.minutes were over" in (result.folder / "report").read_text()


def test_features_are_bounded_by_evaluations() -> None:
    assert sizes(1000, 17, 200, 32, 1_000_000) == (200, 32, 4)
    assert sizes(1000, 17, 200, 32, 500_000) == (200, 32, 2)
    rows, background, times = sizes(1000, 500, 200, 32, 100_000)
    assert evaluations(rows, 500, background, times) <= 100_000
    assert sizes(3, 4, 200, 32, 1_000_000) == (3, 3, 4)
    assert sizes(1000, 1, 200, 32, 1_000_000) == (200, 32, 1), "of one feature there is one order"
    assert sizes(1000, 100_000, 200, 32, 1000) == (1, 2, 1), "one row is explained whatever it takes"
