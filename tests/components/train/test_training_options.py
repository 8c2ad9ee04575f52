"""Hyperparameters, warm start, early stopping, several devices, mixed precision: on the models of the project."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from components.runtime.module_file import loading, training
from components.runtime.module_file.fn_args import FnArgs
from tests.components.train import training_support as support
from tests.components.train.training_support import Prepared
from tests.support import ROOT

# The devices have to be told before TensorFlow starts, so in a process of its own.
MIRRORED = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from components.runtime.stage.executor import run_stage
run_stage("components.train.train:train", ["--executor-input", f"@{sys.argv[1]}"])
"""
# Training moves the weights away from where the evaluation is best, which is at the end of the first epoch.
WORSENING = """
import keras
import numpy as np
import tensorflow as tf
from components.runtime.module_file import training

def run_fn(fn_args):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    x = np.ones((32, 1), "float32")
    model.fit(
        x, x * 9, batch_size=8, epochs=10, validation_data=(x, x * 0),
        callbacks=training.callbacks(fn_args.custom_config["early_stopping"]),
    )
    serve = tf.function(lambda x: {"outputs": model(x)}).get_concrete_function(tf.TensorSpec([None, 1], tf.float32))
    tf.saved_model.save(model, fn_args.serving_model_dir, signatures={"serving_default": serve})
"""


@pytest.fixture(scope="module")
def taxi() -> Prepared:
    return support.taxi()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, taxi: Prepared) -> Path:
    """A model that has learned something."""
    folder = tmp_path_factory.mktemp("base")
    support.run_train(folder, taxi, support.TAXI_MODULE, train_steps=60)
    return folder


def answers(folder: Path, prepared: Prepared) -> np.ndarray:
    loaded = tf.saved_model.load(str(folder / "model" / "Format-Serving"))
    found: np.ndarray = loaded.signatures["from_examples"](examples=tf.constant(prepared.records("eval")[:200]))[
        "outputs"
    ].numpy()
    return found


def test_a_file_of_hyperparameters_reaches_the_model(tmp_path: Path, taxi: Prepared) -> None:
    file = tmp_path / "best.yaml"
    file.write_text("units: 20\nlayers: 2\nlearning_rate: 2e-3\n")
    support.run_train(tmp_path / "out", taxi, support.TAXI_MODULE, train_steps=2, hyperparameters_file=str(file))
    shapes = {value.shape for value in support.weights(tmp_path / "out").values()}
    assert shapes >= {(3, 20), (20, 14), (14, 1)}
    assert (100, 70) not in shapes
    assert "best.yaml" in (tmp_path / "out" / "report").read_text()


