"""The tune stage on the real taxi trips, and on searches made to fail."""

from __future__ import annotations

import itertools
import json
import os
import re
from pathlib import Path
from typing import Any

import keras_tuner
import pytest

from components.runtime.module_file import hyperparameters
from components.runtime.stage import executor
from tests.components.train import training_support
from tests.components.train.training_support import Prepared
from tests.components.tune import tuning_support as support
from tests.components.tune.tuning_support import HEAD

RANDOM = """
def tuner_fn(fn_args):
    return result(keras_tuner.RandomSearch(build, "val_loss", max_trials=50, directory=fn_args.working_dir))
"""


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return training_support.taxi()


def module(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "user_module.py"
    file.write_text(HEAD + text)
    return file


Tuned = tuple[Path, dict[str, dict[str, Any]], str]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, prepared: Prepared) -> Tuned:
    """The search of the taxi model, its trials very short."""
    folder = tmp_path_factory.mktemp("tuned")
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", lambda *args, **_: lines.append(" ".join(map(str, args))))
        metadata = support.run(folder, prepared, training_support.TAXI_MODULE, max_trials=2)
    return folder, metadata, "\n".join(lines)


def test_best_hyperparameters_are_those_of_the_best_trial_and_as_tfx_writes_them(tuned: Tuned) -> None:
    folder, metadata, _ = tuned
    table = support.table(folder)
    assert (table["objective"], table["direction"], table["ended_by"]) == ("val_auc", "max", "trials")
    assert [row["trial"] for row in table["trials"]] == [1, 2]
    best = max(table["trials"], key=lambda row: row["score"])
    assert table["best_trial"] == best["trial"]
    read = keras_tuner.HyperParameters.from_config(support.best(folder))
    assert {name: read.get(name) for name in ("learning_rate", "units", "layers")} == best["values"]
    assert metadata["best_hyperparameters"]["values"] == best["values"]
    assert metadata["metrics"]["best_val_auc"] == best["score"] > 0.5
    assert (metadata["metrics"]["trials"], metadata["metrics"]["failed_trials"]) == (2, 0)


def test_progress_tells_trials_values_and_scores(tuned: Tuned) -> None:
    lines = tuned[2].splitlines()
    assert any(
        line.startswith("progress: [0/2 trials] trial 1 of 2: learning_rate 0.") and "units" in line for line in lines
    ), lines
    assert any(
        line.startswith("progress: [2/2 trials] trial 2 of 2: val_auc 0.") and "best 0." in line for line in lines
    ), lines
    assert not any("Search: Running" in line for line in lines)


def test_report_shows_every_trial_and_each_hyperparameter(tuned: Tuned) -> None:
    page = (tuned[0] / "report").read_text()
    assert page.count("<svg") == 2
    for word in ("val_auc", "learning_rate", "units", "layers", "best so far", "RandomSearch", "max_trials"):
        assert word in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert len(page) < 1_000_000


def test_train_uses_what_was_found(tuned: Tuned, tmp_path: Path, prepared: Prepared) -> None:
    folder, _, _ = tuned
    found = support.best(folder)["values"]
    training_support.run_train(
        tmp_path,
        prepared,
        training_support.TAXI_MODULE,
        artifacts={"hyperparameters": folder / "best_hyperparameters"},
    )
    page = (tmp_path / "report").read_text()
    assert str(found["units"]) in page
    shapes = {value.shape for value in training_support.weights(tmp_path).values()}
    widths = [max(1, round(found["units"] * 0.7**layer)) for layer in range(found["layers"])]
    assert shapes >= {(3, widths[0]), *itertools.pairwise(widths), (widths[-1], 1)}


@pytest.mark.slow
def test_same_seed_same_search_and_nothing_is_left_elsewhere(tmp_path: Path, prepared: Prepared) -> None:
    text = """
def tuner_fn(fn_args):
    return result(keras_tuner.RandomSearch(build, "val_loss", max_trials=3))  # no directory: where the stage runs
"""
    before = sorted(os.listdir())
    tables = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        support.run(tmp_path / name, prepared, module(tmp_path, text), seed=seed)
        tables.append((tmp_path / name / "trials" / "trials.json").read_bytes())
    assert tables[0] == tables[1] != tables[2]
    assert sorted(os.listdir()) == before


