"""EvalConfigs of every shape that TFMA takes: the same values as from TFMA itself, and every record counted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_model_analysis.proto import config_pb2

from components.runtime.errors import InputError
from components.runtime.evaluation.computation.counts import Counts
from components.runtime.evaluation.computation.result_files import load
from components.runtime.evaluation.configuration import metrics as configuration
from components.runtime.evaluation.configuration import reading
from tests.components.evaluate import evaluation_support as support

TRIPS = (
    'model_specs { signature_name: "from_examples" preprocessing_function_names: "transform_features" '
    'label_key: "tips_xf" %s } '
)


def evaluate(tmp_path: Path, text: str, *artifacts: Path, **arguments: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metadata of the outputs, and blessing.json; the artifacts are examples, model and schema."""
    (tmp_path / "evaluation.pbtxt").write_text(text)
    rows = arguments.pop("rows", None)
    given = support.arguments(*artifacts, tmp_path / "evaluation.pbtxt", **arguments)
    metadata = {"examples": {"rows_eval": rows}} if rows else {}
    outputs = support.evaluate_in_process(tmp_path / "out", **given, metadata=metadata)
    return outputs, json.loads((tmp_path / "out" / "blessing" / "blessing.json").read_text())


def measured(tmp_path: Path) -> dict[str, Any]:
    """What the stage measured, by slice and TFMA's key."""
    return {entry.name: entry.values for entry in load(tmp_path / "out" / "evaluation", Counts()).slices}


@pytest.mark.slow
def test_weighted_metrics_and_a_count_under_weights(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path
) -> None:
    text = TRIPS % 'example_weight_key: "trip_start_hour"' + (
        'slicing_specs {} slicing_specs { feature_keys: "payment_type" } metrics_specs { '
        "example_weights { weighted: true unweighted: true } "
        'metrics { class_name: "ExampleCount" } metrics { class_name: "BinaryAccuracy" threshold { '
        "value_threshold { lower_bound { value: 0.5 } } } } }"
    )
    outputs, blessing = evaluate(tmp_path, text, trip_examples, good_model, trip_schema, rows=600.0)
    assert outputs["evaluation"]["rows"] == 600
    page = (tmp_path / "out" / "report").read_text()
    assert "rows 600" in page
    directly = support.tfma_directly(text, trip_examples, trip_schema, {"": good_model}, tmp_path / "tfma")
    assert measured(tmp_path) == directly
    rows = support.trips(600)
    weights = np.array([row["trip_start_hour"] for row in rows], dtype=float)
    right = np.array([(row["payment_type"] == "Credit Card") == (row["tips"] > 2) for row in rows])
    assert outputs["metrics"] == {
        "example_count": 600,
        "example_count example-weighted": weights.sum(),
        "binary_accuracy": pytest.approx(right.mean()),
        "binary_accuracy example-weighted": pytest.approx((right * weights).sum() / weights.sum()),
    }
    # Each has its threshold, in each slice, and its column.
    judged = {outcome["metric"] for outcome in blessing["thresholds"]}
    assert judged == {"binary_accuracy", "binary_accuracy example-weighted"}
    assert len(blessing["thresholds"]) == 2 * 3


@pytest.mark.slow
def test_a_count_of_queries_is_no_count_of_records(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path
) -> None:
    text = TRIPS % "" + (
        'slicing_specs {} metrics_specs { query_key: "trip_start_hour" metrics { class_name: "ExampleCount" } } '
        'metrics_specs { metrics { class_name: "BinaryAccuracy" } }'
    )
    outputs, _ = evaluate(tmp_path, text, trip_examples, good_model, trip_schema, rows=600.0)
    assert (outputs["evaluation"]["rows"], outputs["metrics"]["example_count"]) == (600, 3)


@support.BATCHES_AND_SLOW_BEAM
def test_records_are_counted_without_a_metric_for_it(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path, beam_options: list[str]
) -> None:
    text = TRIPS % "" + (
        'slicing_specs {} slicing_specs { feature_keys: "payment_type" } '
        'metrics_specs { metrics { class_name: "BinaryAccuracy" } }'
    )
    outputs, _ = evaluate(tmp_path, text, trip_examples, good_model, trip_schema, beam_options=beam_options)
    assert (outputs["evaluation"]["rows"], outputs["evaluation"]["slices"]) == (600, 3)
    page = (tmp_path / "out" / "report").read_text()
    assert "rows 600" in page
    assert "binary_accuracy and number of examples by payment_type" in page


def test_examples_that_were_not_read_are_told_without_a_metric_for_it(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path
) -> None:
    text = TRIPS % "" + 'metrics_specs { metrics { class_name: "BinaryAccuracy" } }'
    with pytest.raises(InputError, match="an examples file is damaged: 600 of 601 examples could be read"):
        evaluate(tmp_path, text, trip_examples, good_model, trip_schema, rows=601.0)


PAIR = 'cross_slicing_specs { baseline_spec {} slicing_specs { feature_values { key: "payment_type" value: "Cash" } } }'
EVERY_PAIR = "cross_slicing_specs { baseline_spec {} }"
BOUND = "cross_slice_thresholds { %s threshold { value_threshold { %s } } }"
WITHIN, LOWER = "lower_bound { value: -1 } upper_bound { value: 1 }", "upper_bound { value: -0.5 }"


