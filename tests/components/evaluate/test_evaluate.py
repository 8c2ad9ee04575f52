"""The evaluate stage on small models whose right answers are known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma

from components.runtime.errors import InputError
from components.runtime.evaluation.computation.counts import Counts
from components.runtime.evaluation.computation.result_files import load
from components.runtime.stage.artifacts import content_digest
from components.runtime.stage.executor import run_stage
from tests.components.evaluate import evaluation_support as support
from tests.support import ROOT, executor_input, shared

TAXI = ROOT / "models" / "taxi" / "evaluation.pbtxt"
DIGITS = ROOT / "models" / "digits" / "evaluation.pbtxt"
TRIPS = 'signature_name: "from_examples" preprocessing_function_names: "transform_features" label_key: "tips_xf"'


@pytest.fixture(scope="module")
def blessed(
    tmp_path_factory: pytest.TempPathFactory, trip_examples: Path, trip_schema: Path, good_model: Path
) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("blessed") / "out"
    arguments = support.arguments(trip_examples, good_model, trip_schema, TAXI)
    return folder, support.evaluate_in_process(folder, **arguments)


@pytest.fixture(scope="module")
def compared(
    tmp_path_factory: pytest.TempPathFactory, trip_examples: Path, trip_schema: Path, good_model: Path, hour_model: Path
) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("compared") / "out"
    arguments = support.arguments(trip_examples, hour_model, trip_schema, TAXI, baseline=good_model)
    return folder, support.evaluate_in_process(folder, **arguments)


def read_blessing(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / "blessing" / "blessing.json").read_text())
    return result


def test_good_model_is_blessed_without_a_baseline(blessed: tuple[Path, dict[str, Any]], good_model: Path) -> None:
    folder, metadata = blessed
    assert sorted(path.name for path in (folder / "blessing").iterdir()) == ["BLESSED", "blessing.json", "slices.json"]
    document = read_blessing(folder)
    assert document["blessed"] is metadata["blessing"]["blessed"] is True
    assert document["baseline"] is metadata["blessing"]["baseline"] is False
    assert document["model_digest"] == content_digest(good_model)
    assert document["baseline_digest"] == ""
    assert "there is no baseline, so 1 change threshold is not applied" in metadata["blessing"]["reason"]
    kinds = [(entry["metric"], entry["kind"], entry["passed"]) for entry in document["thresholds"]]
    assert kinds == [("auc", "value", True), ("majority_lift", "value", True), ("auc", "change", None)]
    # By these several candidates are compared.
    assert list(document["better"].items()) == [("auc", "higher"), ("majority_lift", "higher")]
    metrics = {name: value for name, value in metadata["metrics"].items() if name in document["metrics"]}
    assert document["metrics"] == metrics
    assert {"auc", "example_count"} <= metrics.keys()
    assert json.loads((folder / "parameters" / "blessed").read_text()) is True
    assert (metadata["evaluation"]["rows"], metadata["evaluation"]["slices"]) == (600, 1 + 3 + 2)


def expected(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Metrics of the good model, worked out without TFMA: it answers yes to cards."""
    answers = np.array([row["payment_type"] == "Credit Card" for row in rows])
    labels = np.array([row["tips"] > 2 for row in rows])
    accuracy = float(np.mean(answers == labels))
    positives, negatives = answers[labels], answers[~labels]
    wins = (positives[:, None] > negatives[None, :]).mean() + (positives[:, None] == negatives[None, :]).mean() / 2
    return {
        "example_count": len(rows),
        "binary_accuracy": accuracy,
        "auc": float(wins),
        "precision": float(labels[answers].mean()),
        "recall": float(answers[labels].mean()),
        "majority_lift": accuracy / max(labels.mean(), 1 - labels.mean()),
    }


def test_metrics_equal_those_worked_out_by_hand(blessed: tuple[Path, dict[str, Any]]) -> None:
    rows = support.trips(600)
    overall = expected(rows)
    assert {name: blessed[1]["metrics"][name] for name in overall} == pytest.approx(overall, abs=1e-6)