def test_a_tuner_with_a_folder_of_its_own_is_brought_into_the_stages(tmp_path: Path, prepared: Prepared) -> None:
    elsewhere = tmp_path / "elsewhere"
    text = f"""
def tuner_fn(fn_args):
    return result(keras_tuner.RandomSearch(build, "val_loss", max_trials=1, directory={str(elsewhere)!r}))
"""
    support.run(tmp_path / "out", prepared, module(tmp_path, text))
    assert not [path for path in elsewhere.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "tuner", ["Hyperband(build, 'val_loss', max_epochs=4", "BayesianOptimization(build, 'val_loss'"]
)
def test_other_tuners_run_within_the_budget(tmp_path: Path, prepared: Prepared, tuner: str) -> None:
    if tuner.startswith("Bayesian"):
        pytest.importorskip("sklearn", reason="the environment is older than its lock")
    text = f"""
def tuner_fn(fn_args):
    return result(keras_tuner.{tuner}, directory=fn_args.working_dir))
"""
    support.run(tmp_path / "out", prepared, module(tmp_path, text), max_trials=2)
    table = support.table(tmp_path / "out")
    assert len(table["trials"]) == 2
    assert table["trials"][0]["values"].keys() == {"rate"}
    assert hyperparameters.values(support.best(tmp_path / "out")).keys() == {"rate"}


def test_failed_trials_are_counted_shown_and_passed_over(tmp_path: Path, prepared: Prepared) -> None:
    text = """
made = []

def fragile(hp):
    made.append(1)
    model = build(hp)
    if len(made) == 2:  # Before each trial Keras Tuner builds once more, to learn the search space.
        message = "OOM when allocating tensor with shape[9]\\n\\t [[{{node a}}]]"
        raise tf.errors.ResourceExhaustedError(None, None, message)
    if len(made) == 6:
        model.compile(keras.optimizers.SGD(1e30), "mse")  # diverges
    return model

def tuner_fn(fn_args):
    return result(keras_tuner.RandomSearch(fragile, "val_loss", max_trials=5, directory=fn_args.working_dir), epochs=3)
"""
    metadata = support.run(tmp_path / "out", prepared, module(tmp_path, text), max_trials=0)
    trials = support.table(tmp_path / "out")["trials"]
    assert [row["state"] for row in trials] == ["failed", "completed", "failed", "completed", "completed"]
    assert trials[0]["message"] == "ResourceExhaustedError: OOM when allocating tensor with shape[9]"
    assert trials[2]["message"].startswith("diverged: loss is ")
    assert trials[0]["score"] is None
    assert metadata["metrics"]["failed_trials"] == metadata["trials"]["failed"] == 2
    page = (tmp_path / "out" / "report").read_text()
    assert "OOM when allocating" in page
    assert "diverged" in page