@pytest.mark.slow
def test_thresholds_on_pairs_of_slices(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path
) -> None:
    text = TRIPS % "" + (
        f'slicing_specs {{}} slicing_specs {{ feature_keys: "payment_type" }} {EVERY_PAIR} '
        f'metrics_specs {{ metrics {{ class_name: "BinaryAccuracy" {BOUND % (PAIR, WITHIN)} }} '
        f'metrics {{ class_name: "Prevalence" {BOUND % (EVERY_PAIR, WITHIN)} }} }}'
    )
    outputs, blessing = evaluate(tmp_path, text, trip_examples, good_model, trip_schema)
    assert outputs["blessing"]["reason"].startswith("all 3 thresholds hold")
    assert [outcome["slice"] for outcome in blessing["thresholds"]] == [
        "overall against payment_type=Cash",
        "overall against payment_type=Cash",
        "overall against payment_type=Credit Card",
    ]
    directly = support.tfma_directly(text, trip_examples, trip_schema, {"": good_model}, tmp_path / "tfma")
    assert measured(tmp_path) == directly


@pytest.mark.slow
def test_a_threshold_on_a_pair_of_slices_that_does_not_hold(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path
) -> None:
    text = TRIPS % "" + (
        f'slicing_specs {{}} slicing_specs {{ feature_keys: "payment_type" }} {PAIR} '
        f'metrics_specs {{ metrics {{ class_name: "BinaryAccuracy" {BOUND % (PAIR, LOWER)} }} }}'
    )
    _, blessing = evaluate(tmp_path, text, trip_examples, good_model, trip_schema)
    assert blessing["blessed"] is False
    assert "> -0.5 (overall against payment_type=Cash)" in blessing["reason"]


AUC = (
    'slicing_specs {} metrics_specs { %s metrics { class_name: "AUC" threshold { '
    "value_threshold { lower_bound { value: 0.6 } } "
    "change_threshold { direction: HIGHER_IS_BETTER absolute { value: -0.01 } } } } }"
)


@pytest.mark.parametrize(
    ("specs", "metrics"),
    [
        (TRIPS % 'name: "candidate"', 'model_names: "candidate"'),
        (TRIPS % 'name: "mine"', ""),
        (TRIPS % 'name: "new"' + TRIPS % 'name: "old" is_baseline: true', 'model_names: "new" model_names: "old"'),
        (TRIPS % "" + TRIPS % "is_baseline: true", ""),
    ],
)
@pytest.mark.parametrize("has_baseline", [False, True])
def test_models_of_any_name(
    tmp_path: Path,
    trip_examples: Path,
    trip_schema: Path,
    good_model: Path,
    hour_model: Path,
    specs: str,
    metrics: str,
    has_baseline: bool,
) -> None:
    baseline = hour_model if has_baseline else None
    _, blessing = evaluate(tmp_path, specs + AUC % metrics, trip_examples, good_model, trip_schema, baseline=baseline)
    assert blessing["blessed"] is True
    assert [outcome["passed"] for outcome in blessing["thresholds"]] == [True, True if has_baseline else None]


