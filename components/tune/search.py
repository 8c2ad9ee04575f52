"""Runs a user's Keras Tuner within a budget, and keeps account of its trials."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import tensorflow as tf
from keras_tuner.engine import base_tuner

from components.runtime.errors import InputError, classify, operation_cause
from components.runtime.stage import progress

_MESSAGE_LENGTH = 300
_INTERNAL = "tuner/"
"""Hyperband keeps its own bookkeeping among the hyperparameters, under this prefix."""

COMPLETED, CUT_SHORT, FAILED = "completed", "cut short", "failed"


@dataclass(frozen=True)
class Trial:
    """One trial that has ended.

    Attributes:
      number: from 1, in the order in which they began.
      state: `completed`, `cut short` (scored, but out of time before its last step), or `failed`.
      score: of the objective; None where it failed.
      values: of the hyperparameters.
      steps: training steps made, over all executions of the trial.
      seconds: how long it took.
      message: why it failed, in one line.
    """

    number: int
    state: str
    score: float | None
    values: dict[str, Any]
    steps: int
    seconds: float
    message: str = ""


@dataclass
class Search:
    """A search and what came of it.

    Attributes:
      tuner: the user's.
      max_trials: trials at most; 0 for as many as the tuner makes.
      seconds: time at most; 0 for no limit.
      seed: what every trial's random numbers begin with, so that only the values of hyperparameters tell them apart.
      trials: those that have ended, in their order.
      ended_by: why no further trial was made: `trials`, `minutes`, or `tuner` (the search space is exhausted).
    """

    tuner: base_tuner.BaseTuner
    max_trials: int
    seconds: float
    seed: int
    trials: list[Trial] = field(default_factory=list)
    ended_by: str = "tuner"

    def __post_init__(self) -> None:
        """Sets the budget; nothing runs yet."""
        oracle = self.tuner.oracle
        self._own_failures: int = oracle.max_consecutive_failed_trials or 3
        # Failures are counted here: a bad corner of the space must not lose what was found elsewhere.
        oracle.max_consecutive_failed_trials = None
        limits = [limit for limit in (self.max_trials, oracle.max_trials) if limit]
        oracle.max_trials = min(limits) if limits else None
        self._planned = oracle.max_trials
        self._deadline = math.inf
        self._number = self._steps = 0
        self._begun = 0.0
        self._cut = False
        self._message = ""

    @property
    def objective(self) -> str:
        """Name of what is optimised."""
        return str(self.tuner.oracle.objective.name)

    @property
    def direction(self) -> str:
        """`min` or `max`."""
        return str(self.tuner.oracle.objective.direction)

    @property
    def best(self) -> Trial | None:
        """The trial with the best score, the first of equals; None where none has one."""
        scored = [trial for trial in self.trials if trial.score is not None]
        sign = -1 if self.direction == "max" else 1
        return min(scored, key=lambda trial: sign * (trial.score or 0.0), default=None)

    def best_configuration(self) -> dict[str, Any]:
        """`HyperParameters.get_config()` of the best trial."""
        assert self.best is not None
        trial_id = self.tuner.oracle.start_order[self.best.number - 1]
        configuration: dict[str, Any] = self.tuner.oracle.trials[trial_id].hyperparameters.get_config()
        return configuration

    def run(self, fit_kwargs: dict[str, Any]) -> None:
        """Searches until the budget is spent or the tuner has no more to try.

        Args:
          fit_kwargs: arguments of the tuner's `search`.

        Raises:
          InputError: every trial failed, or the tuner or a model cannot work at all.
          TransientError: what may pass, such as a full disk.
        """
        tuner, given = self.tuner, dict(fit_kwargs)
        given.setdefault("verbose", 0)
        if isinstance(tuner, keras_tuner.Tuner):
            callbacks = given.get("callbacks") or []
            given["callbacks"] = [_Watcher(self), *(callbacks if isinstance(callbacks, list | tuple) else [callbacks])]
        tuner.pre_create_trial = self._before(tuner.pre_create_trial)
        tuner.run_trial = self._running(tuner.run_trial)
        tuner.on_trial_end = self._after(tuner.on_trial_end)
        if self.seconds:
            self._deadline = time.monotonic() + self.seconds
        tuner.search(**given)
        if self.ended_by == "tuner" and self._planned and len(self.trials) >= self._planned:
            self.ended_by = "trials"
        if not self.trials:
            raise InputError("the tuner made no trial; give it a search space and at least one trial")
        if self.best is None:
            raise self._nothing_found()

    @property
    def out_of_time(self) -> bool:
        """Whether the minutes are spent."""
        return time.monotonic() >= self._deadline

    def step(self, count: int) -> None:
        """Counts training steps of the running trial."""
        self._steps += count

    def tell(self, text: str, values: Mapping[str, float] | None = None, *, force: bool = False) -> None:
        """Tells how far the search is: in trials, or where only its time is limited, in seconds."""
        if self.seconds and not self._planned:
            passed = time.monotonic() - (self._deadline - self.seconds)
            progress.count(round(min(passed, self.seconds)), round(self.seconds), "seconds", text, values, force=force)
        else:
            progress.count(len(self.trials), self._planned, "trials", text, values, force=force)

    def cut(self) -> None:
        """Notes that the running trial ends before its last step."""
        self._cut = True

    def _before(self, original: Callable[[], None]) -> Callable[[], None]:
        def pre_create_trial() -> None:
            oracle = self.tuner.oracle
            if self.out_of_time and self.trials:
                self.ended_by = "minutes"
                # The oracle's own way to end: it makes no trial beyond this number.
                oracle.max_trials = len(oracle.trials)
                # (Private, read in keras-tuner 1.4.8; test_a_search_out_of_time_tries_nothing_again fails without it.)
                oracle._retry_queue.clear()
            original()

        return pre_create_trial

    def _running(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def run_trial(trial: Any, *args: Any, **kwargs: Any) -> Any:
            self._number = self.tuner.oracle.start_order.index(trial.trial_id) + 1
            self._steps, self._cut, self._message = 0, False, ""
            self._begun = time.monotonic()
            self.tell(f"trial {self.where}: {_told(_public(trial))}", force=True)
            keras.utils.set_random_seed(self.seed)
            try:
                return original(trial, *args, **kwargs)
            except Exception as error:
                known = classify(error)
                if known is not None:
                    # A full disk, or data that cannot be read: no other hyperparameters help.
                    raise keras_tuner.errors.FatalError(str(known)) from known
                self._message = _one_line(error)
                raise

        return run_trial

    def _after(self, original: Callable[[Any], None]) -> Callable[[Any], None]:
        def on_trial_end(trial: Any) -> None:
            original(trial)
            # `trial` may be a copy: the oracle's own has the score and the final state.
            ended = self.tuner.oracle.trials[trial.trial_id]
            if ended.status not in ("COMPLETED", "FAILED"):
                return  # It will be tried again.
            self._keep(ended)

        return on_trial_end

    @property
    def where(self) -> str:
        """The running trial, as a person counts."""
        return f"{self._number} of {self._planned}" if self._planned else f"{self._number}"

    def _keep(self, ended: Any) -> None:
        score = ended.score if ended.status == "COMPLETED" else None
        message = self._message
        if score is not None and not math.isfinite(score):
            score, message = None, f"{self.objective} is {score}"
        elif score is None and not message:
            message = f"{self.objective} is not a number"
        state = FAILED if score is None else CUT_SHORT if self._cut else COMPLETED
        seconds = time.monotonic() - self._begun
        trial = Trial(self._number, state, score, _public(ended), self._steps, seconds, message)
        self.trials.append(trial)
        if score is None:
            self.tell(f"trial {self.where} failed: {message}", force=True)
        else:
            assert self.best is not None
            self.tell(
                f"trial {self.where}{', cut short' if self._cut else ''}: {self.objective} {score:.5g}, "
                f"best {self.best.score:.5g} (trial {self.best.number})",
                force=True,
            )
        if self.best is None and len(self.trials) >= self._own_failures:
            raise self._nothing_found()

    def _nothing_found(self) -> InputError:
        count = len(self.trials)
        return InputError(
            f"all {count} trials failed, so there are no best hyperparameters; the first: "
            f"{self.trials[0].message}; with {_told(self.trials[0].values)}"
        )


class _Watcher(keras.callbacks.Callback):
    """Ends a trial that is out of time or has diverged, and counts its steps."""

    def __init__(self, search: Search) -> None:
        super().__init__()
        self._search = search
        self._batch = -1

    def __deepcopy__(self, memo: dict[int, Any]) -> _Watcher:
        """Keras Tuner copies callbacks for each trial; the search is one."""
        return _Watcher(self._search)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._batch = -1

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._search.step(batch - self._batch)
        self._batch = batch
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise keras_tuner.errors.FailedTrialError(f"diverged: loss is {loss}")
        self._search.tell(f"trial {self._search.where}: step {self._search._steps}", {"loss": loss})
        if self._search.out_of_time and not self._is_last(batch):
            self._search.cut()
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._search.out_of_time and epoch + 1 < (self.params.get("epochs") or 1):
            self._search.cut()
            self.model.stop_training = True

    def _is_last(self, batch: int) -> bool:
        steps = self.params.get("steps")
        return steps is not None and batch + 1 >= steps


def keep_inside(tuner: base_tuner.BaseTuner, folder: Path) -> None:
    """Has a tuner write its trials below a folder, whatever directory it was made with."""
    if not Path(tuner.project_dir).absolute().is_relative_to(folder):
        tuner.directory = str(folder)
        # (Private, read in keras-tuner 1.4.8;
        # test_a_tuner_with_a_folder_of_its_own_is_brought_into_the_stages fails without it.)
        tuner.oracle._set_project_dir(tuner.directory, tuner.project_name)


def _public(trial: Any) -> dict[str, Any]:
    values = trial.hyperparameters.values.items()
    return {name: value for name, value in values if not name.startswith(_INTERNAL)}


def _told(values: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()) or "defaults"


def _one_line(error: Exception) -> str:
    message = operation_cause(error.message) if isinstance(error, tf.errors.OpError) else str(error)
    message = " ".join(message.split())
    if len(message) > _MESSAGE_LENGTH:
        message = f"{message[:_MESSAGE_LENGTH]}…"
    return message if isinstance(error, keras_tuner.errors.FailedTrialError) else f"{type(error).__name__}: {message}"
