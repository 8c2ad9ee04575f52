"""Runs the trials of a user's Keras Tuner in this process, for a search here or in another one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import keras
import keras_tuner
import tensorflow as tf
from keras_tuner.engine import base_tuner
from keras_tuner.engine import trial as keras_trials

from components.runtime.errors import classify, operation_cause
from components.tune.search import Made, Search
from components.tune.tuners import Tuner

_MESSAGE_LENGTH = 300
_IDLE_SECONDS = 0.5
"""After which an oracle is asked again that first has to know how other trials end."""


class Desk(Protocol):
    """Where a process gets its trials, and tells what came of them."""

    def create(self) -> tuple[keras_trials.Trial, float]:
        """The next trial, and the seconds that are left to it: infinity where there is no limit."""

    def step(self, made: Made) -> None:
        """Tells how far the trial is."""

    def end(self, trial: keras_trials.Trial, made: Made) -> None:
        """Tells that it has ended."""


class Here:
    """The desk of a search in this process."""

    def __init__(self, search: Search) -> None:
        """Takes the search."""
        self._search = search

    def create(self) -> tuple[keras_trials.Trial, float]:
        """As Desk has it."""
        return self._search.create(), self._search.seconds_left

    def step(self, made: Made) -> None:
        """As Desk has it."""
        self._search.step(0, made)

    def end(self, trial: keras_trials.Trial, made: Made) -> None:
        """As Desk has it."""
        self._search.end(0, trial, made)


class Runner:
    """Has a tuner run the trials that a desk hands out."""

    def __init__(self, made: Tuner, seed: int, desk: Desk) -> None:
        """Puts the desk between the tuner and its oracle.

        Args:
          made: the user's tuner.
          seed: what every trial's random numbers begin with, so that only the hyperparameters tell them apart.
          desk: where trials come from.
        """
        self._tuner = tuner = made.tuner
        self._fit_kwargs = made.fit_kwargs
        self._again = made.again
        self._first = True
        self._seed = seed
        self._desk = desk
        self._deadline = math.inf
        self.made = Made()
        tuner.oracle.create_trial = self._create
        tuner.oracle.end_trial = self._end
        tuner.run_trial = self._running(tuner.run_trial)

    def run(self) -> None:
        """Runs trials until there are no more.

        Raises:
          InputError: so many trials have failed, and none had a score, that the search is given up.
          FatalError: what no other hyperparameters help: the tuner or a model cannot work at all, or a full disk.
        """
        self._tuner.search(**self._arguments(self._fit_kwargs))

    def _arguments(self, fit_kwargs: dict[str, Any]) -> dict[str, Any]:
        given = dict(fit_kwargs)
        given.setdefault("verbose", 0)
        if isinstance(self._tuner, keras_tuner.Tuner):
            callbacks = given.get("callbacks") or []
            given["callbacks"] = [_Watcher(self), *(callbacks if isinstance(callbacks, list | tuple) else [callbacks])]
        return given

    @property
    def out_of_time(self) -> bool:
        """Whether the minutes are spent."""
        return time.monotonic() >= self._deadline

    def note(self, **changes: Any) -> None:
        """Notes what the trial that runs has made, and tells it."""
        self.made = Made(**(vars(self.made) | changes))
        self._desk.step(self.made)

    def _create(self, _: str) -> keras_trials.Trial:
        while True:
            trial, seconds = self._desk.create()
            self._deadline = time.monotonic() + seconds
            self.made = Made()
            if trial.status != keras_trials.TrialStatus.IDLE:
                return trial
            time.sleep(_IDLE_SECONDS)

    def _end(self, trial: keras_trials.Trial) -> None:
        self._desk.end(trial, self.made)

    def _running(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def run_trial(trial: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                if not self._first:
                    # A dataset that shuffles goes on in its order where the last trial left it: no trial's score may
                    # hang on which ones this process ran before.
                    kwargs |= self._arguments(self._again())
                self._first = False
                keras.utils.set_random_seed(self._seed)
                return original(trial, *args, **kwargs)
            except Exception as error:
                known = classify(error)
                if known is not None:
                    # A full disk, or data that cannot be read: no other hyperparameters help.
                    raise keras_tuner.errors.FatalError(str(known)) from known
                self.note(message=_one_line(error))
                raise

        return run_trial


class _Watcher(keras.callbacks.Callback):
    """Ends a trial that is out of time or has diverged, and counts its steps."""

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self._runner = runner
        self._batch = -1

    def __deepcopy__(self, memo: dict[int, Any]) -> _Watcher:
        """Keras Tuner copies callbacks for each trial; the runner is one."""
        return _Watcher(self._runner)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._batch = -1

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        runner, steps = self._runner, batch - self._batch
        self._batch = batch
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            runner.note(steps=runner.made.steps + steps)
            raise keras_tuner.errors.FailedTrialError(f"diverged: loss is {loss}")
        runner.note(steps=runner.made.steps + steps, loss=loss)
        if runner.out_of_time and not self._is_last(batch):
            self._cut()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._runner.out_of_time and epoch + 1 < (self.params.get("epochs") or 1):
            self._cut()

    def _cut(self) -> None:
        self._runner.note(cut=True)
        self.model.stop_training = True

    def _is_last(self, batch: int) -> bool:
        steps = self.params.get("steps")
        return steps is not None and batch + 1 >= steps


def keep_inside(tuner: base_tuner.BaseTuner, folder: Path) -> None:
    """Has a tuner write its trials below a folder, whatever directory it was made with."""
    tuner.directory = str(folder)
    # (Private, read in keras-tuner 1.4.8;
    # test_a_tuner_with_a_folder_of_its_own_is_brought_into_the_stages fails without it.)
    tuner.oracle._set_project_dir(tuner.directory, tuner.project_name)


def _one_line(error: Exception) -> str:
    message = operation_cause(error.message) if isinstance(error, tf.errors.OpError) else str(error)
    message = " ".join(message.split())
    if len(message) > _MESSAGE_LENGTH:
        message = f"{message[:_MESSAGE_LENGTH]}…"
    return message if isinstance(error, keras_tuner.errors.FailedTrialError) else f"{type(error).__name__}: {message}"
