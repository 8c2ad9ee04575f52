"""Regression: metrics, lifts and plots against numbers worked out from all rows, against TFMA, and on both ways."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.proto import config_pb2

from components.runtime.errors import InputError
from components.runtime.evaluation.computation import fitting, local, tfma_private
from components.runtime.evaluation.computation.counts import Counts
from components.runtime.evaluation.computation.result_files import load
from components.runtime.evaluation.computation.results import Plots
from components.runtime.evaluation.configuration.reading import with_baseline
from components.runtime.evaluation.metrics import regression
from components.runtime.evaluation.metrics.residuals import Errors
from tests.components.evaluate import evaluation_support as support

ROWS = support.prices(600)
LABELS = np.array([row["price"] for row in ROWS])
PREDICTIONS = (LABELS.astype(np.float32) + np.array([row["noise"] for row in ROWS], np.float32)).astype(np.float64)
WEIGHTS = np.array([row["weight"] for row in ROWS])

BEAM = ["--runner=FnApiRunner"]

HEAD = (
    'model_specs { signature_name: "from_examples" preprocessing_function_names: "transform_features" '
    'label_key: "price_xf" %s} slicing_specs {} slicing_specs { feature_keys: "district" } '
)
METRICS = """metrics_specs {
  metrics { class_name: "ExampleCount" }
  metrics { class_name: "MeanSquaredError" }
  metrics { class_name: "RootMeanSquaredError" }
  metrics { class_name: "MeanAbsoluteError" }
  metrics { class_name: "MeanAbsolutePercentageError" }
  metrics {
    class_name: "SquaredErrorLift" module: "components.evaluate.metrics"
    per_slice_thresholds { slicing_specs {} threshold { value_threshold { lower_bound { value: 1.5 } } } }
  }
  metrics {
    class_name: "AbsoluteErrorLift" module: "components.evaluate.metrics"
    per_slice_thresholds { slicing_specs {} threshold { value_threshold { lower_bound { value: 1.5 } } } }
  }
  metrics { class_name: "CalibrationPlot" config: '"num_buckets": 10, "left": 0, "right": 350' }
}"""


def expected(labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """All metrics worked out at once."""
    errors = predictions - labels
    order = np.argsort(labels)
    median = labels[order][np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)]
    spread = np.average((labels - np.average(labels, weights=weights)) ** 2, weights=weights)
    squared, absolute = np.average(errors**2, weights=weights), np.average(np.abs(errors), weights=weights)
    return {
        "mean_squared_error": squared,
        "root_mean_squared_error": math.sqrt(squared),
        "mean_absolute_error": absolute,
        "mean_absolute_percentage_error": 100 * np.average(np.abs(errors) / labels, weights=weights),
        "squared_error_lift": spread / squared,
        "absolute_error_lift": np.average(np.abs(labels - median), weights=weights) / absolute,
    }


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.write_split(tmp_path_factory.mktemp("prices") / "examples", "eval", ROWS)


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.write_schema(tmp_path_factory.mktemp("prices") / "schema", support.PRICE_FEATURES)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.save(support.PriceModel(), tmp_path_factory.mktemp("model"))


def evaluate(
    folder: Path, examples: Path, model: Path, schema: Path, metrics: str = METRICS, spec: str = "", **parameters: Any
) -> dict[str, Any]:
    """Metadata of the outputs."""
    folder.mkdir(exist_ok=True)
    (folder / "evaluation.pbtxt").write_text(HEAD % spec + metrics)
    arguments = support.arguments(examples, model, schema, folder / "evaluation.pbtxt", **parameters)
    return support.evaluate_in_process(folder / "out", **arguments)


Way = Callable[[str], tuple[Path, dict[str, Any]]]
BATCHES_AND_SLOW_BEAM = pytest.mark.parametrize("way", ["batches", pytest.param("Beam", marks=pytest.mark.slow)])


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, examples: Path, model: Path, schema: Path) -> Way:
    """Output folder and metadata by way of computing, each computed once it is asked for."""

    @functools.cache
    def by(way: str) -> tuple[Path, dict[str, Any]]:
        folder = tmp_path_factory.mktemp(way)
        options = BEAM if way == "Beam" else []
        return folder / "out", evaluate(folder, examples, model, schema, beam_options=options)

    return by


@BATCHES_AND_SLOW_BEAM
def test_metrics_against_all_rows(evaluated: Way, way: str) -> None:
    folder, metadata = evaluated(way)
    wanted = expected(LABELS, PREDICTIONS, np.ones(600))
    assert {name: metadata["metrics"][name] for name in wanted} == pytest.approx(wanted, rel=1e-6)
    lifts = {name: metadata["metrics"][name] for name in ("squared_error_lift", "absolute_error_lift")}
    assert lifts == pytest.approx({name: wanted[name] for name in lifts}, rel=1e-12)
    assert metadata["blessing"]["reason"].startswith("all 2 thresholds hold")
    for number in range(3):
        (entry,) = [part for part in load(folder / "evaluation", Counts()).slices if part.name == f"district=d{number}"]
        of_slice = expected(LABELS[number::3], PREDICTIONS[number::3], np.ones(200))
        assert {key.name: value for key, value in entry.values.items() if key.name in of_slice} == pytest.approx(
            of_slice, rel=1e-6
        )


@BATCHES_AND_SLOW_BEAM
def test_plots_against_all_rows(evaluated: Way, way: str) -> None:
    plots = load(evaluated(way)[0] / "evaluation", Counts()).plots[""]
    found = plots.regressions[""]
    assert (found.labels, found.examples, found.not_finite) == ((LABELS.min(), LABELS.max()), 600, 0)
    order = np.argsort(PREDICTIONS, kind="stable")
    for number, part in enumerate(found.parts):
        chosen = order[60 * number : 60 * (number + 1)]
        errors = PREDICTIONS[chosen] - LABELS[chosen]
        assert part.label == pytest.approx(LABELS[chosen].mean(), rel=1e-4)  # Ties on a border are divided.
        assert (part.low, part.high) == (PREDICTIONS[chosen].min(), PREDICTIONS[chosen].max())
        assert (part.mae, part.rmse) == pytest.approx((np.abs(errors).mean(), np.sqrt((errors**2).mean())), rel=1e-2)
    assert found.residuals[1] == np.histogram(PREDICTIONS - LABELS, bins=40)[0].tolist()
    # TFMA's own calibration, in the labels' range.
    assert max(point[1] for point in plots.calibration) > 300
    assert sum(point[2] for point in plots.calibration) == 600


@pytest.mark.slow
def test_both_ways_are_equal(evaluated: Way) -> None:
    one, other = (load(evaluated(way)[0] / "evaluation", Counts()) for way in ("batches", "Beam"))
    for entry, twin in zip(one.slices, other.slices, strict=True):
        assert entry.key == twin.key
        assert {key.name: value for key, value in entry.values.items()} == pytest.approx(
            {key.name: value for key, value in twin.values.items()}, rel=1e-6
        )
    left, right = (json.loads(results.plots[""].regressions[""].to_json()) for results in (one, other))
    assert _flat(left) == pytest.approx(_flat(right), rel=1e-9)


def _flat(value: Any) -> list[float]:
    if isinstance(value, dict | list):
        entries = value.values() if isinstance(value, dict) else sorted(value, key=str)
        return [number for entry in entries for number in _flat(entry)]
    return [float(value)]


@pytest.fixture(scope="module")
def tfmas_own() -> dict[str, float]:
    """Metrics over all examples, with weights, as TFMA called directly computes them."""
    frame = pd.DataFrame({"label": LABELS, "prediction": PREDICTIONS, "weight": WEIGHTS})
    spec = 'model_specs { label_key: "label" prediction_key: "prediction" example_weight_key: "weight" } '
    direct = tfma.analyze_raw_data(frame, text_format.Parse(spec + METRICS, config_pb2.EvalConfig()))
    return {name: value["doubleValue"] for name, value in direct.get_metrics_for_slice(()).items()}


@pytest.mark.slow
def test_equal_to_tfma_called_directly(tfmas_own: dict[str, float]) -> None:
    wanted = expected(LABELS, PREDICTIONS, WEIGHTS)
    assert {name: tfmas_own[name] for name in wanted} == pytest.approx(wanted, rel=1e-6)


@support.BATCHES_AND_SLOW_BEAM
def test_weights_are_counted_by_the_lifts_and_the_plots_too(
    tmp_path: Path, examples: Path, model: Path, schema: Path, beam_options: list[str]
) -> None:
    found = evaluate(
        tmp_path, examples, model, schema, spec='example_weight_key: "weight_xf" ', beam_options=beam_options
    )
    wanted = expected(LABELS, PREDICTIONS, WEIGHTS)
    assert {name: found["metrics"][f"{name} example-weighted"] for name in wanted} == pytest.approx(wanted, rel=1e-6)
    weighted = load(tmp_path / "out" / "evaluation", Counts()).plots[""].regressions[""]
    assert weighted.rmse == pytest.approx(wanted["root_mean_squared_error"])
    assert sum(weighted.residuals[1]) + weighted.outside == pytest.approx(WEIGHTS.sum())


@BATCHES_AND_SLOW_BEAM
def test_the_report_shows_the_labels_range_and_no_roc(evaluated: Way, way: str) -> None:
    folder, metadata = evaluated(way)
    page = (folder / "report").read_text()
    assert "ROC" not in page
    for words in ("Regression", "By decile of the prediction", "Labels from 25 to ", "predictions against labels"):
        assert words in page
    assert {"confidenceMetrics", "confusionMatrix"} & metadata["classification"].keys() == set()


@support.BATCHES_AND_SLOW_BEAM
@pytest.mark.parametrize(
    ("scale", "noise", "bias", "lifts", "reason"),
    [
        (0.0, 0.0, float(LABELS.mean()), (1.0, None), "squared_error_lift 1 < 1.5 (overall)"),
        (0.0, 0.0, float(np.sort(LABELS)[299]), (None, 1.0), "squared_error_lift 0.9"),
        (1.0, 0.0, 0.0, (None, None), "squared_error_lift is infinite (overall)"),
        (math.inf, 0.0, 0.0, (0.0, 0.0), "squared_error_lift 0 < 1.5 (overall)"),
    ],
    ids=["mean", "median", "perfect", "infinite"],
)
def test_lifts_of_constants_and_extremes(
    tmp_path: Path,
    examples: Path,
    schema: Path,
    beam_options: list[str],
    scale: float,
    noise: float,
    bias: float,
    lifts: tuple[float | None, float | None],
    reason: str,
) -> None:
    made = support.save(support.PriceModel(scale, noise, bias), tmp_path / "model")
    metadata = evaluate(tmp_path, examples, made, schema, beam_options=beam_options)
    assert not metadata["blessing"]["blessed"]
    assert metadata["blessing"]["reason"].startswith(reason)
    for name, wanted in zip(("squared_error_lift", "absolute_error_lift"), lifts, strict=True):
        if wanted is not None:
            assert metadata["metrics"][name] == pytest.approx(wanted, rel=1e-6)
    if math.isinf(scale):
        # Not one of the predictions can be drawn.
        assert "By decile" not in (tmp_path / "out" / "report").read_text()


def test_against_a_baseline(tmp_path: Path, examples: Path, model: Path, schema: Path) -> None:
    worse = support.save(support.PriceModel(noise=3.0), tmp_path / "model")
    evaluate(tmp_path, examples, model, schema, baseline=worse)
    plots = load(tmp_path / "out" / "evaluation", Counts()).plots
    assert plots["baseline"].regressions[""].rmse == pytest.approx(
        3 * plots["candidate"].regressions[""].rmse, rel=1e-4
    )
    page = (tmp_path / "out" / "report").read_text()
    assert "By decile of the prediction (candidate)" in page


def _both(metrics: str, labels: np.ndarray, predictions: np.ndarray) -> list[dict[str, float]]:
    """Metrics by name, by single examples and by batches, of labels and predictions of shape [rows]."""
    config = with_baseline(text_format.Parse(HEAD % "" + metrics, config_pb2.EvalConfig()), False)
    rows = {"": (labels[:, np.newaxis], predictions[:, np.newaxis])}
    computations = tfma_private.computations(config, schema_pb2.Schema())
    values: dict[Any, Any] = {}
    for computation in computations.non_derived_computations:
        computation.combiner.setup()
        added = local._added(computation.combiner, computation.combiner.create_accumulator(), rows)
        values |= computation.combiner.extract_output(added)
    found = fitting.measure(config, fitting.extracts(rows)), local.derive(values, computations, None)
    return [{key.name: float(value) for key, value in way.items() if np.ndim(value) == 0} for way in found]


@pytest.mark.parametrize(("offset", "spread"), [(2e3, 5), (1e5, 1), (1.7e9, 1e5), (-1e6, 100)])
def test_r2_of_labels_far_from_zero(offset: float, spread: float) -> None:
    """float32 sums of squares leave nothing of labels that differ little: years, times, sizes of the same kind."""
    random = np.random.default_rng(5)
    labels, unrelated = random.normal(offset, spread, (2, 1000)).astype(np.float32)
    near = (labels + random.normal(0, spread / 3, 1000)).astype(np.float32)
    mean = np.full(1000, labels.astype(np.float64).mean())
    for predictions in (unrelated, near, mean):
        errors = labels.astype(np.float64) - predictions
        wanted = 1 - np.mean(errors**2) / labels.astype(np.float64).var()
        for found in _both('metrics_specs { metrics { class_name: "R2Score" } }', labels, predictions):
            assert found["r2_score"] == pytest.approx(wanted, abs=1e-9)


def test_r2_without_a_value() -> None:
    metrics = 'metrics_specs { metrics { class_name: "R2Score" } }'
    labels = np.array([1.0, 2.0, 3.0])
    for found in _both(metrics, np.full(3, 7.1), labels):
        assert math.isnan(found["r2_score"])
    for found in _both(metrics, labels, np.array([1.0, math.inf, 3.0])):
        assert found["r2_score"] == -math.inf


def test_keras_tells_large_integers_apart() -> None:
    labels = 2**40 + np.arange(300)
    predictions = np.full(300, 2.0**40)
    metrics = 'metrics { class_name: "RootMeanSquaredError" } metrics { class_name: "MeanAbsoluteError" }'
    for found in _both(f"metrics_specs {{ {metrics} }}", labels, predictions):
        assert found["root_mean_squared_error"] == pytest.approx(np.sqrt(np.mean(np.arange(300.0) ** 2)))
        assert found["mean_absolute_error"] == pytest.approx(149.5)


@support.BATCHES_AND_SLOW_BEAM
def test_several_numbers_per_example_are_told(
    tmp_path: Path, digit_examples: Path, digit_schema: Path, beam_options: list[str]
) -> None:
    made = support.save(support.DigitModel(accuracy=0.9), tmp_path / "model")
    spec = HEAD.replace("price_xf", "label_xf").replace("district", "label_xf") % ""
    lift = 'metrics { class_name: "AbsoluteErrorLift" module: "components.evaluate.metrics" }'
    (tmp_path / "evaluation.pbtxt").write_text(spec + "metrics_specs { " + lift + " }")
    arguments = support.arguments(
        digit_examples, made, digit_schema, tmp_path / "evaluation.pbtxt", beam_options=beam_options
    )
    with pytest.raises(InputError, match=r"absolute_error_lift: predictions of shape \[10\] are not one number per"):
        support.evaluate_in_process(tmp_path / "out", **arguments)
    # Plots that nobody asked for are left out in silence.
    (tmp_path / "evaluation.pbtxt").write_text(
        spec + 'metrics_specs { metrics { class_name: "MeanSquaredError" } metrics { class_name: "ExampleCount" } }'
    )
    support.evaluate_in_process(tmp_path / "plain", **arguments)
    assert "Regression" not in (tmp_path / "plain" / "report").read_text()


def test_labels_of_a_classification_have_no_section_of_a_regression(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path
) -> None:
    text = HEAD.replace("price_xf", "tips_xf").replace("district", "payment_type") % ""
    metrics = 'metrics { class_name: "MeanSquaredError" } metrics { class_name: "ConfusionMatrixPlot" }'
    (tmp_path / "evaluation.pbtxt").write_text(text + "metrics_specs { " + metrics + " }")
    metadata = support.evaluate_in_process(
        tmp_path / "out", **support.arguments(trip_examples, good_model, trip_schema, tmp_path / "evaluation.pbtxt")
    )
    page = (tmp_path / "out" / "report").read_text()
    assert "ROC curve" in page
    assert "Regression" not in page
    assert metadata["classification"]["confidenceMetrics"]


def test_thresholds_of_probabilities_do_not_divide_other_labels() -> None:
    """Whoever asks for a confusion matrix of prices gets no ROC curve of it."""
    errors = Errors()
    errors.add(LABELS, PREDICTIONS, WEIGHTS)
    prices = errors.regression()
    assert prices is not None
    counts = [(0.5, 3.0, 1.0, 4.0, 2.0)]
    assert Plots(confusion=counts).roc()
    assert Plots(confusion=counts).matrix() == (["0", "1"], [[4.0, 1.0], [2.0, 3.0]])
    assert Plots(confusion=counts, regressions={"": prices}).roc() == []
    assert Plots(confusion=counts, regressions={"": prices}).matrix() is None


def test_plots_come_with_the_metrics_of_a_regression_only() -> None:
    def plots(metrics: str, options: str = "") -> list[str]:
        config = text_format.Parse(f"metrics_specs {{ {metrics} {options} }}", config_pb2.EvalConfig())
        return [metric.class_name for metric in regression.with_plots(config).metrics_specs[0].metrics][1:]

    error = 'metrics { class_name: "MeanAbsoluteError" }'
    assert plots(error) == ["RegressionPlot"]
    assert plots('metrics { class_name: "AUC" }') == []
    assert plots(error, "binarize { class_ids: { values: [1] } }") == []
    assert plots(error, 'query_key: "q"') == []
    own = 'metrics { class_name: "RegressionPlot" module: "components.evaluate.metrics" }'
    assert plots(error + own) == ["RegressionPlot"]
