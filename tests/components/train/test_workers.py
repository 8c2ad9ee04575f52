"""Training by several processes: they make the steps of one with the whole batch, and go on where one was lost."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.components.train import training_support as support
from tests.support import StageResult, run_stage

STEPS, EPOCHS, BATCH = 12, 3, 64

# The last worker ends itself in the second epoch, unless it has done so before.
LOSES_A_WORKER = """
import os, pathlib, signal, sys
sys.path.insert(0, {folder!r})
import keras
from components.runtime.module_file import workers
import model as taxi

class Lost(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        mark = pathlib.Path({mark!r}[::-1])  # A path as such would count as input.
        if workers.index() == 1 and self.epoch == 1 and batch == 1 and not mark.exists():
            mark.touch()
            {how}
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

callbacks = taxi.training.callbacks
taxi.training.callbacks = lambda early_stopping: [*callbacks(early_stopping), Lost()]
run_fn = taxi.run_fn
"""


def trained(folder: Path, module_file: Path, batch: int, **execution: Any) -> StageResult:
    """Trains taxi without early stopping, as a process of its own: workers are forks of one that has done nothing."""
    config = {"batch_size": batch, "epochs": EPOCHS, "early_stopping": 5} | (
        {"execution": execution} if execution else {}
    )
    prepared = support.taxi()
    call = support.train_call(folder, prepared, module_file, train_steps=STEPS, eval_steps=4, custom_config=config)
    return run_stage(
        "train",
        folder,
        parameters=call["inputs"]["parameterValues"],
        inputs=prepared.inputs(),
        outputs=support.OUTPUTS,
    )


def curves(done: StageResult) -> dict[str, float]:
    assert done.exit_code == 0, done.stderr[-4000:]
    values = done.metadata("metrics")
    return {name: value for name, value in values.items() if name.startswith(("train_", "eval_"))}


def losing(folder: Path, how: str) -> Path:
    taxi = support.TAXI_MODULE.parent
    module = folder / "loses_a_worker.py"
    module.write_text(LOSES_A_WORKER.format(folder=str(taxi), mark=str(folder / "lost")[::-1], how=how))
    return module


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of one process with the whole batch, and what it said."""
    folder = tmp_path_factory.mktemp("alone") / "out"
    values = curves(trained(folder, support.TAXI_MODULE, 2 * BATCH))
    (folder / "curves.json").write_text(json.dumps(values))
    return folder


def is_as(folder: Path, alone: Path, values: dict[str, float]) -> None:
    assert values == pytest.approx(json.loads((alone / "curves.json").read_text()), rel=1e-4)
    ours, its = support.weights(folder), support.weights(alone)
    assert ours.keys() == its.keys()
    for name, array in its.items():
        np.testing.assert_allclose(ours[name], array, atol=2e-4, err_msg=name)


@pytest.mark.slow
def test_two_workers_make_the_steps_of_one_with_the_double_batch(tmp_path: Path, alone: Path) -> None:
    done = trained(tmp_path / "out", support.TAXI_MODULE, BATCH, workers=2)
    is_as(tmp_path / "out", alone, curves(done))
    assert "training with 2 workers on this machine" in done.stdout
    assert done.metadata("model")["workers"] == 2
    assert done.metadata("metrics")["examples"] == STEPS * 2 * BATCH


@pytest.mark.slow
def test_a_lost_worker_is_told_and_the_next_attempt_goes_on(tmp_path: Path, alone: Path) -> None:
    module = losing(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    kept = {"workers": 2, "checkpoint_directory": str(tmp_path / "kept")}
    begun = time.monotonic()
    lost = trained(tmp_path / "out", module, BATCH, **kept)
    assert time.monotonic() - begun < 120
    assert lost.exit_code == 75
    assert lost.error.startswith("worker 1 of 2 was ended by SIGKILL; the machine may be out of memory; ")
    assert not (tmp_path / "out" / "model").exists()
    done = trained(tmp_path / "out", module, BATCH, **kept)
    assert f"going on from the checkpoint of step {STEPS // EPOCHS}" in done.stdout
    is_as(tmp_path / "out", alone, curves(done))
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.slow
def test_of_a_worker_that_stands_still_what_is_known_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = losing(tmp_path, "print('it stands', flush=True); os.kill(os.getpid(), signal.SIGSTOP)")
    lost = trained(tmp_path / "out", module, BATCH, workers=2)
    assert lost.exit_code == 75
    assert re.fullmatch(
        r"worker 1 of 2 cannot be reached any more, and they train together or not at all; its process, \d+, was "
        r"stopped \(as by SIGSTOP\), and what it has printed stands above; try again",
        lost.error,
    )
    assert "it stands" in lost.stderr
