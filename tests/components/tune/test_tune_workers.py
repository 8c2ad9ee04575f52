"""Searches with several workers: they try what one tries, and outlive a worker that is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.components.train import training_support
from tests.components.train.training_support import Prepared
from tests.components.tune import tuning_support as support
from tests.components.tune.tuning_support import HEAD
from tests.support import StageResult, run_stage

RANDOM = """
def tuner_fn(fn_args):
    return result(keras_tuner.RandomSearch(build, "val_loss", max_trials=50))
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


def without_workers(folder: Path) -> dict[str, Any]:
    table = support.table(folder)
    for row in table["trials"]:
        del row["worker"]
    return table


@pytest.mark.slow
def test_two_workers_try_what_one_tries(tmp_path: Path, prepared: Prepared) -> None:
    alone = searched(tmp_path / "alone", prepared, RANDOM, {}, max_trials=4)
    assert alone.exit_code == 0, alone.stderr[-4000:]
    done = searched(tmp_path / "two", prepared, RANDOM, {"workers": 2}, max_trials=4)
    assert done.exit_code == 0, done.stderr[-4000:]
    rows = support.table(tmp_path / "two")["trials"]
    assert without_workers(tmp_path / "two") == support.table(tmp_path / "alone")
    assert support.best(tmp_path / "two") == support.best(tmp_path / "alone")
    assert {row["worker"] for row in rows} == {0, 1}
    assert "searching with 2 workers, on this machine" in done.stdout
    for row in rows:
        assert f"trial {row['trial']} of 4 (worker {row['worker']}): val_loss {row['score']:.5g}" in done.stdout
    page = (tmp_path / "two" / "report").read_text()
    assert "Trials by worker" in page
    assert "Trials by worker" not in (tmp_path / "alone" / "report").read_text()


# What happens once, in the trial of a number, in whatever process and attempt runs it.
ONCE = """
import os, pathlib, signal

class Once(keras_tuner.RandomSearch):
    def run_trial(self, trial, *args, **kwargs):
        mark = pathlib.Path({mark!r}[::-1])  # A path as such would count as input.
        if int(trial.trial_id) == {trial} - 1 and not mark.exists():
            mark.touch()
            {how}
        time.sleep({wait})
        return super().run_trial(trial, *args, **kwargs)

def tuner_fn(fn_args):
    return result(Once(build, "val_loss", max_trials=50))
"""


def once(folder: Path, trial: int, how: str, wait: float = 0.0) -> str:
    return ONCE.format(mark=str(folder / "mark")[::-1], trial=trial, how=how, wait=wait)


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
    text = once(tmp_path, 2, "pass").replace("time.sleep(0.0)", "os.kill(os.getpid(), signal.SIGKILL)")
    done = searched(tmp_path / "out", prepared, text, {"workers": 2}, max_trials=9)
    assert done.exit_code == 75
    assert done.error.startswith(
        "no worker of 2 is left, and the search is not over, with 2 trials ended: worker 0 was"
    )
    assert not (tmp_path / "out" / "trials").exists()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_search_that_was_killed_goes_on(tmp_path: Path, prepared: Prepared, workers: int) -> None:
    killed = "os.kill(os.getpid(), signal.SIGKILL)" if workers == 1 else "os.kill(os.getppid(), signal.SIGKILL)"
    text = once(tmp_path, 3, killed, wait=0.2)
    whole = searched(tmp_path / "whole", prepared, text.replace(killed, "pass"), {}, max_trials=5)
    assert whole.exit_code == 0, whole.stderr[-4000:]
    (tmp_path / "mark").unlink()
    execution = {"checkpoint_directory": str(tmp_path / "kept"), "workers": workers}
    ended = searched(tmp_path / "out", prepared, text, execution, max_trials=5)
    assert ended.exit_code in (-9, 137)
    (file,) = (tmp_path / "kept").glob("*/search.json")
    tried = len(json.loads(file.read_text())["trials"])
    done = searched(tmp_path / "out", prepared, text, execution, max_trials=5)
    assert done.exit_code == 0, done.stderr[-4000:]
    assert f"going on with the search: {tried} trials have ended, {3 - tried if workers > 1 else 1}" in done.stdout
    assert f"trial {tried} of 5" not in done.stdout.replace(f"going on with the search: {tried} trials", "")
    table = without_workers(tmp_path / "out") if workers > 1 else support.table(tmp_path / "out")
    assert table == support.table(tmp_path / "whole")
    assert support.best(tmp_path / "out") == support.best(tmp_path / "whole")
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
