"""What cannot be measured leaves a model unblessed with its reason; and the rates by which slices are compared."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from components.evaluate.page import fairness
from components.runtime.errors import InputError
from components.runtime.evaluation.computation.counts import Counts
from components.runtime.evaluation.computation.result_files import load
from components.runtime.evaluation.computation.results import SliceMetrics
from tests.components.evaluate import evaluation_support as support
from tests.support import ROOT

COMPLAINTS = (ROOT / "models" / "complaints" / "evaluation.pbtxt").read_text()
TRIPS = COMPLAINTS.replace('"label_xf"', '"tips_xf"').replace('"product"', '"payment_type"')


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The evaluation of complaints, for trips."""
    (tmp_path / "evaluation.pbtxt").write_text(TRIPS)
    return tmp_path / "evaluation.pbtxt"


def evaluate(tmp_path: Path, **arguments: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metadata of the outputs, and blessing.json."""
    metadata = support.evaluate_in_process(tmp_path / "out", **arguments)
    return metadata, json.loads((tmp_path / "out" / "blessing" / "blessing.json").read_text())


@support.BATCHES_AND_SLOW_BEAM
def test_nan_predictions_are_a_reason_not_a_fault(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, config: Path, beam_options: list[str]
) -> None:
    model = support.save(support.TripModel(card=math.nan, hour=0.0), tmp_path / "model")
    arguments = support.arguments(trip_examples, model, trip_schema, config, beam_options=beam_options)
    metadata, blessing = evaluate(tmp_path, **arguments)
    assert blessing["reason"].startswith("the model predicts NaN for 600 of 600 examples")
    assert blessing["blessed"] is False
    assert (tmp_path / "out" / "blessing" / "NOT_BLESSED").exists()
    assert {entry["passed"] for entry in blessing["thresholds"]} == {False, None}
    assert metadata["metrics"]["example_count"] == 600
    assert "the model predicts NaN for 600 of 600 examples" in (tmp_path / "out" / "report").read_text()


def test_a_baseline_that_predicts_nan_is_named(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, config: Path, good_model: Path
) -> None:
    broken = support.save(support.TripModel(card=math.nan, hour=0.0), tmp_path / "model")
    arguments = support.arguments(trip_examples, good_model, trip_schema, config, baseline=broken)
    _, blessing = evaluate(tmp_path, **arguments)
    assert blessing["reason"].startswith("the baseline predicts NaN for 600 of 600 examples")


def test_one_label_is_a_reason_not_a_fault(tmp_path: Path, trip_schema: Path, config: Path, good_model: Path) -> None:
    rows = [row | {"tips": 0.0} for row in support.trips(60)]
    examples = support.write_split(tmp_path / "examples", "eval", rows)
    _, blessing = evaluate(tmp_path, **support.arguments(examples, good_model, trip_schema, config))
    assert blessing["blessed"] is False
    assert "auc" in blessing["reason"]
    assert "one label" in blessing["reason"]


def test_a_slice_of_one_label_does_not_pass_a_threshold_on_every_slice(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path
) -> None:
    start = TRIPS.index("per_slice_thresholds")
    end = TRIPS.index('metrics { class_name: "AUCPrecisionRecall"')
    every = "threshold { value_threshold { lower_bound { value: 0.0 } } }\n  }\n  "
    (tmp_path / "every.pbtxt").write_text(TRIPS[:start] + every + TRIPS[end:])
    arguments = support.arguments(trip_examples, good_model, trip_schema, tmp_path / "every.pbtxt")
    _, blessing = evaluate(tmp_path, **arguments)
    # Who pays cash never tips well.
    assert blessing["reason"].startswith("auc is not defined: all examples have one label (payment_type=Cash)")
    passed = {entry["slice"]: entry["passed"] for entry in blessing["thresholds"] if entry["metric"] == "auc"}
    assert passed["payment_type=Cash"] is False
    assert passed["payment_type=Credit Card"] is True


def test_rates_at_thresholds_by_slice(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, config: Path, good_model: Path
) -> None:
    evaluate(tmp_path, **support.arguments(trip_examples, good_model, trip_schema, config))
    results = load(tmp_path / "out" / "evaluation", Counts())
    (quarter, half, _) = fairness.rates(results.overall)
    assert (quarter.threshold, half.threshold, quarter.examples) == (0.25, 0.5, 600)
    # Cards get 0.82, all others 0.18; cash and missing payments never pass a threshold of 0.25.
    by_slice = {entry.name: fairness.rates(entry)[1] for entry in results.slices}
    cards, cash = by_slice["payment_type=Credit Card"], by_slice["payment_type=Cash"]
    assert (cards.positive, cards.true_positive, cards.false_positive, cards.false_negative) == (1.0, 1.0, 1.0, 0.0)
    assert (cash.positive, cash.true_positive, cash.false_positive, cash.true_negative) == (0.0, None, 0.0, 1.0)
    assert half.positive == pytest.approx(cards.examples / 600)
    assert half.labelled == pytest.approx(cards.examples * (cards.labelled or 0) / 600)
    page = (tmp_path / "out" / "report").read_text()
    assert "Fairness by payment_type" in page
    assert page.count("<h3>Threshold") == 3


def test_values_of_slices_are_whole_whatever_they_hold() -> None:
    entry = SliceMetrics((("product", b"Credit card, prepaid=yes"), ("hour", 5)), {})
    assert entry.parts == [("product", "Credit card, prepaid=yes"), ("hour", "5")]
    assert entry.features == ("product", "hour")


def test_no_thresholds_no_section(tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path) -> None:
    taxi = ROOT / "models" / "taxi" / "evaluation.pbtxt"
    evaluate(tmp_path, **support.arguments(trip_examples, good_model, trip_schema, taxi))
    assert "Fairness" not in (tmp_path / "out" / "report").read_text()


def test_no_threshold_can_be_refused(tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path) -> None:
    (tmp_path / "none.pbtxt").write_text(
        'model_specs { signature_name: "from_examples" preprocessing_function_names: "transform_features" '
        'label_key: "tips_xf" } metrics_specs { metrics { class_name: "BinaryAccuracy" } }'
    )
    arguments = support.arguments(trip_examples, good_model, trip_schema, tmp_path / "none.pbtxt")
    _, blessing = evaluate(tmp_path, **arguments)
    assert blessing["reason"].startswith("NO THRESHOLD IS SET: every model is blessed")
    assert "No threshold is set" in (tmp_path / "out" / "report").read_text()
    arguments["parameters"]["require_thresholds"] = True
    with pytest.raises(InputError, match=r"none.pbtxt: no threshold is set.*set require_thresholds to false"):
        support.evaluate_in_process(tmp_path / "refused", **arguments)
    # One that needs a baseline is one.
    text = (tmp_path / "none.pbtxt").read_text()
    change = "threshold { change_threshold { direction: HIGHER_IS_BETTER absolute { value: 0 } } }"
    (tmp_path / "none.pbtxt").write_text(text.replace('"BinaryAccuracy"', f'"BinaryAccuracy" {change}'))
    metadata = support.evaluate_in_process(tmp_path / "change", **arguments)
    assert metadata["blessing"]["reason"].startswith(
        "NO THRESHOLD APPLIES: blessed without a test; there is no baseline"
    )


CURVES = """
model_specs {
  signature_name: "from_examples" preprocessing_function_names: "transform_features" label_key: "label_xf"
}
slicing_specs {} slicing_specs { feature_keys: "label" }
metrics_specs {
  binarize { class_ids { values: [0, 3] } }
  aggregate { macro_average: true class_weights { key: 0 value: 1.0 } class_weights { key: 3 value: 1.0 } }
  metrics {
    class_name: "AUC" config: '"num_thresholds": 200' threshold { value_threshold { lower_bound { value: 0 } } }
  }
  metrics { class_name: "AUCPrecisionRecall" config: '"name": "pr", "num_thresholds": 200' }
  metrics { class_name: "RecallAtPrecision" config: '"precision": 0.5' }
}
"""


@support.BATCHES_AND_SLOW_BEAM
def test_curves_of_one_class_are_undefined_without_any_plot(
    tmp_path: Path, digit_examples: Path, digit_schema: Path, beam_options: list[str]
) -> None:
    model = support.save(support.DigitModel(accuracy=0.9), tmp_path / "model")
    (tmp_path / "curves.pbtxt").write_text(CURVES)
    arguments = support.arguments(
        digit_examples, model, digit_schema, tmp_path / "curves.pbtxt", beam_options=beam_options
    )
    metadata, blessing = evaluate(tmp_path, **arguments)
    names = {f"{name} {of}" for name in ("auc", "pr", "recall_at_precision") for of in ("class 0", "class 3", "macro")}
    assert names <= metadata["metrics"].keys()
    assert metadata["metrics"]["auc macro"] == pytest.approx(
        (metadata["metrics"]["auc class 0"] + metadata["metrics"]["auc class 3"]) / 2
    )
    by_slice = {entry.name: entry for entry in load(tmp_path / "out" / "evaluation", Counts()).slices}
    for digit in range(10):
        entry = by_slice[f"label={digit}"]
        assert len(entry.values) == 9
        assert {entry.defined(key) for key in entry.values} == {None}
    reasons = {outcome["slice"]: outcome["passed"] for outcome in blessing["thresholds"]}
    assert (reasons["overall"], reasons["label=3"]) == (True, False)
    assert "auc class 0 is not defined: a class that it needs has no examples (label=0)" in blessing["reason"]


@pytest.mark.parametrize(
    ("metric", "beam_options"),
    [
        ("MeanAbsoluteError", []),
        ("AUC", []),
        ('MajorityLift" module: "components.evaluate.metrics', []),
        pytest.param("MeanAbsoluteError", ["--runner=FnApiRunner"], marks=pytest.mark.slow),
        pytest.param("AUC", ["--runner=FnApiRunner"], marks=pytest.mark.slow),
    ],
)
def test_examples_without_a_label_are_told_whatever_the_metric_makes_of_them(
    tmp_path: Path, house_schema: Path, house_model: Path, metric: str, beam_options: list[str]
) -> None:
    rows = [row | {"size": 2.75, "price": float(index % 2)} for index, row in enumerate(support.houses(60))]
    for row in rows[40:47]:
        row["price"] = math.nan
    examples = support.write_split(tmp_path / "examples", "eval", rows)
    config = tmp_path / "evaluation.pbtxt"
    config.write_text(
        'model_specs { signature_name: "from_examples" label_key: "price_xf" '
        'preprocessing_function_names: "transform_features" } '
        f'metrics_specs {{ metrics {{ class_name: "{metric}" }} }}'
    )
    arguments = support.arguments(examples, house_model, house_schema, config, beam_options=beam_options)
    with pytest.raises(InputError, match=r"the label 'price_xf' is NaN in 7 of 60 examples.*: fill it in or leave"):
        evaluate(tmp_path, **arguments)


def test_examples_without_their_weight_are_told(tmp_path: Path, trip_schema: Path, good_model: Path) -> None:
    rows = support.trips(60)
    rows[3]["fare"] = rows[50]["fare"] = None
    examples = support.write_split(tmp_path / "examples", "eval", rows)
    config = tmp_path / "evaluation.pbtxt"
    config.write_text(TRIPS.replace("model_specs {", 'model_specs { example_weight_key: "fare"', 1))
    with pytest.raises(InputError, match="the example weight 'fare' is missing in 2 of 60 examples"):
        evaluate(tmp_path, **support.arguments(examples, good_model, trip_schema, config))


@pytest.mark.parametrize("average", ["macro_average", "weighted_macro_average"])
def test_a_class_without_weight_may_be_absent(tmp_path: Path, digit_schema: Path, average: str) -> None:
    model = support.save(support.DigitModel(accuracy=0.9), tmp_path / "model")
    rows = [{"label": index % 9, "luck": (index * 7919 % 100) / 100} for index in range(180)]
    examples = support.write_split(tmp_path / "examples", "eval", rows)
    weights = " ".join(f"class_weights {{ key: {number} value: {float(number < 9)} }}" for number in range(10))
    config = tmp_path / "evaluation.pbtxt"
    config.write_text(
        'model_specs { signature_name: "from_examples" label_key: "label_xf" '
        'preprocessing_function_names: "transform_features" } '
        f'metrics_specs {{ aggregate {{ {average}: true {weights} }} metrics {{ class_name: "AUC" '
        "threshold { value_threshold { lower_bound { value: 0.5 } } } } }"
    )
    _, blessing = evaluate(tmp_path, **support.arguments(examples, model, digit_schema, config))
    assert blessing["blessed"] is True, blessing["reason"]
    assert 0.5 < blessing["thresholds"][0]["value"] < 1


def test_the_cause_is_named_where_a_slice_is_smaller_than_asked(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path
) -> None:
    config = tmp_path / "evaluation.pbtxt"
    config.write_text(
        'model_specs { signature_name: "from_examples" label_key: "tips_xf" '
        'preprocessing_function_names: "transform_features" } '
        'slicing_specs {} slicing_specs { feature_keys: "trip_start_hour" } options { min_slice_size { value: 300 } } '
        'metrics_specs { metrics { class_name: "BinaryAccuracy" '
        "threshold { value_threshold { lower_bound { value: 0.5 } } } } }"
    )
    _, blessing = evaluate(tmp_path, **support.arguments(trip_examples, good_model, trip_schema, config))
    assert blessing["blessed"] is False
    assert blessing["reason"].startswith(
        "binary_accuracy was not computed: the slice has 200 examples, min_slice_size is 300 (trip_start_hour=0)"
    )


@pytest.mark.parametrize(("bound", "blessed"), [(0.5, True), (0.999, False)])
@support.BATCHES_AND_SLOW_BEAM
def test_thresholds_in_the_map_of_a_metrics_specs(
    tmp_path: Path,
    trip_examples: Path,
    trip_schema: Path,
    good_model: Path,
    bound: float,
    blessed: bool,
    beam_options: list[str],
) -> None:
    config = tmp_path / "evaluation.pbtxt"
    config.write_text(
        'model_specs { signature_name: "from_examples" label_key: "tips_xf" '
        'preprocessing_function_names: "transform_features" } '
        'metrics_specs { metrics { class_name: "BinaryAccuracy" } '
        f'thresholds {{ key: "binary_accuracy" value {{ value_threshold {{ lower_bound {{ value: {bound} }} }} }} }} }}'
    )
    arguments = support.arguments(trip_examples, good_model, trip_schema, config, beam_options=beam_options)
    _, blessing = evaluate(tmp_path, **arguments)
    assert blessing["blessed"] is blessed, blessing["reason"]
    assert blessing["thresholds"][0]["value"] > 0.5


@pytest.mark.parametrize("baseline", [False, True])
def test_the_model_that_cannot_read_the_examples_is_named(
    tmp_path: Path, house_schema: Path, house_model: Path, baseline: bool
) -> None:
    rows = support.houses(60)
    del rows[7]["weight"]
    examples = support.write_split(tmp_path / "examples", "eval", rows)
    config = tmp_path / "evaluation.pbtxt"
    config.write_text(
        'model_specs { signature_name: "from_examples" label_key: "price_xf" '
        'preprocessing_function_names: "transform_features" } '
        'metrics_specs { metrics { class_name: "MeanAbsoluteError" } }'
    )
    who = "the baseline, which is the model in service," if baseline else "the model"
    candidate = support.save(TolerantModel(), tmp_path / "model") if baseline else house_model
    arguments = support.arguments(examples, candidate, house_schema, config, baseline=house_model if baseline else None)
    with pytest.raises(InputError, match=rf"^{who} cannot read the examples: .*weight.*leave_out_without"):
        evaluate(tmp_path, **arguments)


class TolerantModel(support.HouseModel):
    """A house without a weight is no matter to it."""

    def _parse(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = {name: tf.io.FixedLenFeature([], tf.float32, 0.0) for name in ("size", "price", "weight")}
        return tf.io.parse_example(examples, spec | {"town": tf.io.FixedLenFeature([], tf.string)})
