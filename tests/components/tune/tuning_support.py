"""Calls of the tune stage, in this process and as a main program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.runtime.stage import executor
from components.runtime.stage.executor import Execution
from components.tune.tune import tune
from tests.components.train.training_support import Prepared
from tests.support import executor_input

HEAD = """
import time
import keras
import keras_tuner
import numpy as np
import tensorflow as tf
from tfx.v1.components import TunerFnResult

x, y = np.linspace(-1, 1, 256, dtype="float32")[:, None], np.linspace(-2, 2, 256, dtype="float32")[:, None]

def build(hp):
    rate = hp.Float("rate", 1e-3, 1.0, sampling="log")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model

def result(tuner, **more):
    return TunerFnResult(tuner=tuner, fit_kwargs={"x": x, "y": y, "validation_data": (x, y), "verbose": 0} | more)
"""
"""A user's module without its tuner_fn."""

OUTPUTS = ["best_hyperparameters", "trials", "metrics", "report"]


def call(folder: Path, prepared: Prepared, module_file: Path | str, **parameters: Any) -> dict[str, Any]:
    """An executor input of the stage."""
    defaults = {
        "train_steps": 20,
        "eval_steps": 2,
        "seed": 42,
        "custom_config": {},
        "max_trials": 3,
        "max_minutes": 0,
    }
    return executor_input(
        folder,
        parameters={"module_file": str(module_file)} | defaults | parameters,
        inputs=prepared.inputs(),
        outputs=OUTPUTS,
    )


def run(folder: Path, prepared: Prepared, module_file: Path, **parameters: Any) -> dict[str, dict[str, Any]]:
    """Runs the stage in this process; returns the metadata of its outputs."""
    Execution.parse("tune", call(folder, prepared, module_file, **parameters)).run(tune)
    output = json.loads((folder / "executor_output.json").read_text())
    return {name: entry["artifacts"][0]["metadata"] for name, entry in output["artifacts"].items()}


def table(folder: Path) -> dict[str, Any]:
    """The trials that a run wrote."""
    content: dict[str, Any] = json.loads((folder / "trials" / "trials.json").read_text())
    return content


def best(folder: Path) -> dict[str, Any]:
    """The best hyperparameters that a run wrote."""
    content: dict[str, Any] = json.loads((folder / "best_hyperparameters" / "best_hyperparameters.txt").read_text())
    return content


def failure(
    folder: Path, prepared: Prepared, module_file: Path | str, capsys: pytest.CaptureFixture[str], **parameters: Any
) -> str:
    """Runs the stage's main program, which must exit with 65 and leave nothing behind; returns its line."""
    file, outputs = folder / "call.json", folder / "outputs"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(call(outputs, prepared, module_file, **parameters)))
    with pytest.raises(SystemExit) as exit_:
        executor.run_stage("components.tune.tune:tune", ["--executor-input", f"@{file}"])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert exit_.value.code == 65, lines
    assert list(outputs.glob("**/*")) == []
    return lines[-1]