def test_result_directory_is_tfmas_own_and_names_no_machine(blessed: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = blessed
    result = tfma.load_eval_result(str(folder / "evaluation"))
    rows = support.trips(600)
    for hour in range(3):
        found = {
            name: value["doubleValue"]
            for name, value in result.get_metrics_for_slice((("trip_start_hour", hour),)).items()
        }
        wanted = expected([row for row in rows if row["trip_start_hour"] == hour])
        assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=1e-6)
    cash = result.get_metrics_for_slice((("payment_type", "Cash"),))
    assert cash["example_count"]["doubleValue"] == sum(row["payment_type"] == "Cash" for row in rows)
    assert tfma.load_validation_result(str(folder / "evaluation")).validation_ok
    run = json.loads((folder / "evaluation" / "eval_config.json").read_text())
    assert run["dataLocation"] == "eval"
    assert run["modelLocations"] == {"": "model"}
    for path in (folder / "evaluation").iterdir():
        assert str(folder.parent.parent).encode() not in path.read_bytes(), path


def test_classification_has_kfps_form(blessed: tuple[Path, dict[str, Any]]) -> None:
    metadata = blessed[1]["classification"]
    matrix = metadata["confusionMatrix"]
    assert matrix["annotationSpecs"] == [{"displayName": "0"}, {"displayName": "1"}]
    rows = support.trips(600)
    answers = [row["payment_type"] == "Credit Card" for row in rows]
    labels = [row["tips"] > 2 for row in rows]
    counts = [[sum(a == p and b == q for a, b in zip(labels, answers, strict=True)) for q in (0, 1)] for p in (0, 1)]
    assert [row["row"] for row in matrix["rows"]] == counts
    curve = metadata["confidenceMetrics"]
    assert all(set(point) == {"confidenceThreshold", "recall", "falsePositiveRate"} for point in curve)
    assert all(math.isfinite(value) for point in curve for value in point.values())
    thresholds = [point["confidenceThreshold"] for point in curve]
    assert thresholds == sorted(thresholds, reverse=True)
    assert (curve[0]["recall"], curve[-1]["recall"], curve[-1]["falsePositiveRate"]) == (0.0, 1.0, 1.0)
    json.dumps(metadata, allow_nan=False)


def test_report_tells_the_verdict_first(blessed: tuple[Path, dict[str, Any]]) -> None:
    page = (blessed[0] / "report").read_text()
    assert (
        page.index("Passed") < page.index("Thresholds") < page.index("All examples") < page.index("By trip_start_hour")
    )
    assert "ROC curve" in page
    assert len(page) < 1_000_000
    assert "http" not in page.replace("http://www.w3.org", "")


def test_worse_than_the_baseline_is_not_blessed(compared: tuple[Path, dict[str, Any]], good_model: Path) -> None:
    folder, metadata = compared
    assert sorted(path.name for path in (folder / "blessing").iterdir()) == [
        "NOT_BLESSED",
        "blessing.json",
        "slices.json",
    ]
    document = read_blessing(folder)
    assert document["baseline"] is True
    assert document["baseline_digest"] == content_digest(good_model)
    change = next(entry for entry in document["thresholds"] if entry["kind"] == "change")
    assert change["passed"] is False
    assert change["value"] < change["baseline_value"] == pytest.approx(expected(support.trips(600))["auc"], abs=1e-6)
    assert metadata["blessing"]["reason"].startswith("auc 0.")
    # The candidate's, not the baseline's.
    assert metadata["metrics"]["auc"] == change["value"]
    assert not tfma.load_validation_result(str(folder / "evaluation")).validation_ok
    baseline = tfma.load_eval_result(str(folder / "evaluation"), model_name="baseline")
    assert baseline.get_metrics_for_slice(())["auc"]["doubleValue"] == change["baseline_value"]
    page = (folder / "report").read_text()
    assert "Not passed" in page
    assert "Change" in page


