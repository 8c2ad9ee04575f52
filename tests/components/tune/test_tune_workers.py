"""Searches with several workers: they try what one tries, and outlive a worker that is lost."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.components.train import training_support
from tests.components.train.training_support import Prepared
from tests.components.tune import tuning_support as support
from tests.components.tune.tuning_support import HEAD
from tests.support import StageResult, run_stage

# Rows in an order that goes on from one iteration to the next: what a trial sees must not hang on those before it.
SHUFFLED = """
def shuffled(tuner):
    rows = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(256).batch(32)
    return TunerFnResult(tuner=tuner, fit_kwargs={"x": rows, "validation_data": (x, y)})
"""
RANDOM = f"""{SHUFFLED}
def tuner_fn(fn_args):
    return shuffled(keras_tuner.RandomSearch(build, "val_loss", max_trials=50))
"""


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return training_support.taxi()


def searched(folder: Path, prepared: Prepared, text: str, execution: dict[str, Any], **parameters: Any) -> StageResult:
    """Runs the stage as a process of its own: workers are forks of one that has done nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    module = folder / "user_module.py"
    module.write_text(HEAD + text)
    parameters |= {"custom_config": {"execution": execution} if execution else {}}
    call = support.call(folder, prepared, module, **parameters)
    return run_stage(
        "tune",
        folder,
        parameters=call["inputs"]["parameterValues"],
        inputs=prepared.inputs(),
        outputs=support.OUTPUTS,
    )


def found(folder: Path) -> dict[str, Any]:
    """The trials of a search, without which worker ran them and the name of the tuner's class, and its best."""
    table = support.table(folder)
    del table["tuner"]
    for row in table["trials"]:
        row.pop("worker", None)
    return table | {"best": support.best(folder)}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, prepared: Prepared) -> Path:
    """A search in one process, which nothing interrupted."""
    folder = tmp_path_factory.mktemp("alone") / "out"
    done = searched(folder, prepared, RANDOM, {}, max_trials=5)
    assert done.exit_code == 0, done.stderr[-4000:]
    return folder


@pytest.mark.slow
def test_two_workers_try_what_one_tries(tmp_path: Path, prepared: Prepared, alone: Path) -> None:
    done = searched(tmp_path / "two", prepared, RANDOM, {"workers": 2}, max_trials=5)
    assert done.exit_code == 0, done.stderr[-4000:]
    rows = support.table(tmp_path / "two")["trials"]
    assert found(tmp_path / "two") == found(alone)
    assert {row["worker"] for row in rows} == {0, 1}
    assert "searching with 2 workers, on this machine" in done.stdout
    for row in rows:
        assert f"trial {row['trial']} of 5 (worker {row['worker']}): val_loss {row['score']:.5g}" in done.stdout
    page = (tmp_path / "two" / "report").read_text()
    assert "Trials by worker" in page
    assert "Trials by worker" not in (alone / "report").read_text()


# What happens once, in the trial of a number, in whatever process and attempt runs it.
ONCE = """
import os, pathlib, signal

class Once(keras_tuner.RandomSearch):
    def run_trial(self, trial, *args, **kwargs):
        mark = pathlib.Path({mark!r}[::-1])  # A path as such would count as input.
        if int(trial.trial_id) == {trial} - 1 and not mark.exists():
            mark.touch()
            {how}
        return super().run_trial(trial, *args, **kwargs)

def tuner_fn(fn_args):
    return shuffled(Once(build, "val_loss", max_trials=50))
"""


def once(folder: Path, trial: int, how: str) -> str:
    return SHUFFLED + ONCE.format(mark=str(folder / "mark")[::-1], trial=trial, how=how)


