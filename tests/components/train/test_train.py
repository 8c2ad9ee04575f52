"""The train stage on the real taxi trips."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.runtime.data import tfrecord
from components.runtime.errors import InputError
from components.runtime.stage.artifacts import content_bytes
from components.runtime.stage.executor import Execution
from components.train.train import train
from tests.components.train import training_support as support
from tests.components.train.training_support import Prepared
from tests.models.served_support import serve
from tests.support import executor_input

Trained = tuple[Path, dict[str, dict[str, Any]], str]

TRAINING = """
import keras
import numpy as np
import tensorflow as tf

def model():
    inputs = keras.Input((2,))
    return keras.Sequential([inputs, keras.layers.Dense(1)])

def save(model, fn_args):
    serve = tf.function(lambda x: {"outputs": model(x)}).get_concrete_function(tf.TensorSpec([None, 2], tf.float32))
    tf.saved_model.save(model, fn_args.serving_model_dir, signatures={"serving_default": serve})

x, y = np.ones((64, 2), "float32"), np.ones((64, 1), "float32")
"""


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return support.taxi()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, prepared: Prepared) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", lambda *args, **_: lines.append(" ".join(map(str, args))))
        metadata = support.run_train(folder, prepared, support.TAXI_MODULE, train_steps=100, eval_steps=10)
    return folder, metadata, "\n".join(lines)


def module(folder: Path, text: str, head: str = TRAINING) -> Path:
    file = folder / "user_module.py"
    file.write_text(head + text)
    return file


def test_model_is_laid_out_as_tfx_does(trained: Trained) -> None:
    folder, metadata, _ = trained
    assert (folder / "model" / "Format-Serving" / "saved_model.pb").is_file()
    assert metadata["model"]["signatures"] == ["from_examples", "serving_default", "transform_features"]
    assert metadata["model"]["steps"] == 100


def test_metrics_are_the_last_values_of_the_curves(trained: Trained) -> None:
    metrics = trained[1]["metrics"]
    assert {"train_loss", "train_auc", "eval_loss", "eval_auc"} <= metrics.keys()
    assert {"steps", "seconds", "examples_per_second_of_steps"} <= metrics.keys()
    assert all(isinstance(value, int | float) for value in metrics.values())
    assert "bytes" not in metrics
    assert metrics["examples"] == 100 * 128
    assert 0.85 < metrics["eval_auc"] < 1.0


def test_progress_tells_steps_and_loss(trained: Trained) -> None:
    lines = trained[2].splitlines()
    assert any(line.startswith("progress: [20/100 steps, loss 0.") for line in lines), lines
    assert any(line.startswith("progress: [100/100 steps, loss 0.") and ", eval auc 0." in line for line in lines), (
        lines
    )
    assert not any("━" in line or "\x08" in line for line in lines)


def test_report_shows_every_metric_of_both_splits(trained: Trained) -> None:
    page = (trained[0] / "report").read_text()
    for word in ("loss", "auc", "train", "eval", "<svg", "100", "serving_default", "seed"):
        assert word in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert len(page) < 1_000_000


def test_tensorboard_logs_hold_the_curves(trained: Trained) -> None:
    steps: dict[tuple[str, str], list[int]] = {}
    for file in (trained[0] / "model_run").glob("*/events.*"):
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                steps.setdefault((file.parent.name, value.tag), []).append(event.step)
    assert steps[("train", "loss")][-1] == steps[("validation", "auc")][-1] == 100
    assert len(steps[("validation", "loss")]) == 5


def test_same_seed_same_model(tmp_path: Path, prepared: Prepared) -> None:
    text = """
from tfx_bsl.public import tfxio
import tensorflow_transform as tft
def run_fn(fn_args):
    schema = tft.TFTransformOutput(fn_args.transform_output).transformed_metadata.schema
    data = fn_args.data_accessor.tf_dataset_factory(
        fn_args.train_files, tfxio.TensorFlowDatasetOptions(batch_size=32, label_key="tips_xf"), schema)
    m = model()
    m.compile("sgd", "mse")
    data = data.map(lambda f, y: (tf.stack([f["fare_xf"], f["trip_miles_xf"]], -1), y))
    m.fit(data, steps_per_epoch=fn_args.train_steps)
    save(m, fn_args)