def test_rates_at_thresholds_are_the_candidates_beside_a_baseline(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path, hour_model: Path
) -> None:
    config = tmp_path / "evaluation.pbtxt"
    wanted = """metrics_specs { metrics {
      class_name: "ConfusionMatrixAtThresholds" config: '"thresholds": [0.25, 0.5, 0.75]' } metrics {
      class_name: "ConfusionMatrixAtThresholds" config: '"name": "more", "thresholds": [0.1, 0.5]' } }"""
    config.write_text(f"{TAXI.read_text()}\n{wanted}\n")
    arguments = support.arguments(trip_examples, good_model, trip_schema, config, baseline=hour_model)
    support.evaluate_in_process(tmp_path / "out", **arguments)
    rows = support.trips(600)
    answers = np.array([row["payment_type"] == "Credit Card" for row in rows])
    labels = np.array([row["tips"] > 2 for row in rows])
    overall = load(tmp_path / "out" / "evaluation", Counts()).overall
    found = {row[0]: row[1:] for row in overall.confusion["candidate"]}
    counted = [(answers & labels), (answers & ~labels), (~answers & ~labels), (~answers & labels)]
    assert found[0.5] == tuple(float(each.sum()) for each in counted)
    assert {name: [row[0] for row in found] for name, found in overall.confusion.items()} == {
        name: [0.1, 0.25, 0.5, 0.75] for name in ("candidate", "baseline")
    }
    page = (tmp_path / "out" / "report").read_text()
    sections = page.count("Fairness by ")
    assert sections == 2
    for threshold in (0.1, 0.25, 0.5, 0.75):
        assert page.count(f"Threshold {threshold:g}<") == sections


@support.BATCHES_AND_SLOW_BEAM
def test_what_may_be_chance_is_drawn_pale_and_lifts_are_explained(
    tmp_path: Path, trip_schema: Path, good_model: Path, beam_options: list[str]
) -> None:
    rows = support.trips(700)
    for number, row in enumerate(rows[600:]):
        # 96 that tip badly, 4 that tip well.
        row |= {"payment_type": "Prcard", "tips": 3.0 if number % 25 == 0 else 0.0}
    for name, of in (("all", rows), ("many", rows[:600])):
        examples = support.write_split(tmp_path / name, "eval", of)
        arguments = support.arguments(examples, good_model, trip_schema, TAXI, beam_options=beam_options)
        support.evaluate_in_process(tmp_path / name / "out", **arguments)
    page, without = ((tmp_path / name / "out" / "report").read_text() for name in ("all", "many"))
    assert page.count("pale: fewer than 50 examples, or than 10 of one of the two classes") == 1
    assert page.count("fill: #c7d7f8") == 1, "AUC of Prcard; nothing is drawn of cash, which never tips"
    assert "pale: " not in without
    assert "fill: #c7d7f8" not in without
    assert "majority_lift: accuracy over the share of the most frequent class; 1 is what the best constant" in page


@support.BATCHES_AND_SLOW_BEAM
@pytest.mark.parametrize("feature", ["trip_miles", "trip_miles_xf"])
def test_a_slice_of_zeros_has_one_name_whatever_their_sign(
    tmp_path: Path, trip_schema: Path, good_model: Path, beam_options: list[str], feature: str
) -> None:
    rows = [row | {"trip_miles": -0.0 if number % 3 else 2.0} for number, row in enumerate(support.trips(60))]
    config = tmp_path / "evaluation.pbtxt"
    config.write_text(
        f'model_specs {{ {TRIPS} }} slicing_specs {{}} slicing_specs {{ feature_keys: "{feature}" }} '
        'metrics_specs { metrics { class_name: "AUC" } }'
    )
    examples = support.write_split(tmp_path / "examples", "eval", rows)
    arguments = support.arguments(examples, good_model, trip_schema, config, beam_options=beam_options)
    support.evaluate_in_process(tmp_path / "out", **arguments)
    slices = json.loads((tmp_path / "out" / "blessing" / "slices.json").read_text())["slices"]
    assert [(each["slice"], each["examples"]) for each in slices] == [
        ({}, 60),
        ({feature: "0.0"}, 40),
        ({feature: "2.0"}, 20),
    ]