@pytest.mark.slow
def test_a_search_goes_on_without_a_worker_that_is_lost(tmp_path: Path, prepared: Prepared) -> None:
    text = once(tmp_path, 2, "os.kill(os.getpid(), signal.SIGKILL)")
    done = searched(tmp_path / "out", prepared, text, {"workers": 2}, max_trials=4)
    assert done.exit_code == 0, done.stderr[-4000:]
    rows = support.table(tmp_path / "out")["trials"]
    assert [row["state"] for row in rows] == ["completed", "failed", "completed", "completed"]
    lost = rows[1]["worker"]
    assert rows[1]["message"] == f"worker {lost} was ended by SIGKILL; the machine may be out of memory"
    assert {row["worker"] for row in rows[2:]} == {1 - lost}


@pytest.mark.slow
def test_a_search_whose_workers_are_all_lost_may_be_tried_again(tmp_path: Path, prepared: Prepared) -> None:
    text = once(tmp_path, 2, "pass").replace(
        "return super()", "os.kill(os.getpid(), signal.SIGKILL)\n        return super()"
    )
    done = searched(tmp_path / "out", prepared, text, {"workers": 2}, max_trials=9)
    assert done.exit_code == 75
    assert done.error.startswith(
        "no worker of 2 is left, and the search is not over, with 2 trials ended: worker 0 was"
    )
    assert not (tmp_path / "out" / "trials").exists()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_search_that_was_killed_goes_on(tmp_path: Path, prepared: Prepared, alone: Path, workers: int) -> None:
    killed = "os.kill(os.getpid(), signal.SIGKILL)" if workers == 1 else "os.kill(os.getppid(), signal.SIGKILL)"
    text = once(tmp_path, 3, killed)
    execution = {"checkpoint_directory": str(tmp_path / "kept"), "workers": workers}
    ended = searched(tmp_path / "out", prepared, text, execution, max_trials=5)
    assert ended.exit_code in (-9, 137)
    (file,) = (tmp_path / "kept").glob("*/search.json")
    ended_trials = [trial["number"] for trial in json.loads(file.read_text())["trials"]]
    assert 3 not in ended_trials
    done = searched(tmp_path / "out", prepared, text, execution, max_trials=5)
    assert done.exit_code == 0, done.stderr[-4000:]
    page = (tmp_path / "out" / "report").read_text()
    assert f"went on after</td><td>{len(ended_trials)} trial" in page
    assert "seconds of this attempt" in page
    assert f"checkpoint_directory</td><td>{tmp_path / 'kept'}" in page
    assert f"going on with the search: {len(ended_trials)} trials have ended, " in done.stdout
    begun = [int(number) for number in re.findall(r"trials\] trial (\d) of 5(?: \(worker \d\))?: rate", done.stdout)]
    assert sorted(begun) == sorted({1, 2, 3, 4, 5} - set(ended_trials))
    assert found(tmp_path / "out") == found(alone)
    assert done.metadata("trials").get("of_earlier_attempts", 0) == len(ended_trials)
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.slow
def test_hyperband_goes_on_from_weights_that_another_worker_left(tmp_path: Path, prepared: Prepared) -> None:
    text = """
def tuner_fn(fn_args):
    return result(keras_tuner.Hyperband(build, "val_loss", max_epochs=4, factor=2))
"""
    done = searched(tmp_path / "out", prepared, text, {"workers": 2}, max_trials=9)
    assert done.exit_code == 0, done.stderr[-4000:]
    rows = support.table(tmp_path / "out")["trials"]
    assert len(rows) == 9
    assert {row["state"] for row in rows} == {"completed"}
    # The later ones go on with values that were tried before.
    assert len({row["values"]["rate"] for row in rows}) < 9


@pytest.mark.slow
def test_what_no_other_trial_would_mend_ends_the_search(tmp_path: Path, prepared: Prepared) -> None:
    text = once(tmp_path, 2, 'raise OSError(28, "No space left on device", "/scratch/trial")')
    done = searched(tmp_path / "out", prepared, text, {"workers": 2}, max_trials=9)
    assert done.exit_code == 75
    assert done.error.startswith("worker ")
    assert "No space left on device: free some space" in done.error