"""
    values = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        metrics = support.run_train(tmp_path / name, prepared, module(tmp_path, text), seed=seed)["metrics"]
        values.append(metrics["train_loss"])
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    assert abs(values[0] - values[2]) > 1e-3


def test_seeds_reach_python_numpy_and_keras(tmp_path: Path, prepared: Prepared) -> None:
    text = """
import json, os, random
def run_fn(fn_args):
    drawn = [random.random(), float(np.random.rand()), float(tf.random.uniform([])), float(keras.random.uniform([]))]
    with open(fn_args.custom_config["to"], "w") as stream:
        json.dump(drawn, stream)
    save(model(), fn_args)
"""
    drawn = []
    for name in ("a", "b"):
        random.seed(name)
        np.random.seed(len(drawn))
        to = tmp_path / f"{name}.json"
        support.run_train(tmp_path / name, prepared, module(tmp_path, text), custom_config={"to": str(to)})
        drawn.append(json.loads(to.read_text()))
    assert drawn[0] == drawn[1]


def test_fn_args_are_filled_in_as_by_tfx(tmp_path: Path, prepared: Prepared) -> None:
    text = """
import dataclasses, json, os
def run_fn(fn_args):
    seen = {k: v for k, v in vars(fn_args).items() if k != "data_accessor"}
    seen["scratch"] = os.path.isdir(fn_args.working_dir)
    from tfx_bsl.public import tfxio
    import tensorflow_transform as tft
    schema = tft.TFTransformOutput(fn_args.transform_output).transformed_metadata.schema
    options = tfxio.RecordBatchesOptions(batch_size=100, num_epochs=1, shuffle=False)
    batches = fn_args.data_accessor.record_batch_factory(fn_args.eval_files, options, schema)
    seen["rows"] = sum(batch.num_rows for batch in batches)
    with open(fn_args.custom_config["to"], "w") as stream:
        json.dump(seen, stream)
    save(model(), fn_args)
"""
    to = tmp_path / "seen.json"
    support.run_train(
        tmp_path / "out", prepared, module(tmp_path, text), train_steps=3, eval_steps=0, custom_config={"to": str(to)}
    )
    seen = json.loads(to.read_text())
    assert (seen["train_steps"], seen["eval_steps"]) == (3, None)
    assert seen["schema_path"] == seen["schema_file"] == str(prepared.schema / "schema.pbtxt")
    assert seen["transform_graph_path"] == seen["transform_output"] == str(prepared.transform_graph)
    assert seen["train_files"] == [f"{prepared.transformed_examples}/Split-train/*"]
    assert seen["rows"] == len(prepared.records("eval"))
    assert seen["scratch"]
    assert seen["base_model"] is None
    assert seen["hyperparameters"] is None


def test_module_with_a_loop_of_its_own_has_a_model_and_no_curves(tmp_path: Path, prepared: Prepared) -> None:
    own_loop = module(tmp_path, "def run_fn(fn_args):\n    save(model(), fn_args)\n")
    metadata = support.run_train(tmp_path / "out", prepared, own_loop, train_steps=3)
    assert metadata["model"]["steps"] == 3
    assert "no curves" in (tmp_path / "out" / "report").read_text()


def test_several_fits_and_every_way_to_hand_callbacks_over(tmp_path: Path, prepared: Prepared) -> None:
    text = """
def run_fn(fn_args):
    m = model()
    m.compile("sgd", "mse")
    seen = []
    class Seen(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(epoch)
    m.fit(x, y, 16, 2, 0, [Seen()])
    m.fit(x, y, batch_size=16, callbacks=Seen())
    m.fit(x, y, batch_size=16, callbacks=keras.callbacks.CallbackList([Seen()], model=m, epochs=1, steps=4, verbose=0))
    assert seen == [0, 1, 0, 0], seen
    save(m, fn_args)
"""
    metadata = support.run_train(tmp_path / "out", prepared, module(tmp_path, text))
    assert metadata["model"]["steps"] == 16
    assert metadata["metrics"]["examples"] == 256
    assert "fit" not in keras.Model.__dict__


def test_models_of_tf_keras_are_watched_too(tmp_path: Path, prepared: Prepared) -> None:
    text = """
import tf_keras
def run_fn(fn_args):
    m = tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(2,))])
    m.compile("sgd", "mse")
    m.fit(x, y, batch_size=16, epochs=2, validation_data=(x, y))
    save(m, fn_args)
