"""Metrics that do not fit are told before any work and without a value of an example; the others are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_model_analysis.proto import config_pb2

from components.runtime.errors import InputError
from components.runtime.evaluation.computation import fitting
from components.runtime.evaluation.configuration.reading import with_baseline
from runners.settings import evaluation_file
from scripts.pages import metrics_page
from tests.components.evaluate import evaluation_support as support
from tests.components.evaluate.configuration.test_eval_configs import evaluate

SPEC = 'model_specs { signature_name: "from_examples" preprocessing_function_names: "transform_features" %s } '
R2 = 'slicing_specs {} metrics_specs { metrics { class_name: "R2Score" } metrics { class_name: "MeanSquaredError" } }'


def r2() -> float:
    """1 - MSE/variance of the houses, worked out without TFMA."""
    price = np.array([row["price"] for row in support.houses(260)])
    predicted = np.array([row["size"] * 2 - 5 for row in support.houses(260)])
    return float(1 - np.mean((price - predicted) ** 2) / price.var())


@pytest.mark.parametrize(
    ("label", "beam_options"),
    [
        ("price_xf", []),
        pytest.param("price_xf", ["--runner=FnApiRunner"], marks=pytest.mark.slow),
        pytest.param("price", [], marks=pytest.mark.slow),
    ],
    ids=["batches", "Beam", "raw label"],
)
def test_r2_is_the_same_on_all_ways(
    tmp_path: Path, house_examples: Path, house_schema: Path, house_model: Path, label: str, beam_options: list[str]
) -> None:
    text = SPEC % f'label_key: "{label}"' + R2
    outputs, _ = evaluate(tmp_path, text, house_examples, house_model, house_schema, beam_options=beam_options)
    assert outputs["metrics"]["r2_score"] == pytest.approx(r2(), abs=1e-6)
    assert outputs["evaluation"]["rows"] == 260


def test_labels_of_several_outputs(
    tmp_path: Path, house_examples: Path, house_schema: Path, two_headed_model: Path
) -> None:
    labels = (
        'label_keys { key: "price" value: "price_xf" } label_keys { key: "dear" value: "dear_xf" } '
        'example_weight_keys { key: "price" value: "weight" }'
    )
    text = SPEC % labels + (
        'metrics_specs { output_names: "price" metrics { class_name: "MeanSquaredError" } } '
        'metrics_specs { output_names: "dear" metrics { class_name: "AUC" } }'
    )
    outputs, _ = evaluate(tmp_path, text, house_examples, two_headed_model, house_schema)
    rows = support.houses(260)
    weights = np.array([row["weight"] for row in rows])
    errors = np.array([(row["price"] - row["size"] * 2 + 5) ** 2 for row in rows])
    found = outputs["metrics"]["price/mean_squared_error example-weighted"]
    assert found == pytest.approx((errors * weights).sum() / weights.sum())
    assert outputs["metrics"]["dear/auc"] > 0.99


PRICE = 'label_key: "price_xf"'
HEADS = 'label_keys { key: "price" value: "price_xf" }'


@pytest.mark.parametrize(
    ("spec", "metrics", "message"),
    [
        ('label_key: "town"', 'metrics { class_name: "MeanSquaredError" }', "label_key 'town' is text"),
        ('label_key: "town_xf"', 'metrics { class_name: "MeanSquaredError" }', "label_key 'town_xf' is text"),
        (
            PRICE,
            'metrics { class_name: "MeanSquaredError" } metrics { class_name: "AUC" }',
            r"metric 'AUC' does not fit the model: labels are floats of shape \[1\], predictions floats of shape \[1\] "
            r"\(label must be within \[0, 1\]\)",
        ),
        (
            PRICE,
            'metrics { class_name: "SparseCategoricalCrossentropy" }',
            "metric 'SparseCategoricalCrossentropy' does not fit the model",
        ),
    ],
)
def test_what_does_not_fit_is_told_before_any_work(
    tmp_path: Path,
    house_examples: Path,
    house_schema: Path,
    house_model: Path,
    capsys: pytest.CaptureFixture[str],
    spec: str,
    metrics: str,
    message: str,
) -> None:
    with pytest.raises(InputError, match=message) as raised:
        evaluate(tmp_path, SPEC % spec + f"metrics_specs {{ {metrics} }}", house_examples, house_model, house_schema)
    assert "260 examples" not in capsys.readouterr().out
    assert "\n" not in str(raised.value).strip()
    for row in support.houses(40):
        assert str(row["price"]) not in str(raised.value)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ('metrics { class_name: "MeanSquaredError" }', "a metrics_specs names no output_names.*one of: dear, price"),
        ('output_names: "prise" metrics { class_name: "MeanSquaredError" }', "output_names 'prise' is no output"),
        ('output_names: "dear" metrics { class_name: "AUC" }', "label_keys has no label of the output 'dear'"),
    ],
)
def test_outputs_that_do_not_fit_are_told(
    tmp_path: Path, house_examples: Path, house_schema: Path, two_headed_model: Path, metrics: str, message: str
) -> None:
    text = SPEC % HEADS + f"metrics_specs {{ {metrics} }}"
    with pytest.raises(InputError, match=message):
        evaluate(tmp_path, text, house_examples, two_headed_model, house_schema)


def test_cross_entropy_leaves_the_predictions_to_other_metrics() -> None:
    labels, scores = metrics_page.rows("multi-label")
    before = scores.copy()
    config = metrics_page.config_of(["CategoricalCrossEntropy", "MeanPrediction"], "")
    fitting.measure(with_baseline(config, False), fitting.extracts({"": (labels, scores)}))
    assert (scores == before).all()


WRAPPED = "{{function_node __wrapped__X_device_/job:localhost/replica:0/task:0/device:CPU:0}} %s [Op:X] name: "


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("label must be within [0, 1]: label=[7.], prediction=[3.]"), "label must be within [0, 1]"),
        (ValueError("TF Metric r2 fails to update with inputs:\n([array([4.])])"), "TF Metric r2 fails to update with"),
        (ValueError("f() failed for 'Jane', array([7.]) and 3.5"), "f() failed for …, …"),
        (ValueError("bad name b'Jane Doe' in [12.5 99.0]"), "bad name … in …"),
        (ValueError("bad name b\"Jane O'Neill\" isn't 'Jane'"), "bad name … isn't …"),
        (ValueError("price -4,711.25 and 1e-7 of row_99"), "price … and … of row_99"),
        (ValueError("Shapes (72,) and (24, 1) are incompatible"), "Shapes (72,) and (24, 1) are incompatible"),
        (ValueError('"attributions" key not found in extracts.'), '"attributions" key not found in extracts'),
        (ValueError('"Jane" key not found in extracts.'), "… key not found in extracts"),
        (TypeError("f() missing 1 required positional argument: 'recall'"), None),
        (TypeError("f() missing 3 required positional arguments: 'class_ids', 'truth', and 'prediction_key'"), None),
        (TypeError("f() got an unexpected keyword argument 'feature_key'"), None),
        (TypeError("'numpy.int64' object is not iterable"), None),
        (
            WRAPPED % "Received a label value of 99 which is outside the valid range of [0, 1).  Label values: 0 1 0 1",
            "Received a label value of … which is outside the valid range of [0, 1)",
        ),
        (
            WRAPPED % "Cannot update variable with shape [1] using a Tensor with shape [24,1], shapes must be equal.",
            "Cannot update variable with shape [1] using a Tensor with shape [24,1], shapes must be equal",
        ),
        (
            WRAPPED % "StringToNumberOp could not correctly convert string: Jane Doe",
            "StringToNumberOp could not correctly convert string",
        ),
        (
            "{{function_node __inference_f_6}} Name: <unknown>, Key: od280/od315 (cm), Index: 7.  Data types don't "
            "match. Data type: string but expected type: float\n\t [[{{node ParseExample}}]] [Op:__inference_f_6]",
            "Key: od280/od315 (cm). Data types don't match. Data type: string but expected type: float",
        ),
        (ValueError("it is odd [while running 'Decode[eval]/A[b]'] [while running 'C']"), "it is odd"),
        (WRAPPED % "indices[0,0] = 4711 is not in [0, 2)", "indices… = … is not in [0, 2)"),
        (
            "Graph execution error:\n\nDetected at node Assert defined at (most recent call last):\n"
            "<stack traces unavailable>\nassertion failed: [Jane] [4711]\n\t [[{{node Assert}}]]",
            "assertion failed",
        ),
        ("prices differ\nCondition x == y did not hold.\nFirst 1 elements of x:\n[4711]", "prices differ"),
    ],
)  # fmt: skip
def test_no_value_of_an_example_is_told(error: Exception | str, told: str | None) -> None:
    """Without `told` the whole message is; texts are those of TensorFlow's operations."""
    raised = tf.errors.InvalidArgumentError(None, None, error) if isinstance(error, str) else error
    assert fitting.reason(raised) == (str(error) if told is None else told)