class OtherLabels(support.TripModel):
    """A model of the same name that was trained for another question: how large the tip is, as number and as text."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def transform_features(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        tips = self._parse(examples)["tips"]
        return {"tips_xf": tips, "tips_text": tf.strings.as_string(tips)}


@pytest.fixture(scope="module")
def other_labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.save(OtherLabels(card=3.0, hour=0.0), tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def other_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = support.TripModel(card=3.0, hour=0.0, label_name="generous_xf")
    return support.save(model, tmp_path_factory.mktemp("key"))


THE_BASELINE = "the baseline, which is the model in service"
BASELINES_MEND = "give the baseline a model_specs of its own, with is_baseline: true, or take it out of service$"


@pytest.mark.parametrize(
    ("spec", "baseline", "message"),
    [
        (
            f"model_specs {{ {TRIPS} }}",
            "other_key",
            f"^{THE_BASELINE}, does not fit .*: label_key 'tips_xf' is no label .* generous_xf, .*; {BASELINES_MEND}",
        ),
        (
            f"model_specs {{ {TRIPS} }} model_specs {{ is_baseline: true {TRIPS.replace('tips_xf', 'tips_text')} }}",
            "other_labels",
            f"^{THE_BASELINE}, does not fit .*: label_key 'tips_text' is text, .*; {BASELINES_MEND}",
        ),
        (
            f"model_specs {{ {TRIPS} }}",
            "other_labels",
            r"'AUC' does not fit the model: labels are integers of shape \[1\], predictions floats of shape \[1\]; of "
            rf"{THE_BASELINE}, labels are floats of shape \[1\], predictions floats of shape \[1\] \(label must be",
        ),
    ],
)
def test_a_baseline_that_does_not_fit_is_to_blame(
    tmp_path: Path,
    trip_examples: Path,
    trip_schema: Path,
    good_model: Path,
    request: pytest.FixtureRequest,
    spec: str,
    baseline: str,
    message: str,
) -> None:
    config = tmp_path / "evaluation.pbtxt"
    config.write_text(f'{spec} metrics_specs {{ metrics {{ class_name: "AUC" }} }}')
    given = support.arguments(
        trip_examples, good_model, trip_schema, config, baseline=request.getfixturevalue(baseline)
    )
    with pytest.raises(InputError, match=message) as raised:
        support.evaluate_in_process(tmp_path / "out", **given)
    assert "\n" not in str(raised.value)


def test_a_damaged_baseline_is_not_trained_again(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path
) -> None:
    damaged = tmp_path / "damaged" / "Format-Serving" / "saved_model.pb"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"no model")
    given = support.arguments(trip_examples, good_model, trip_schema, TAXI, baseline=tmp_path / "damaged")
    with pytest.raises(InputError, match=f"not a SavedModel .*; it is {THE_BASELINE}: take it out of service"):
        support.evaluate_in_process(tmp_path / "out", **given)


def test_better_than_the_baseline_is_blessed(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path, hour_model: Path
) -> None:
    arguments = support.arguments(trip_examples, good_model, trip_schema, TAXI, baseline=hour_model)
    metadata = support.evaluate_in_process(tmp_path / "out", **arguments)
    assert metadata["blessing"]["blessed"] is True
    assert metadata["blessing"]["reason"] == "all 3 thresholds hold"


def test_constant_answer_is_not_blessed(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, constant_model: Path
) -> None:
    arguments = support.arguments(trip_examples, constant_model, trip_schema, TAXI)
    metadata = support.evaluate_in_process(tmp_path / "out", **arguments)
    assert metadata["blessing"]["blessed"] is False
    assert metadata["metrics"]["majority_lift"] == 1.0
    assert metadata["metrics"]["auc"] == pytest.approx(0.5)
    failed = {entry["metric"] for entry in read_blessing(tmp_path / "out")["thresholds"] if entry["passed"] is False}
    assert failed == {"auc", "majority_lift"}


def test_nan_predictions_are_not_blessed(tmp_path: Path, trip_examples: Path, trip_schema: Path) -> None:
    model = support.save(support.TripModel(card=math.nan, hour=0.0), tmp_path / "model")
    config = tmp_path / "evaluation.pbtxt"
    config.write_text(
        'model_specs { signature_name: "from_examples" preprocessing_function_names: "transform_features" '
        'label_key: "tips_xf" } metrics_specs { metrics { class_name: "MajorityLift" '
        'module: "components.evaluate.metrics" '
        "threshold { value_threshold { lower_bound { value: 0 } } } } }"
    )
    metadata = support.evaluate_in_process(
        tmp_path / "out", **support.arguments(trip_examples, model, trip_schema, config)
    )
    assert metadata["blessing"]["blessed"] is False
    assert metadata["blessing"]["reason"].startswith("the model predicts NaN for 600 of 600 examples")
    assert "majority_lift" not in metadata["metrics"]
    assert metadata["evaluation"]["not_a_number"] == "majority_lift"
    assert all(isinstance(value, int | float) for value in metadata["metrics"].values())
    page = (tmp_path / "out" / "report").read_text()
    thresholds = page[page.index("<h2>Thresholds</h2>") :]
    assert thresholds.index("<th>Outcome</th>") < thresholds.index("<th>Slice</th>"), "the dashboard cuts off the right"


@pytest.mark.parametrize("constant", [False, True])
def test_digits(tmp_path: Path, digit_examples: Path, digit_schema: Path, constant: bool) -> None:
    model = support.save(support.DigitModel(accuracy=0.9, constant=constant), tmp_path / "model")
    metadata = support.evaluate_in_process(
        tmp_path / "out", **support.arguments(digit_examples, model, digit_schema, DIGITS)
    )
    assert metadata["blessing"]["blessed"] is not constant
    matrix = np.array([row["row"] for row in metadata["classification"]["confusionMatrix"]["rows"]])
    names = [spec["displayName"] for spec in metadata["classification"]["confusionMatrix"]["annotationSpecs"]]
    assert names == [str(digit) for digit in range(10)]
    assert matrix.sum(axis=1).tolist() == [30.0] * 10
    accuracy = np.trace(matrix) / 300
    assert metadata["metrics"]["sparse_categorical_accuracy"] == pytest.approx(accuracy)
    assert metadata["metrics"]["majority_lift"] == pytest.approx(accuracy * 10)
    assert metadata["evaluation"]["slices"] == 11
    if constant:
        assert metadata["metrics"]["majority_lift"] == pytest.approx(1.0)
        assert metadata["metrics"]["majority_lift"] <= 1.0


def test_real_taxi_examples(tmp_path: Path, good_model: Path) -> None:
    run = shared("tfx_testdata/recorded_run")
    split = tmp_path / "examples" / "Split-eval"
    split.mkdir(parents=True)
    for path in sorted((run / "CsvExampleGen" / "examples" / "train").glob("*.gz"))[:3]:
        (split / path.name).symlink_to(path)
    arguments = support.arguments(tmp_path / "examples", good_model, run / "SchemaGen" / "schema", TAXI)
    metadata = support.evaluate_in_process(tmp_path / "out", **arguments)
    assert metadata["evaluation"]["slices"] > 24
    assert 0.9 < metadata["metrics"]["auc"] < 0.96

    # TFMA gives a number for the area under a curve of examples that all have one label; the page must not.
    slices = {entry.name: entry for entry in load(tmp_path / "out" / "evaluation", Counts()).slices}
    card = slices["payment_type=Credit Card"]
    (area,) = [key for key in card.values if key.name == "auc"]
    assert [entry.name for entry in slices.values() if entry.defined(area) is None]
    assert card.defined(area) == card.values[area] > 0


EDITS = {
    "line 5:": ("label_key", "label_kye"),
    "signature 'from_exampels'|signature_name 'from_exampels' is no signature.*there is: .*from_examples": (
        '"from_examples"',
        '"from_exampels"',
    ),
    "preprocessing_function_names 'transform' is no signature": ('"transform_features"', '"transform"'),
    "label_key 'tip' is no label.*tips_xf.*payment_type": ('"tips_xf"', '"tip"'),
    "slicing_specs 'hour' is no feature.*trip_start_hour": ('"trip_start_hour"', '"hour"'),
    "class_name 'BinaryAcuracy' is no metric; there is: BinaryAccuracy": ('"BinaryAccuracy"', '"BinaryAcuracy"'),
    "module 'components.evaluate.lifts' cannot be imported": (
        '"components.evaluate.metrics"',
        '"components.evaluate.lifts"',
    ),
    "has no such class; it has: AbsoluteErrorLift, .*MajorityLift": ('"MajorityLift"', '"MajorityShare"'),
    "config is not JSON": ('"num_thresholds": 100\'', '"num_thresholds": \''),
    "a metric cannot be made.*num_tresholds": ('"num_buckets": 20', '"num_tresholds": 20'),
}


@pytest.mark.parametrize("message", EDITS)
def test_wrong_names_are_told(
    tmp_path: Path, message: str, trip_examples: Path, trip_schema: Path, good_model: Path
) -> None:
    old, new = EDITS[message]
    config = tmp_path / "evaluation.pbtxt"
    text = TAXI.read_text()
    assert old in text
    config.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message) as raised:
        support.evaluate_in_process(
            tmp_path / "out", **support.arguments(trip_examples, good_model, trip_schema, config)
        )
    assert "\n" not in str(raised.value).strip()
    assert not any((tmp_path / "out").iterdir())


def test_splits_missing_empty_or_unnamed(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path
) -> None:
    examples = support.write_split(tmp_path / "examples", "eval", [])
    cases: list[tuple[Path, list[str], str]] = [
        (trip_examples, ["test"], "no split 'test', it has: eval"),
        (trip_examples, [], "example_splits is empty"),
        (examples, ["eval"], "the split 'eval' is empty"),
    ]
    for path, splits, message in cases:
        arguments = support.arguments(path, good_model, trip_schema, TAXI, example_splits=splits)
        with pytest.raises(InputError, match=message):
            support.evaluate_in_process(tmp_path / "out", **arguments)


def test_models_and_schemas_that_are_none(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    broken = tmp_path / "broken"
    (broken / "Format-Serving").mkdir(parents=True)
    (broken / "Format-Serving" / "saved_model.pb").write_bytes(b"\x07not a graph")
    cases = [
        (support.arguments(trip_examples, empty, trip_schema, TAXI), "no SavedModel in"),
        (support.arguments(trip_examples, broken, trip_schema, TAXI), "not a SavedModel|no graph"),
        (support.arguments(trip_examples, good_model, trip_schema, TAXI, baseline=broken), "not a SavedModel|no graph"),
        (support.arguments(trip_examples, good_model, empty, TAXI), "not a schema"),
    ]
    for arguments, message in cases:
        with pytest.raises(InputError, match=message):
            support.evaluate_in_process(tmp_path / "out", **arguments)


def _until(file: Path, whole: bytes, wanted: Callable[[int | None], bool]) -> int:
    """Cuts a file of examples off where reading it gives the wanted count, None for an error; returns the count."""
    for size in range(len(whole) // 2, len(whole) - 100):
        file.write_bytes(whole[:size])
        try:
            count = sum(1 for _ in tf.data.TFRecordDataset([str(file)], "GZIP"))
        except tf.errors.DataLossError:
            count = None
        if wanted(count):
            return count or 0
    raise AssertionError("no such place in the file")


def test_truncated_examples(tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path) -> None:
    whole = next((trip_examples / "Split-eval").iterdir()).read_bytes()
    file = tmp_path / "examples" / "Split-eval" / "data_tfrecord-00000-of-00001.gz"
    file.parent.mkdir(parents=True)
    arguments = support.arguments(tmp_path / "examples", good_model, trip_schema, TAXI)
    _until(file, whole, lambda count: count is None)
    second = file.with_name("data_tfrecord-00001-of-00001.gz")
    file.rename(second)
    file.write_bytes(whole)
    with pytest.raises(InputError, match=f"{second}: "):
        support.evaluate_in_process(tmp_path / "out", **arguments)
    second.unlink()
    # Between two records TensorFlow notices nothing.
    left = _until(file, whole, lambda count: count is not None)
    with pytest.raises(InputError, match=f"an examples file is damaged: {left} of 600 examples could be read"):
        support.evaluate_in_process(tmp_path / "cut", **arguments, metadata={"examples": {"rows_eval": 600.0}})


def test_exit_code_of_a_missing_configuration(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "none.pbtxt"
    given = support.arguments(trip_examples, good_model, trip_schema, missing)
    call = json.dumps(executor_input(tmp_path / "out", **given))
    with pytest.raises(SystemExit) as ended:
        run_stage("components.evaluate.evaluate:evaluate", ["--executor-input", call])
    assert ended.value.code == 65
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    said = f"eval_config_file {missing}: No such file or directory; name the file with the EvalConfig"
    assert error == f"error: {said}"
    assert not list((tmp_path / "out").glob("**/*"))