"""
    metrics = support.run_train(tmp_path / "out", prepared, module(tmp_path, text))["metrics"]
    assert (metrics["steps"], metrics["examples"]) == (8, 128)
    assert {"train_loss", "eval_loss"} <= metrics.keys()


def test_own_tensorboard_callback_is_left_alone(tmp_path: Path, prepared: Prepared) -> None:
    text = """
def run_fn(fn_args):
    m = model()
    m.compile("sgd", "mse")
    m.fit(x, y, callbacks=[keras.callbacks.TensorBoard(fn_args.model_run_dir + "/mine", write_graph=False)])
    save(m, fn_args)
"""
    support.run_train(tmp_path / "out", prepared, module(tmp_path, text))
    assert [entry.name for entry in (tmp_path / "out" / "model_run").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def other(fn_args):\n    pass\n", ["run_fn", "user_module.py"]),
        ("def run_fn(fn_args:\n    pass\n", ["user_module.py:1", "SyntaxError"]),
        ("def run_fn(fn_args):\n    raise KeyError('no thing')\n", ["user_module.py:2", "KeyError", "no thing"]),
        ("def run_fn(fn_args):\n    pass\n", ["user_module.py", "no SavedModel", "serving_model_dir"]),
        (
            "from tensorflow import Module, saved_model\n"
            "def run_fn(fn_args):\n    saved_model.save(Module(), fn_args.serving_model_dir)\n",
            ["user_module.py", "no signature"],
        ),
    ],
)
def test_bad_modules(
    tmp_path: Path, prepared: Prepared, capsys: pytest.CaptureFixture[str], text: str, words: list[str]
) -> None:
    line = support.failure(tmp_path, prepared, module(tmp_path, text, head=""), capsys)
    assert all(word in line for word in words), line


def test_missing_module(tmp_path: Path, prepared: Prepared, capsys: pytest.CaptureFixture[str]) -> None:
    line = support.failure(tmp_path, prepared, tmp_path / "nowhere.py", capsys)
    assert "nowhere.py" in line
    assert "no such file" in line


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"train_steps": 0}, "train_steps is 0"),
        ({"train_steps": -5}, "train_steps is -5"),
        ({"eval_steps": -1}, "eval_steps is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"custom_config": {"learnig_rate": 1}}, "learnig_rate"),
    ],
)
def test_bad_parameters(
    tmp_path: Path, prepared: Prepared, capsys: pytest.CaptureFixture[str], parameters: dict[str, Any], words: str
) -> None:
    assert words in support.failure(tmp_path, prepared, support.TAXI_MODULE, capsys, **parameters)


@pytest.mark.parametrize("split", ["train", "eval"])
@pytest.mark.parametrize("empty", [True, False])
def test_splits_must_be_there(
    tmp_path: Path, prepared: Prepared, capsys: pytest.CaptureFixture[str], split: str, empty: bool
) -> None:
    examples = tmp_path / "examples"
    other = {"train": "eval", "eval": "train"}[split]
    (examples / f"Split-{other}").mkdir(parents=True)
    (examples / f"Split-{other}" / "data.gz").touch()
    if empty:
        (examples / f"Split-{split}").mkdir()
    broken = Prepared(prepared.examples, prepared.schema, prepared.transform_graph, examples)
    line = support.failure(tmp_path / "run", broken, support.TAXI_MODULE, capsys)
    assert repr(split) in line
    assert ("is empty" if empty else "no split") in line


def test_a_file_that_was_cut_off_between_two_records_is_found(tmp_path: Path, prepared: Prepared) -> None:
    examples = shutil.copytree(prepared.transformed_examples, tmp_path / "examples")
    metadata = {"transformed_examples": {"bytes": content_bytes(examples)}}
    file = next((examples / "Split-train").iterdir())
    records = list(tfrecord.read(file))
    tfrecord.write(file, records[:-7])
    broken = Prepared(prepared.examples, prepared.schema, prepared.transform_graph, examples)
    call = executor_input(
        tmp_path / "out",
        parameters={"module_file": str(support.TAXI_MODULE), "train_steps": 3, "eval_steps": 0, "seed": 1}
        | {"custom_config": {}, "hyperparameters_file": ""},
        inputs=broken.inputs(),
        outputs=support.OUTPUTS,
        metadata=metadata,
    )
    with pytest.raises(InputError, match="a file is cut off, or was changed; run transform again"):
        Execution.parse("train", call).run(train)


@pytest.mark.parametrize(
    ("fit", "words"),
    [
        ("m.compile(keras.optimizers.SGD(1e30), 'mse')\n    m.fit(x, y, epochs=9)", "training diverged: loss is"),
        (
            "m.compile('sgd', 'mse')\n    m.fit(x * np.nan, y, batch_size=4)",
            "training diverged: loss is nan at step 1 (split train); lower the learning rate or check the features",
        ),
        ("m.compile('sgd', 'mse')\n    m.fit(x, y, validation_data=(x * np.nan, y))", "(split eval)"),
    ],
)
def test_divergence_stops_the_training(
    tmp_path: Path, prepared: Prepared, capsys: pytest.CaptureFixture[str], fit: str, words: str
) -> None:
    text = f"def run_fn(fn_args):\n    m = model()\n    {fit}\n    save(m, fn_args)\n"
    assert words in support.failure(tmp_path, prepared, module(tmp_path, text), capsys)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("m.layers[0].bias.assign([np.nan])", r"dense\w*/bias \(1 of 1\)"),
        ("m.layers[0].kernel.assign([[1], [-np.inf]])", r"dense\w*/kernel \(1 of 2\)"),
    ],
)
def test_weights_that_are_not_finite_are_refused(
    tmp_path: Path, prepared: Prepared, capsys: pytest.CaptureFixture[str], damage: str, words: str
) -> None:
    # A loop of the module's own, so that no loss is seen.
    text = f"def run_fn(fn_args):\n    m = model()\n    {damage}\n    save(m, fn_args)\n"
    line = support.failure(tmp_path, prepared, module(tmp_path, text), capsys)
    assert re.search(f"NaN or infinite after the training: \\S*{words}; lower the learning rate", line), line


def test_what_a_module_saves_itself_can_be_served(tmp_path: Path, prepared: Prepared) -> None:
    text = """