def test_what_the_model_cannot_read_is_told_without_values(
    tmp_path: Path, house_schema: Path, house_model: Path
) -> None:
    """A file of another type than the model was made for."""
    rows = [{**row, "price": "Jane Doe"} for row in support.houses(40)]
    examples = support.write_split(tmp_path / "named", "eval", rows)
    text = SPEC % PRICE + 'metrics_specs { metrics { class_name: "MeanSquaredError" } }'
    with pytest.raises(InputError) as told:
        evaluate(tmp_path, text, examples, house_model, house_schema)
    assert str(told.value).startswith("the model cannot read the examples: Key: price. Data types don't match")
    assert "Jane" not in str(told.value)


FAST: dict[str, dict[str, Any]] = {
    "AUC": {"binary": "both", "regression": "label must be within [0, 1]"},
    "R2Score": {"regression": "both"},
    "SparseCategoricalAccuracy": {"multi-class": "both"},
    "SparseTopKCategoricalAccuracy": {"multi-class": "both"},
    "TopKCategoricalAccuracy": {"multi-label": "both"},
    "NDCG": {"ranking": "Beam"},
}


def test_some_metrics_are_as_the_page_says() -> None:
    lines = metrics_page.PAGE.read_text().splitlines()
    for name, tasks in FAST.items():
        assert {task: metrics_page.outcome(name, task) for task in tasks} == tasks
        assert any(line.startswith(f"| `{name}` | `{metrics_page.name_here(name)}` |") for line in lines)
    assert sum(line.startswith("| `") for line in lines) == len(metrics_page.names())


def test_what_is_looked_at_before_a_run_is_as_here() -> None:
    assert evaluation_file.METRIC_NAMES.read_text().split() == metrics_page.names()
    assert set(evaluation_file.FIELDS) == set(config_pb2.EvalConfig.DESCRIPTOR.fields_by_name)


@pytest.mark.slow
def test_every_metric_is_as_the_page_says() -> None:
    assert metrics_page.main(["--check"]) == 0