SLICED = TRIPS % "" + 'slicing_specs { feature_keys: "trip_start_hour" } '


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            TRIPS % 'name: "a"' + TRIPS % 'name: "b"' + AUC % "",
            "give one model_specs, to which a baseline is added where there is one, or one for the candidate",
        ),
        (
            TRIPS % 'name: "a"' + TRIPS % 'name: "a" is_baseline: true' + AUC % "",
            "candidate and baseline are both called 'a' in model_specs",
        ),
        (TRIPS % 'name: "a"' + AUC % 'model_names: "c"', "model_names 'c' in metrics_specs .*there is: a"),
        (
            TRIPS % "" + 'slicing_specs { feature_keys: "fare" feature_values { key: "fare" value: "10" } } '
            'metrics_specs { metrics { class_name: "AUC" } }',
            "a slicing spec has 'fare' in both feature_keys and feature_values",
        ),
        (
            TRIPS % "" + 'slicing_specs { slice_keys_sql: "SELECT STRUCT(fare) FROM example" } '
            'metrics_specs { metrics { class_name: "AUC" } }',
            "slice_keys_sql needs a tfx-bsl with SQL",
        ),
        (
            SLICED + 'metrics_specs { metrics { class_name: "AUC" per_slice_thresholds { slicing_specs {} '
            "threshold { value_threshold { lower_bound { value: 0.6 } } } } } }",
            r"a threshold of 'AUC' is on the slice overall, which no slicing_specs asks for; add slicing_specs { }",
        ),
        (
            SLICED + f'{PAIR} metrics_specs {{ metrics {{ class_name: "AUC" }} }}',
            "cross_slicing_specs is on the slice overall, which no slicing_specs asks for",
        ),
        (
            SLICED + 'slicing_specs {} slicing_specs { feature_keys: "payment_type" } metrics_specs { metrics { '
            f'class_name: "AUC" cross_slice_thresholds {{ {PAIR} threshold {{ value_threshold {{ '
            "lower_bound { value: 0 } } } } } }",
            "a threshold of 'AUC' is on overall against payment_type=Cash, which no cross_slicing_specs asks for",
        ),
    ],
)
def test_what_cannot_be_measured_is_told_before_any_work(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path, text: str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as raised:
        evaluate(tmp_path, text, trip_examples, good_model, trip_schema)
    assert "\n" not in str(raised.value).strip()


ABOVE = "threshold { value_threshold { lower_bound { value: 0.1 } } }"
MACRO = 'metrics_specs { aggregate { macro_average: true %s } metrics { class_name: "AUC" } } '


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'metrics_specs { metrics { class_name: "AUC" config: \'"name": "m"\' } '
            f'metrics {{ class_name: "BinaryAccuracy" config: \'"name": "m"\' {ABOVE} }} }}',
            "two different metrics are called 'm' (AUC and BinaryAccuracy); give one of them another name",
        ),
        (
            'metrics_specs { metrics { class_name: "BinaryAccuracy" } } '
            'metrics_specs { metrics { class_name: "BinaryAccuracy" config: \'"threshold": 0.1\' } }',
            "two different metrics are called 'binary_accuracy'",
        ),
        (
            MACRO % "class_weights { key: 0 value: 1 }" + MACRO % "class_weights { key: 1 value: 1 }",
            "two different metrics are called 'auc'",
        ),
        (
            'metrics_specs { metrics { class_name: "AUC" threshold { value_threshold { '
            "upper_bound { value: nan } } } } }",
            "the upper_bound of a threshold of 'auc' is NaN",
        ),
        (
            'metrics_specs { metrics { class_name: "AUC" threshold { change_threshold { '
            "direction: LOWER_IS_BETTER relative { value: nan } } } } }",
            "the relative of a threshold of 'auc' is NaN",
        ),
        (
            'metrics_specs { metrics { class_name: "Precision" config: \'"thresholds": [0.3, 0.5]\' } }',
            "metric 'Precision' has 2 thresholds, and would have as many values",
        ),
        (
            'metrics_specs { metrics { class_name: "ConfusionMatrixAtThresholds" '
            "config: '\"thresholds\": [0.2, 0.2]' } }",
            "metric 'ConfusionMatrixAtThresholds' has the threshold 0.2 twice; name it once",
        ),
        (
            "options { compute_confidence_intervals { value: true } } metrics_specs { metrics { class_name: "
            '"LowerBound" module: "components.evaluate.metrics" config: \'"metric": "acu"\' } '
            'metrics { class_name: "AUC" } }',
            "LowerBound's metric 'acu' is no metric of its metrics_specs; there is: auc",
        ),
    ],
)
def test_metrics_that_would_mislead_are_told(text: str, message: str) -> None:
    config = text_format.Parse('model_specs { label_key: "y" } ' + text, config_pb2.EvalConfig())
    with pytest.raises(InputError, match=re.escape(message)):
        configuration.check_metrics("evaluation.pbtxt", config)


def test_the_same_metric_may_stand_twice() -> None:
    """For other classes, with other thresholds, or as a part of what another metric needs."""
    text = (
        'metrics_specs { metrics { class_name: "AUC" config: \'"num_thresholds": 200\' } } '
        f'metrics_specs {{ metrics {{ class_name: "AUC" config: \'{{"num_thresholds":200}}\' {ABOVE} }} }} '
        'metrics_specs { binarize { class_ids { values: [0, 1] } } metrics { class_name: "AUC" } } '
        'metrics_specs { binarize { class_ids { values: [0, 2] } } metrics { class_name: "AUC" } } '
        'metrics_specs { metrics { class_name: "Precision" config: \'"thresholds": [0.3]\' } } '
        "options { compute_confidence_intervals { value: true } } metrics_specs { metrics { class_name: "
        '"LowerBound" module: "components.evaluate.metrics" config: \'"metric": "auc"\' } '
        'metrics { class_name: "AUC" config: \'"num_thresholds": 200\' } }'
    )
    config = text_format.Parse('model_specs { label_key: "y" } ' + text, config_pb2.EvalConfig())
    configuration.check_metrics("evaluation.pbtxt", config)


def test_the_old_module_of_a_metric_is_taken_for_the_new_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "evaluation.pbtxt"
    file.write_text(
        'metrics_specs { metrics { class_name: "MajorityLift" module: "components.evaluate.lift" } '
        'metrics { class_name: "Mine" module: "mine" } metrics { class_name: "BinaryAccuracy" } }'
    )
    config = reading.read_config(str(file))
    modules = [metric.module for metric in config.metrics_specs[0].metrics]
    assert modules == ["components.evaluate.metrics", "mine", ""]
    assert capsys.readouterr().out.splitlines() == [
        f"progress: {file}: components.evaluate.lift has moved: write components.evaluate.metrics; "
        "the old path still works"
    ]
    (tmp_path / "mine.py").write_text("from tensorflow_model_analysis.metrics import AUC as Mine\n")
    configuration.check_metrics(str(file), config)