def run_fn(fn_args):
    m = model()
    m.layers[0].set_weights([np.array([[2.0], [3.0]]), np.array([1.0])])
    save(m, fn_args)
"""
    support.run_train(tmp_path / "out", prepared, module(tmp_path, text))
    answer = serve(tmp_path / "out" / "model" / "Format-Serving", {"x": np.array([[1.0, 10.0]], np.float32)})
    assert answer["outputs"].tolist() == [[33.0]]


def test_label_missing_in_the_data(tmp_path: Path, prepared: Prepared, capsys: pytest.CaptureFixture[str]) -> None:
    examples = tmp_path / "examples"
    for split in ("train", "eval"):
        (examples / f"Split-{split}").mkdir(parents=True)
        source = next((prepared.transformed_examples / f"Split-{split}").iterdir())
        with tf.io.TFRecordWriter(str(examples / f"Split-{split}" / "data.gz"), "GZIP") as writer:
            for record in tf.data.TFRecordDataset(str(source), "GZIP").take(50):
                example = tf.train.Example.FromString(record.numpy())
                del example.features.feature["tips_xf"]
                writer.write(example.SerializeToString())
    broken = Prepared(prepared.examples, prepared.schema, prepared.transform_graph, examples)
    line = support.failure(tmp_path / "run", broken, support.TAXI_MODULE, capsys)
    assert "tips_xf" in line
    assert "model.py:" in line


def test_label_that_the_transformation_does_not_make(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = support.TFX_MODULE.read_text().replace("label_key=_transformed_name(_LABEL_KEY)", 'label_key="tip_xf"')
    line = support.failure(tmp_path, support.tfx_style(), module(tmp_path, text, head=""), capsys)
    assert "tip_xf" in line
    assert "user_module.py:" in line
