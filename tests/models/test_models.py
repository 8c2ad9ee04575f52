"""Both models reach what they should, and serve what they learned."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from components.runtime.module_file import loading
from tests.components.train import training_support as support
from tests.components.train.training_support import Prepared
from tests.models.served_support import ask, plain_columns

Trained = tuple[Path, Prepared, dict[str, Any]]


def train(folder: Path, prepared: Prepared, module_file: Path, **parameters: Any) -> dict[str, Any]:
    return support.run_train(folder, prepared, module_file, **parameters)["metrics"]


def area_under_curve(labels: np.ndarray, scores: np.ndarray) -> float:
    """Share of pairs of a positive and a negative that are in the right order; ties count half."""
    positive, negative = scores[labels == 1], np.sort(scores[labels == 0])
    below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return float(below.sum() / 2 / len(positive) / len(negative))


@pytest.fixture(scope="module")
def taxi(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder, prepared = tmp_path_factory.mktemp("taxi"), support.taxi()
    return folder, prepared, train(folder, prepared, support.TAXI_MODULE, train_steps=500, eval_steps=50)


@pytest.fixture(scope="module")
def taxi_answers(taxi: Trained) -> dict[str, np.ndarray]:
    folder, prepared, _ = taxi
    serving = folder / "model" / "Format-Serving"
    signature = tf.saved_model.load(str(serving)).signatures["serving_default"].structured_input_signature[1]
    examples = prepared.records("eval")
    plain = plain_columns(examples, {name: spec.dtype for name, spec in signature.items()})
    return ask(folder, serving, plain, examples)


def test_taxi_reaches_the_recorded_quality(taxi: Trained, taxi_answers: dict[str, np.ndarray]) -> None:
    auc = area_under_curve(taxi_answers["tips_xf"], taxi_answers["raw"])
    assert auc >= 0.935
    assert taxi[2]["eval_auc"] == pytest.approx(auc, abs=0.01)


def test_taxi_answers_plain_features_and_examples_alike(taxi: Trained, taxi_answers: dict[str, np.ndarray]) -> None:
    assert len(taxi_answers["raw"]) == len(taxi[1].records("eval")) > 3000
    np.testing.assert_array_equal(taxi_answers["plain"], taxi_answers["raw"])


def test_taxi_serves_what_was_trained(taxi: Trained, taxi_answers: dict[str, np.ndarray]) -> None:
    """The transformation inside the model equals the one that made the training data."""
    _, prepared, _ = taxi
    spec = tft.TFTransformOutput(str(prepared.transform_graph)).transformed_feature_spec()
    files = sorted(str(file) for file in (prepared.transformed_examples / "Split-eval").iterdir())
    records = next(iter(tf.data.TFRecordDataset(files, "GZIP").batch(10_000)))
    for name, values in tf.io.parse_example(records, spec).items():
        np.testing.assert_allclose(taxi_answers[name], values.numpy(), rtol=1e-6, err_msg=name)


def test_taxi_model_takes_all_features_but_the_label(taxi: Trained) -> None:
    folder, _, _ = taxi
    signature = tf.saved_model.load(str(folder / "model" / "Format-Serving")).signatures["serving_default"]
    with support.shared("taxi/data.csv").open() as stream:
        columns = set(next(csv.reader(stream)))
    assert signature.structured_input_signature[1].keys() == columns - {"tips"}
    assert {tuple(spec.shape) for spec in signature.structured_input_signature[1].values()} == {(None,)}


@pytest.mark.slow
def test_taxi_makes_exactly_the_steps_asked_for(tmp_path: Path) -> None:
    metrics = train(tmp_path, support.taxi(), support.TAXI_MODULE, train_steps=42, eval_steps=1)
    assert (metrics["steps"], metrics["examples"]) == (42, 42 * 128)


@pytest.mark.slow
def test_digits_reach_their_accuracy(tmp_path: Path) -> None:
    prepared = support.digits()
    train(tmp_path, prepared, support.DIGITS_MODULE, train_steps=600, eval_steps=0)
    examples = prepared.records("eval")
    serving = tmp_path / "model" / "Format-Serving"
    signature = tf.saved_model.load(str(serving)).signatures["serving_default"].structured_input_signature[1]
    plain = plain_columns(examples, {name: spec.dtype for name, spec in signature.items()})
    answers = ask(tmp_path, serving, plain, examples)
    np.testing.assert_array_equal(answers["plain"], answers["raw"])
    np.testing.assert_allclose(answers["raw"].sum(axis=1), 1, rtol=1e-5)
    assert len(examples) > 400
    assert (answers["raw"].argmax(axis=1) == answers["label_xf"]).mean() >= 0.97


def test_digits_network_takes_images_of_any_size() -> None:
    build = loading.load_function(str(support.DIGITS_MODULE), "build")
    for size in (7, 8, 28):
        model = loading.call(build, (size, size, 1), [4, 8], 0.3)
        assert model({"image_xf": tf.zeros([2, size, size, 1])}).shape == (2, 10)


def test_module_files_name_their_unknown_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = support.failure(tmp_path, support.digits(), support.DIGITS_MODULE, capsys, custom_config={"filter": [1]})
    assert line.startswith(
        "error: custom_config in the settings: unknown key 'filter', did you mean 'filters'?; known are:"
    )


def test_metrics_are_plain_json(taxi: Trained) -> None:
    assert json.loads(json.dumps(taxi[2], allow_nan=False)) == taxi[2]
