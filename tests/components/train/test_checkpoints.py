"""Checkpoints of a training: another attempt makes the model that one would have made which nothing interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.runtime.errors import InputError
from components.runtime.launch.fingerprints import attempt_key
from components.runtime.module_file import workers
from components.train.checkpoints import Checkpoints
from components.train.history import History
from tests.components.train import training_support as support
from tests.components.train.training_support import Prepared

# Shuffled rows, noise with a seed, an optimizer with moments, a loss that is best in the second epoch.
INTERRUPTED = """
import pathlib
import keras
import numpy as np
import tensorflow as tf
from components.runtime import training

class Interrupt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        mark = pathlib.Path({mark!r}[::-1])  # As a path it would count as input.
        if epoch == 3 and mark.exists():
            mark.unlink()
            raise OSError(110, "the network is gone")

def run_fn(fn_args):
    inputs = keras.Input((4,))
    noisy = keras.layers.Dropout(0.3)(keras.layers.Dense(8, activation="relu")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1)(noisy))
    model.compile(keras.optimizers.Adam(0.1), "mse")
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    rows = tf.data.Dataset.from_tensor_slices((x, x[:, :1])).shuffle(64).repeat().batch(8)
    model.fit(
        rows, epochs=6, steps_per_epoch=5, validation_data=(x, x[:, :1] * 1.5),
        callbacks=[*training.callbacks(9), Interrupt()],
    )
    {more}
    serve = tf.function(lambda x: {{"outputs": model(x)}}).get_concrete_function(tf.TensorSpec([None, 4], tf.float32))
    tf.saved_model.save(model, fn_args.serving_model_dir, signatures={{"serving_default": serve}})
