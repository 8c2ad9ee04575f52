"""Distillation: what a network learns of a teacher besides the labels."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.runtime.errors import InputError
from components.runtime.module_file import distillation
from components.runtime.module_file.fn_args import FnArgs
from tests.components.train import training_support as support

X = np.random.default_rng(3).normal(size=(256, 1)).astype(np.float32)
ALONE = """
import tensorflow as tf

def run_fn(fn_args):
    assert fn_args.custom_config == {}
    made = tf.Module()
    serve = tf.function(lambda x: {"outputs": x}).get_concrete_function(tf.TensorSpec([None], tf.float32))
    tf.saved_model.save(made, fn_args.serving_model_dir, signatures={"serving_default": serve})
"""
CONTRARY = "the labels say the opposite of the teacher"


def teacher(folder: Path, answer: str = "probability", feature: str = "x_xf") -> str:
    """A model in service that says whether x is above 0."""
    made = tf.Module()

    def network(features: dict[str, tf.Tensor]) -> tf.Tensor:
        sure = tf.sigmoid(8 * features[feature])
        if answer == "classes":
            return tf.stack([1 - sure, sure], 1)
        return features[feature] * 3 if answer == "numbers" else sure

    made.network = tf.function(network)
    made.network.get_concrete_function({feature: tf.TensorSpec([None], tf.float32)})
    tf.saved_model.save(made, str(folder))
    return str(folder)


def student(answer: str = "probability") -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = {"x_xf": keras.Input((), name="x_xf")}
    sizes, kinds = {"classes": 2}, {"classes": "softmax", "numbers": None}
    made = keras.layers.Dense(sizes.get(answer, 1), kinds.get(answer, "sigmoid"))(inputs["x_xf"][:, None])
    return keras.Model(inputs, made if answer == "classes" else made[:, 0])


def trained(folder: Path, alpha: float, answer: str = "probability") -> np.ndarray:
    """What a student answers to X after a training on labels that are the opposite of its teacher's answers."""
    options = {"temperature": 2.0, "alpha": alpha}
    fn_args = FnArgs(distil=options, teacher_model=teacher(folder / "teacher", answer))
    model = distillation.taught(student(answer), fn_args, answers=answer)  # type: ignore[arg-type]
    assert fn_args.taught_by == distillation.IN_SERVICE
    losses = {"classes": "sparse_categorical_crossentropy", "numbers": "mse"}
    model.compile(keras.optimizers.Adam(0.1), losses.get(answer, "binary_crossentropy"), jit_compile=False)
    labels = -3 * X[:, 0] if answer == "numbers" else (X[:, 0] < 0).astype(np.int64)
    data = tf.data.Dataset.from_tensor_slices(({"x_xf": X[:, 0]}, labels)).batch(64).repeat()
    model.fit(data, epochs=1, steps_per_epoch=120, verbose=0)
    found: np.ndarray = model.predict({"x_xf": X[:, 0]}, verbose=0)
    return found[:, 1] if answer == "classes" else found


@pytest.mark.parametrize("answer", ["probability", "classes"])
def test_a_student_learns_the_teachers_answers_and_not_just_labels(tmp_path: Path, answer: str) -> None:
    says = trained(tmp_path, 0.9, answer) > 0.5
    assert np.mean(says == (X[:, 0] > 0)) > 0.95, CONTRARY


def test_a_teacher_of_numbers_is_followed(tmp_path: Path) -> None:
    assert np.corrcoef(trained(tmp_path, 0.9, "numbers"), X[:, 0])[0, 1] > 0.99, CONTRARY


def test_without_weight_the_teacher_says_nothing(tmp_path: Path) -> None:
    assert np.mean((trained(tmp_path, 0.0) > 0.5) == (X[:, 0] < 0)) > 0.95


def test_the_soft_loss_is_that_of_the_logits_at_the_temperature() -> None:
    random = np.random.default_rng(5)
    logits = random.normal(size=(2, 9, 4)).astype(np.float32)
    teacher_logits, student_logits = logits
    found = distillation._soft_loss(tf.nn.softmax(teacher_logits), tf.nn.softmax(student_logits), "classes", 3.0)
    target = tf.nn.softmax(teacher_logits / 3)
    wanted = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(target, student_logits / 3)) * 9
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    pair = logits[:, :, 0]
    found = distillation._soft_loss(tf.sigmoid(pair[0]), tf.sigmoid(pair[1])[:, None], "probability", 3.0)
    wanted = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(tf.sigmoid(pair[0] / 3), pair[1] / 3)) * 9
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_where_nothing_can_teach_the_labels_do_and_that_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = student()
    assert distillation.taught(model, FnArgs(), answers="probability") is model
    first = FnArgs(distil=distillation.options({}))
    assert distillation.taught(model, first, answers="probability") is model
    assert first.taught_by == "nobody: no model was in service"
    other = FnArgs(distil=distillation.options({}), teacher_model=teacher(tmp_path / "t", feature="fare_xf"))
    assert distillation.taught(model, other, answers="probability") is model
    assert other.taught_by == "nobody: the model in service takes a feature 'fare_xf', which this one does not have"
    old = tf.Module()
    tf.saved_model.save(old, str(tmp_path / "old"))
    before = FnArgs(distil=distillation.options({}), teacher_model=str(tmp_path / "old"))
    distillation.taught(model, before, answers="probability")
    assert before.taught_by.startswith("nobody: the model in service has no function 'network'")
    assert "training by the labels alone: the model in service takes a feature 'fare_xf'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"temprature": 2}, "train.distil: no option 'temprature', did you mean 'temperature'?; there are"),
        ({"temperature": 0}, "train.distil.temperature: expected a number above 0, not 0"),
        ({"alpha": 1.5}, "train.distil.alpha: expected a share from 0 to 1, not 1.5"),
    ],
)
def test_options_that_there_are_not(given: dict[str, float], said: str) -> None:
    with pytest.raises(InputError) as caught:
        distillation.options(given)
    assert str(caught.value).startswith(said)


@pytest.mark.slow
def test_taxi_learns_from_the_model_in_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taxi = support.taxi()
    support.run_train(tmp_path / "base", taxi, support.TAXI_MODULE, train_steps=60)
    config = {"hidden_units": [4], "distil": {"alpha": 0.9, "warm_start": False}}
    artifacts = {"base_model": tmp_path / "base" / "model"}
    support.run_train(
        tmp_path / "out", taxi, support.TAXI_MODULE, train_steps=60, custom_config=config, artifacts=artifacts
    )
    told = capsys.readouterr().out
    assert "learning from the model in service: temperature 2, alpha 0.9" in told
    assert "base model" not in told, "it teaches, and nothing starts from it"
    assert "taught by" in (tmp_path / "out" / "report").read_text()
    # Nothing of the teacher is in what it taught.
    assert {value.shape for value in support.weights(tmp_path / "out").values()} >= {(3, 4), (4, 1)}
    assert sum(map(np.size, support.weights(tmp_path / "out").values())) < sum(
        map(np.size, support.weights(tmp_path / "base").values())
    )


@pytest.mark.slow
def test_a_module_that_asks_for_no_teacher_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = tmp_path / "module.py"
    module.write_text(ALONE)
    said = support.failure(tmp_path / "out", support.taxi(), module, capsys, custom_config={"distil": {}})
    assert "train.distil is set, and run_fn asks for no teacher; let it make its model by distillation.taught" in said