def test_hyperparameters_that_the_model_does_not_have_are_named(
    tmp_path: Path, taxi: Prepared, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "best.yaml"
    file.write_text("unit: 20\n")
    line = support.failure(tmp_path, taxi, support.TAXI_MODULE, capsys, hyperparameters_file=str(file))
    assert line.startswith(
        f"error: hyperparameters_file: {file}: unknown key 'unit', did you mean 'units'?; known are: "
    )


def test_hyperparameters_have_one_source(tmp_path: Path, taxi: Prepared, capsys: pytest.CaptureFixture[str]) -> None:
    artifacts = {"hyperparameters": tmp_path}
    line = support.failure(
        tmp_path, taxi, support.TAXI_MODULE, capsys, artifacts=artifacts, hyperparameters_file="best.yaml"
    )
    assert "hyperparameters come from tune and from hyperparameters_file; leave one of them out" in line


def test_early_stopping_keeps_the_best_weights_and_says_so(tmp_path: Path, taxi: Prepared) -> None:
    module = tmp_path / "user_module.py"
    module.write_text(WORSENING)
    metadata = support.run_train(tmp_path / "out", taxi, module, train_steps=40, custom_config={"early_stopping": 2})
    # Epochs of 4 steps: the best is the first, two more are waited for.
    assert metadata["model"]["steps"] == metadata["model"]["stopped_early_at"] == 12
    assert metadata["metrics"]["steps"] == 12
    page = (tmp_path / "out" / "report").read_text()
    for words in ("12 of 40: stopped early", "those of step 4", "Values at step 4"):
        assert words in page
    loaded = tf.saved_model.load(str(tmp_path / "out" / "model" / "Format-Serving"))
    answer = float(loaded.signatures["serving_default"](tf.ones([1, 1]))["outputs"][0, 0])
    assert metadata["metrics"]["eval_loss"] == pytest.approx(answer**2, rel=1e-5)


def test_without_early_stopping_the_last_weights_are_kept(tmp_path: Path, taxi: Prepared) -> None:
    module = tmp_path / "user_module.py"
    module.write_text(WORSENING)
    metadata = support.run_train(tmp_path / "out", taxi, module, train_steps=40, custom_config={"early_stopping": 0})
    assert metadata["model"]["steps"] == 40
    assert "stopped_early_at" not in metadata["model"]
    assert "stopped early" not in (tmp_path / "out" / "report").read_text()


def test_training_goes_on_from_the_base_model(
    tmp_path: Path, taxi: Prepared, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metadata = support.run_train(
        tmp_path, taxi, support.TAXI_MODULE, train_steps=1, artifacts={"base_model": base / "model"}
    )
    assert "progress: training on from the base model\n" in capsys.readouterr().out
    started, before = support.weights(tmp_path), support.weights(base)
    assert started.keys() == before.keys()
    # One step of Adam moves a weight by no more than the learning rate, but for rows that a batch has several times.
    dense = [name for name in before if "embeddings" not in name]
    assert 0 < max(np.abs(started[name] - before[name]).max() for name in dense) <= 0.0051
    np.testing.assert_allclose(answers(tmp_path, taxi), answers(base, taxi), atol=0.1)
    assert "base model" in (tmp_path / "report").read_text()
    assert metadata["metrics"]["steps"] == 1


@pytest.mark.slow
def test_a_base_model_of_another_shape_is_left_out(
    tmp_path: Path, taxi: Prepared, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"hidden_units": [30, 20]}
    artifacts = {"base_model": base / "model"}
    support.run_train(
        tmp_path / "a", taxi, support.TAXI_MODULE, train_steps=1, artifacts=artifacts, custom_config=config
    )
    assert "training from scratch: the weights of the base model do not fit: " in capsys.readouterr().out
    support.run_train(tmp_path / "b", taxi, support.TAXI_MODULE, train_steps=1, custom_config=config)
    np.testing.assert_array_equal(answers(tmp_path / "a", taxi), answers(tmp_path / "b", taxi))


def test_an_empty_base_model_is_none(tmp_path: Path, taxi: Prepared, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    artifacts = {"base_model": tmp_path / "empty"}
    support.run_train(tmp_path / "out", taxi, support.TAXI_MODULE, train_steps=1, artifacts=artifacts)
    assert "base model" not in capsys.readouterr().out


def test_other_vocabularies_than_the_base_models_are_told(
    tmp_path: Path, taxi: Prepared, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "model"
    shutil.copytree(base / "model" / "Format-Serving", copy)
    (copy / "assets" / "payment_type").write_text("Cash\n")
    output = tft.TFTransformOutput(str(taxi.transform_graph))
    build = loading.load_function(str(support.TAXI_MODULE), "build")
    model = loading.call(build, output, [100, 70, 50, 25])
    assert training.start_from(model, str(copy), output)
    assert "other vocabularies than there: payment_type\n" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["taxi", "digits"])
def test_models_train_on_several_devices_and_serve_on_one(tmp_path: Path, name: str) -> None:
    prepared = getattr(support, name)()
    module_file = ROOT / "models" / name / "model.py"
    # A network with noise and dropout in it has to have learned before two trainings of it are alike.
    steps = {"taxi": 20, "digits": 150}[name]
    one = support.run_train(tmp_path / "one", prepared, module_file, train_steps=steps, eval_steps=0)
    file = tmp_path / "call.json"
    file.write_text(
        json.dumps(support.train_call(tmp_path / "two", prepared, module_file, train_steps=steps, eval_steps=0))
    )
    done = subprocess.run(
        [sys.executable, "-c", MIRRORED, str(file)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "training on 2 devices" in done.stdout
    output = json.loads((tmp_path / "two" / "executor_output.json").read_text())
    two = output["artifacts"]["metrics"]["artifacts"][0]["metadata"]
    assert (two["steps"], two["examples"]) == (steps, one["metrics"]["examples"])
    # Each device takes a half of every batch: the same sums, but rounded, dropped out and added to rare rows otherwise.
    metric = "eval_auc" if name == "taxi" else "eval_accuracy"
    assert two[metric] == pytest.approx(one["metrics"][metric], abs=0.03 if name == "taxi" else 0.1)
    # A mean over both devices, not a sum.
    assert two["eval_loss"] < 1.6 * one["metrics"]["eval_loss"]
    assert support.weights(tmp_path / "two").keys() == support.weights(tmp_path / "one").keys()
    assert np.isfinite(answers(tmp_path / "two", prepared)).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["taxi", "digits"])
def test_models_train_in_mixed_precision_and_answer_in_whole(tmp_path: Path, name: str) -> None:
    prepared = getattr(support, name)()
    metadata = support.run_train(
        tmp_path, prepared, ROOT / "models" / name / "model.py", train_steps=4, custom_config={"mixed_precision": True}
    )
    assert np.isfinite(metadata["metrics"]["eval_loss"])
    assert answers(tmp_path, prepared).dtype == np.float32
    assert {value.dtype for value in support.weights(tmp_path).values()} == {np.dtype("float32")}
    assert keras.config.dtype_policy().name == "float32"


def test_precision_is_left_alone_where_there_is_no_gpu() -> None:
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    with training.placed("auto"):
        assert keras.config.dtype_policy().name == "float32"
    with training.placed(True):
        assert keras.config.dtype_policy().name == "mixed_float16"


def test_an_unknown_precision_is_named(tmp_path: Path, taxi: Prepared, capsys: pytest.CaptureFixture[str]) -> None:
    line = support.failure(tmp_path, taxi, support.TAXI_MODULE, capsys, custom_config={"mixed_precision": "maybe"})
    assert "mixed_precision is 'maybe'; set it to auto, true or false" in line


@pytest.mark.parametrize(
    ("steps", "epochs", "expected"),
    [(500, 5, (5, 100, 20)), (42, 5, (3, 14, 2)), (1, 5, (1, 1, 1)), (7, 3, (1, 7, 1))],
)
def test_steps_add_up_exactly(steps: int, epochs: int, expected: tuple[int, int, int]) -> None:
    plan = training.plan(steps, epochs)
    assert (plan.epochs, plan.steps_per_epoch, plan.steps_per_call) == expected
    assert plan.epochs * plan.steps_per_epoch == steps


@pytest.mark.parametrize(
    ("custom", "chosen", "expected"),
    [
        (None, None, {"rate": 1, "units": 2}),
        ({"rate": 5}, None, {"rate": 5, "units": 2}),
        ({"rate": 5}, {"values": {"rate": 7, "tuner/epochs": 3}, "space": []}, {"rate": 7, "units": 2}),
    ],
)
def test_hyperparameters_stand_over_custom_config_over_defaults(
    custom: dict[str, Any] | None, chosen: dict[str, Any] | None, expected: dict[str, Any]
) -> None:
    given = FnArgs(custom_config=custom, hyperparameters=chosen)
    assert training.configuration({"rate": 1, "units": 2}, given) == expected
