"""Checkpoints of a training: what another attempt at the same one needs to go on where the last one ended.

One at the end of every epoch, in one file: weights, optimizer, seeds of layers, early stopping, and the curves so far.
The data needs nothing of it: the same seed draws the same batches, and those that were used are passed over.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.runtime.errors import InputError, TransientError, classify
from components.runtime.module_file import workers
from components.runtime.stage import progress
from components.runtime.stage.artifacts import remove, written_whole
from components.train.history import History

_FILE = "checkpoint.npz"
_STATE = "state"
_STOPPING = ("best", "wait", "best_epoch", "stopped_epoch")
_HISTORY = ("steps", "seconds", "examples", "train", "eval", "ends")


class Checkpoints:
    """Those of one training, of the first `fit` of a Keras 3 model in it."""

    def __init__(self, directory: str, key: str, history: History) -> None:
        """Reads nothing yet.

        Args:
          directory: of all trainings, on a disk that every worker and a later attempt sees.
          key: of this training.
          history: is put back, and kept.
        """
        self._file = Path(directory) / key / _FILE
        self.history = history
        self._fits = 0

    def check(self) -> None:
        """Makes the folder of all trainings, before one has taken its time.

        Raises:
          InputError: checkpoints cannot be written there.
          TransientError: the disk is full, or does not answer.
        """
        if workers.index():
            return
        folder = self._file.parent.parent
        refused = "it may not be written to"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if isinstance(fault := classify(error), TransientError):
                raise fault from error
            refused = f"it cannot be made: {error.strerror}"
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(f"train.{workers.CHECKPOINT_DIRECTORY} is {folder}: {refused}; name another one")

    def begin(self, model: keras.Model, arguments: dict[str, Any]) -> list[keras.callbacks.Callback]:
        """Puts a model where the last attempt left it, and returns the callback that keeps it from now on.

        Args:
          model: compiled.
          arguments: of its `fit`; the first epoch is changed, and the batches before it are passed over.
        """
        self._fits += 1
        if self._fits > 1:
            # A second one would have to know what the first one left.
            self.forget()
            return []
        stored = self._read()
        variables = _variables(model)
        if stored and [each.shape for each in variables] != [array.shape for array in stored.variables]:
            progress.report("training from the beginning: the checkpoint has other variables than the model")
            stored = None
        if stored:
            for variable, array in zip(variables, stored.variables, strict=True):
                variable.assign(array)
            arguments["initial_epoch"] = stored.epochs
            steps = arguments.get("steps_per_epoch")
            if isinstance(arguments.get("x"), tf.data.Dataset) and steps:
                arguments["x"] = arguments["x"].skip(stored.epochs * steps)
            for name, value in stored.history.items():
                setattr(self.history, name, value)
            self.history.resumed_at = self.history.steps
            progress.report(f"going on from the checkpoint of step {self.history.steps}")
        return [_Keeper(self, stored)]

    def _read(self) -> _Stored | None:
        if not self._file.is_file():
            return None
        try:
            with np.load(self._file, allow_pickle=False) as arrays:
                return _Stored({name: arrays[name] for name in arrays.files})
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            progress.report(f"training from the beginning: {self._file} cannot be read: {error}")
            return None

    def keep(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replaces the last checkpoint, all at once; the chief does."""
        if workers.index():
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(self._file) as part, part.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)

    def forget(self) -> None:
        """Removes what the training no longer needs; the chief does."""
        if not workers.index():
            remove(self._file.parent)


class _Stored:
    """What a file holds."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        state = json.loads(str(arrays[_STATE]))
        self.variables = [arrays[f"variable{index}"] for index in range(state["variables"])]
        self.epochs: int = state["epochs"]
        self.stopping: list[dict[str, Any]] = state["stopping"]
        for number, each in enumerate(self.stopping):
            count = each.pop("weights")
            each["best_weights"] = (
                None if count is None else [arrays[f"stopping{number}.{index}"] for index in range(count)]
            )
        self.history: dict[str, Any] = state["history"]
        for name in ("train", "eval"):
            curves = self.history[name].items()
            self.history[name] = {metric: [(step, value) for step, value in curve] for metric, curve in curves}
        self.history["ends"] = {int(epoch): step for epoch, step in self.history["ends"].items()}


class _Keeper(keras.callbacks.Callback):
    """The last of the callbacks: when it is called, the others have done theirs."""

    def __init__(self, checkpoints: Checkpoints, stored: _Stored | None) -> None:
        super().__init__()
        self._checkpoints = checkpoints
        self._stored = stored
        self.stoppers: list[keras.callbacks.EarlyStopping] = []

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        for stopper, state in zip(self.stoppers, self._stored.stopping if self._stored else [], strict=False):
            for name, value in state.items():
                setattr(stopper, name, value)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        variables = [keras.ops.convert_to_numpy(each) for each in _variables(self.model)]
        arrays = {f"variable{index}": array for index, array in enumerate(variables)}
        stopping = []
        for number, stopper in enumerate(self.stoppers):
            best = stopper.best_weights
            stopping.append({name: _plain(getattr(stopper, name)) for name in _STOPPING})
            stopping[-1]["weights"] = None if best is None else len(best)
            arrays |= {f"stopping{number}.{index}": np.asarray(array) for index, array in enumerate(best or [])}
        history = self._checkpoints.history
        state = {
            "epochs": epoch + 1,
            "variables": len(variables),
            "stopping": stopping,
            "history": {name: getattr(history, name) for name in _HISTORY},
        }
        self._checkpoints.keep(arrays | {_STATE: np.array(json.dumps(state))})


def _variables(model: keras.Model) -> list[Any]:
    """All that a step changes: weights, seeds of layers, the optimizer's; not the metrics, which begin anew."""
    if not model.optimizer.built and model.built:
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


def _plain(value: Any) -> Any:
    return value if value is None else float(value) if isinstance(value, float | np.floating) else int(value)