"""


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return support.tfx_style()


def run(folder: Path, prepared: Prepared, name: str, more: str = "", **execution: Any) -> dict[str, Any]:
    module = folder / "module" / "interrupted.py"
    module.parent.mkdir(exist_ok=True)
    module.write_text(INTERRUPTED.format(mark=str(folder / "mark")[::-1], more=more))
    config = {"execution": execution} if execution else {}
    return support.run_train(folder / name, prepared, module, train_steps=30, custom_config=config)


def made(folder: Path) -> dict[str, np.ndarray]:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(folder / "model" / "Format-Serving" / "variables" / "variables"))
    names = [each for each in reader.get_variable_to_shape_map() if each != "_CHECKPOINTABLE_OBJECT_GRAPH"]
    return {name: reader.get_tensor(name) for name in names if "save_counter" not in name}


def test_an_interrupted_training_makes_the_model_of_one_that_was_not(
    tmp_path: Path, prepared: Prepared, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run(tmp_path, prepared, "whole")
    (tmp_path / "mark").touch()
    with pytest.raises(OSError, match="the network is gone"):
        run(tmp_path, prepared, "again", checkpoint_directory=str(tmp_path / "kept"))
    assert len(list((tmp_path / "kept").glob("*/checkpoint.npz"))) == 1
    capsys.readouterr()
    resumed = run(tmp_path, prepared, "again", checkpoint_directory=str(tmp_path / "kept"))
    assert "progress: going on from the checkpoint of step 15\n" in capsys.readouterr().out
    assert resumed["model"]["resumed_at"] == 15
    assert "resumed_at" not in whole["model"]
    times = ("seconds", "examples_per_second_of_steps")
    assert {k: v for k, v in resumed["metrics"].items() if k not in times} == {
        k: v for k, v in whole["metrics"].items() if k not in times
    }
    expected = made(tmp_path / "whole")
    found = made(tmp_path / "again")
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    # The curves of the report begin where the first attempt began.
    page = (tmp_path / "again" / "report").read_text()
    assert page.count("weights kept") >= 1
    for row in ("went on from</td><td>step 15", f"checkpoint_directory</td><td>{tmp_path / 'kept'}"):
        assert row in page, page[-3000:]
    assert "seconds of this attempt" in page
    assert "execution" not in page
    assert "of this attempt" not in (tmp_path / "whole" / "report").read_text()
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.slow
def test_a_second_fit_has_none(tmp_path: Path, prepared: Prepared, capsys: pytest.CaptureFixture[str]) -> None:
    kept = str(tmp_path / "kept")
    fail = "model.fit(x, x[:, :1], epochs=1, callbacks=[Interrupt()]); raise OSError(110, 'the network is gone')"
    with pytest.raises(OSError, match="the network is gone"):
        run(tmp_path, prepared, "out", more=fail, checkpoint_directory=kept)
    assert list((tmp_path / "kept").glob("*/*.npz")) == []


@pytest.mark.slow
def test_a_damaged_checkpoint_is_told_and_passed_over(
    tmp_path: Path, prepared: Prepared, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mark").touch()
    with pytest.raises(OSError, match="the network is gone"):
        run(tmp_path, prepared, "out", checkpoint_directory=str(tmp_path / "kept"))
    (file,) = (tmp_path / "kept").glob("*/checkpoint.npz")
    file.write_bytes(file.read_bytes()[:200])
    capsys.readouterr()
    assert run(tmp_path, prepared, "out", checkpoint_directory=str(tmp_path / "kept"))["metrics"]["steps"] == 30
    assert f"progress: training from the beginning: {file} cannot be read: " in capsys.readouterr().out


def test_trainings_that_differ_have_checkpoints_of_their_own(tmp_path: Path) -> None:
    module = tmp_path / "model.py"
    module.write_text("def run_fn(fn_args): pass\n")

    def key(seed: int = 1, **execution: Any) -> str:
        return attempt_key(
            {}, {"module_file": str(module), "seed": seed, "custom_config": {"execution": execution}}, []
        )

    first = key(workers=2, checkpoint_directory=str(tmp_path))
    (tmp_path / "something").mkdir()
    assert key(workers=2, checkpoint_directory=str(tmp_path)) == first
    assert key(workers=3, checkpoint_directory=str(tmp_path)) != first
    assert key(2, workers=2, checkpoint_directory=str(tmp_path)) != first
    module.write_text("def run_fn(fn_args): fn_args\n")
    assert key(workers=2, checkpoint_directory=str(tmp_path)) != first


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"execution": 3},
            "train: execution of custom_config is the stage's own; expected workers and checkpoint_directory",
        ),
        ({"execution": {"worker": 2}}, "train: no option 'worker', did you mean 'workers'?; there are workers, "),
        ({"execution": {"workers": 0}}, "train.workers: expected a whole number of at least 1, not 0"),
        ({"execution": {"checkpoint_directory": "s3://a"}}, "train.checkpoint_directory is s3://a: expected a folder "),
        (
            {"execution": {"checkpoint_directory": f"{__file__}/kept"}},
            f"train.checkpoint_directory is {__file__}/kept: {__file__} is not a directory; name another one",
        ),
        ({"execution": {"workers": 1.5}}, "train.workers: expected a whole number of at least 1, not 1.5"),
    ],
)
def test_what_is_asked_for_wrongly_is_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        workers.options(given)
    assert str(caught.value).startswith(words)
    assert workers.options({"execution": {"workers": 2.0}}) == workers.Options(2)


def test_a_process_knows_itself_by_tf_config(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (workers.count(), workers.index()) == (1, 0)
    monkeypatch.setenv("TF_CONFIG", workers.configuration(["a.b:2222", "c.b:2222"], 1))
    assert (workers.count(), workers.index(), workers.chief()) == (2, 1, ("a.b", 2222))
    monkeypatch.setenv("TF_CONFIG", "{")
    with pytest.raises(InputError, match="TF_CONFIG of the environment is not JSON"):
        workers.count()


def test_a_directory_that_cannot_be_written_to_is_named_before_the_training(tmp_path: Path) -> None:
    Checkpoints(str(tmp_path / "a" / "b"), "key", History(1)).check()
    assert list((tmp_path / "a" / "b").iterdir()) == []
    # (Nobody makes a folder there, not even root.)
    with pytest.raises(
        InputError, match=r"train\.checkpoint_directory is /proc/kept: it cannot be made: .*; name another"
    ):
        Checkpoints("/proc/kept", "key", History(1)).check()