def test_a_search_in_which_all_trials_fail_says_why(
    tmp_path: Path, prepared: Prepared, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """
def broken(hp):
    model = build(hp)
    model.compile("sgd", "no such loss")
    return model

def tuner_fn(fn_args):
    return result(keras_tuner.RandomSearch(broken, "val_loss", max_trials=50, directory=fn_args.working_dir))
"""
    line = support.failure(tmp_path, prepared, module(tmp_path, text), capsys, max_trials=0)
    assert "all 3 trials failed, so there are no best hyperparameters; the first: " in line
    assert "no such loss" in line
    assert "rate 0." in line


def test_a_search_out_of_time_ends_its_trial_and_keeps_the_best(tmp_path: Path, prepared: Prepared) -> None:
    text = """
class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.05)

def tuner_fn(fn_args):
    tuner = keras_tuner.RandomSearch(build, "val_loss", max_trials=50, directory=fn_args.working_dir)
    return result(tuner, epochs=1000, callbacks=[Slow()])
"""
    metadata = support.run(tmp_path / "out", prepared, module(tmp_path, text), max_minutes=2 / 60)
    table = support.table(tmp_path / "out")
    assert table["ended_by"] == "minutes"
    assert [row["state"] for row in table["trials"]] == ["cut short"]
    assert 0 < table["trials"][0]["steps"] < 8 * 1000
    assert table["best_trial"] == 1
    assert metadata["metrics"]["seconds"] < 30
    assert metadata["metrics"]["cut_short_trials"] == 1
    assert "cut short" in (tmp_path / "out" / "report").read_text()


def test_a_search_out_of_time_tries_nothing_again(tmp_path: Path, prepared: Prepared) -> None:
    tried = tmp_path / "tried"
    text = f"""
class Failing(keras_tuner.RandomSearch):
    def run_trial(self, trial, *args, **kwargs):
        if len(self.oracle.trials) == 1:
            return {{"val_loss": 0.5}}
        with open({str(tried)!r}, "a") as file:
            file.write("x")
        time.sleep(2)
        raise ValueError("no luck")

def tuner_fn(fn_args):
    return result(Failing(build, "val_loss", 50, max_retries_per_trial=3, directory=fn_args.working_dir))
"""
    support.run(tmp_path / "out", prepared, module(tmp_path, text), max_minutes=2 / 60)
    table = support.table(tmp_path / "out")
    assert table["ended_by"] == "minutes"
    assert [row["state"] for row in table["trials"]] == ["completed"]
    assert tried.read_text() == "x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def run_fn(fn_args): ...", r"no function 'tuner_fn'"),
        ("def tuner_fn(fn_args):\n    return 3", r"tuner_fn returned a int, expected TunerFnResult"),
        (
            "def tuner_fn(fn_args):\n    return 3, {}",
            r"the tuner that tuner_fn returned is a int, expected one of Keras",
        ),
        (
            "def tuner_fn(fn_args):\n    return keras_tuner.RandomSearch(build, 'val_loss', 2), [1]",
            r"the fit_kwargs that tuner_fn returned are a list, expected a dict",
        ),
        ("def tuner_fn(fn_args):\n    return fn_args.nothing", r"user_module.py:\d+: AttributeError"),
        (
            "def tuner_fn(fn_args):\n    return result(keras_tuner.RandomSearch(build, 'val_auc', 2))",
            r"val_auc",
        ),
    ],
)
def test_what_tuner_fn_gets_wrong_is_one_line(
    tmp_path: Path, prepared: Prepared, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    line = support.failure(tmp_path, prepared, module(tmp_path, text), capsys)
    assert re.search(message, line), line


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_trials": -1}, "max_trials is -1; set it to at least 1, or to 0"),
        ({"max_minutes": -2}, "max_minutes is -2.0; set it to some minutes"),
        ({"train_steps": 0}, "train_steps is 0; set it to at least 1"),
    ],
)
def test_arguments_out_of_range_are_refused(
    tmp_path: Path,
    prepared: Prepared,
    capsys: pytest.CaptureFixture[str],
    parameters: dict[str, Any],
    message: str,
) -> None:
    assert message in support.failure(tmp_path, prepared, module(tmp_path, RANDOM), capsys, **parameters)


def test_a_full_disk_ends_the_search_as_a_passing_fault(
    tmp_path: Path, prepared: Prepared, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """
import errno
def full(hp):
    build(hp)
    if full.calls:
        raise OSError(errno.ENOSPC, "No space left on device", "/scratch/trial")
    full.calls += 1
    return build(hp)
full.calls = 0

def tuner_fn(fn_args):
    return result(keras_tuner.RandomSearch(full, "val_loss", max_trials=9, directory=fn_args.working_dir))
"""
    file = tmp_path / "call.json"
    file.write_text(json.dumps(support.call(tmp_path / "out", prepared, module(tmp_path, text), max_trials=0)))
    with pytest.raises(SystemExit) as exit_:
        executor.run_stage("components.tune.tune:tune", ["--executor-input", f"@{file}"])
    assert exit_.value.code == 75
    assert "No space left on device: free some space" in capsys.readouterr().err
