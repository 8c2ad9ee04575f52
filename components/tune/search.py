"""The account of a search: its trials, its budget, and the oracle of Keras Tuner that says what is tried next."""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from keras_tuner.engine import oracle as oracles
from keras_tuner.engine import trial as trials

from components.runtime.errors import InputError, TransientError
from components.runtime.stage import progress
from components.tune.kept import Kept

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
      worker: which one ran it, from 0.
      begun: seconds after the search's beginning.
    """

    number: int
    state: str
    score: float | None
    values: dict[str, Any]
    steps: int
    seconds: float
    message: str = ""
    worker: int = 0
    begun: float = 0.0


@dataclass(frozen=True)
class Made:
    """What a process has made of the trial that it runs.

    Attributes:
      steps: training steps so far.
      loss: of the last one.
      cut: whether it ends before its last step, because the time is up.
      message: why it failed.
    """

    steps: int = 0
    loss: float | None = None
    cut: bool = False
    message: str = ""


@dataclass
class _Running:
    number: int
    trial_id: str
    begun: float
    made: Made = field(default_factory=Made)


class Search:
    """A search and what came of it; threads may call it.

    Attributes:
      oracle: the user's; nothing else calls its `create_trial` and `end_trial`.
      lock: who has it changes the search, or its oracle, alone.
      workers: how many run trials.
      seconds: time at most; 0 for no limit.
      trials: those that have ended, in their order.
      gone: how each worker ended that is not there any more, by its number.
      has_stopped: whether a worker was told that there is no further trial, after which it ends.
      is_broken: whether the oracle has raised, after which it never answers another thread.
      ended_by: why no further trial was made: `trials`, `minutes`, or `tuner` (the search space is exhausted).
    """

    def __init__(
        self, oracle: oracles.Oracle, max_trials: int, seconds: float, *, workers: int = 1, kept: Kept | None = None
    ) -> None:
        """Sets the budget, and goes on from what is kept of an earlier attempt; nothing runs yet.

        Args:
          oracle: the user's.
          max_trials: trials at most; 0 for as many as the tuner makes.
          seconds: time at most, over all attempts; 0 for no limit.
          workers: how many run trials.
          kept: where it is kept for another attempt.
        """
        self.oracle = oracle
        self.workers = workers
        self.seconds = seconds
        self.trials: list[Trial] = []
        self.gone: dict[int, str] = {}
        self.is_broken = False
        self.ended_by = "tuner"
        self._own_failures: int = oracle.max_consecutive_failed_trials or 3
        # Failures are counted here: a bad corner of the space must not lose what was found elsewhere.
        oracle.max_consecutive_failed_trials = None
        limits = [limit for limit in (max_trials, oracle.max_trials) if limit]
        oracle.max_trials = min(limits) if limits else None
        self._planned = oracle.max_trials
        self._create, self._end = oracle.create_trial, oracle.end_trial
        self.lock = threading.RLock()
        self._running: dict[int, _Running] = {}
        self.has_stopped = False
        self._lost: list[str] = []
        self._kept = kept
        self._begun = time.monotonic()
        if kept and (document := kept.read()) is not None:
            try:
                self._restore(document)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                kept.forget()
                progress.report(
                    f"searching from the beginning: {kept.folder} is of another version, or damaged, and was removed: "
                    f"{error!r}"
                )

    @property
    def objective(self) -> str:
        """Name of what is optimised."""
        return str(self.oracle.objective.name)

    @property
    def direction(self) -> str:
        """`min` or `max`."""
        return str(self.oracle.objective.direction)

    @property
    def best(self) -> Trial | None:
        """The trial with the best score, the first of equals; None where none has one."""
        scored = [trial for trial in self.trials if trial.score is not None]
        sign = -1 if self.direction == "max" else 1
        return min(scored, key=lambda trial: (sign * (trial.score or 0.0), trial.number), default=None)

    @property
    def is_over(self) -> bool:
        """Whether no trial runs and none will."""
        with self.lock:
            return self.has_stopped and not self._running and not self.oracle._retry_queue

    @property
    def seconds_left(self) -> float:
        """Until the time is up; infinity where it has no limit."""
        return self.seconds - self.passed if self.seconds else math.inf

    @property
    def passed(self) -> float:
        """Seconds since the search began, without those between attempts."""
        return time.monotonic() - self._begun

    def best_configuration(self) -> dict[str, Any]:
        """`HyperParameters.get_config()` of the best trial."""
        assert self.best is not None
        trial_id = self.oracle.start_order[self.best.number - 1]
        configuration: dict[str, Any] = self.oracle.trials[trial_id].hyperparameters.get_config()
        return configuration

    def create(self, worker: int = 0) -> trials.Trial:
        """The trial that a worker is to run next, or one that says that there is none, by its status."""
        with self.lock:
            if self.seconds_left <= 0 and (self.trials or self._running):
                self.ended_by = "minutes"
                # The oracle's own way to end: it makes no trial beyond this number.
                self.oracle.max_trials = len(self.oracle.trials)
                # (Private, read in keras-tuner 1.4.8; test_a_search_out_of_time_tries_nothing_again fails without it.)
                self.oracle._retry_queue.clear()
            trial = self._create(f"worker{worker}")
            if trial.status == trials.TrialStatus.STOPPED:
                self.has_stopped = True
            elif trial.status == trials.TrialStatus.RUNNING:
                number = self.oracle.start_order.index(trial.trial_id) + 1
                self._running[worker] = _Running(number, trial.trial_id, self.passed)
                self._save()
                self._tell(f"trial {self.where(worker)}: {_told(_public(trial))}", force=True)
            return trial

    def step(self, worker: int, made: Made) -> None:
        """Takes note of how far a trial is, and tells it now and then."""
        with self.lock:
            if running := self._running.get(worker):
                running.made = made
                self._tell(
                    f"trial {self.where(worker)}: step {made.steps}",
                    None if made.loss is None else {"loss": made.loss},
                )

    def end(self, worker: int, trial: trials.Trial, made: Made) -> None:
        """Takes note of a trial's end.

        Args:
          worker: which ran it.
          trial: with its status; its metrics the oracle has already.
          made: all of it.

        Raises:
          InputError: so many trials have failed, and none had a score, that the search is given up.
        """
        with self.lock:
            self._end(trial)
            running = self._running[worker]
            # `trial` may be a copy: the oracle's own has the score and the final state.
            ended = self.oracle.trials[trial.trial_id]
            if ended.status in (trials.TrialStatus.COMPLETED, trials.TrialStatus.FAILED):
                self._keep(ended, worker, running, made)
            del self._running[worker]
            self._save()
            if self.best is None and len(self.trials) >= self._own_failures:
                raise self._nothing_found()

    def lose(self, worker: int, reason: str) -> None:
        """Counts the trial of a worker that is gone as failed, if it ran one: that may have ended the worker."""
        with self.lock:
            if not self.is_broken and (running := self._running.get(worker)):
                self._lost.append(reason)
                trial = self.oracle.trials[running.trial_id]
                trial.status, trial.message = trials.TrialStatus.FAILED, reason
                self.end(worker, trial, replace(running.made, message=reason))

    def finish(self) -> None:
        """Says why the search ended.

        Raises:
          InputError: every trial failed, or there was none.
          TransientError: every trial failed, and of some the worker was lost.
        """
        if self.ended_by == "tuner" and self._planned and len(self.trials) >= self._planned:
            self.ended_by = "trials"
        if not self.trials:
            raise InputError("the tuner made no trial; give it a search space and at least one trial")
        if self.best is None:
            raise self._nothing_found()

    def where(self, worker: int) -> str:
        """The running trial, as a person counts."""
        number = self._running[worker].number
        counted = f"{number} of {self._planned}" if self._planned else f"{number}"
        return f"{counted} (worker {worker})" if self.workers > 1 else counted

    def forget(self) -> None:
        """Removes what another attempt would go on from."""
        if self._kept:
            self._kept.forget()

    def _tell(self, text: str, values: Mapping[str, float] | None = None, *, force: bool = False) -> None:
        """Tells how far the search is: in trials, or where only its time is limited, in seconds."""
        if self.seconds and not self._planned:
            passed = min(self.passed, self.seconds)
            progress.count(round(passed), round(self.seconds), "seconds", text, values, force=force)
        else:
            progress.count(len(self.trials), self._planned, "trials", text, values, force=force)

    def _keep(self, ended: trials.Trial, worker: int, running: _Running, made: Made) -> None:
        score = ended.score if ended.status == trials.TrialStatus.COMPLETED else None
        message = made.message
        if score is not None and not math.isfinite(score):
            score, message = None, f"{self.objective} is {score}"
        elif score is None and not message:
            message = f"{self.objective} is not a number"
        state = FAILED if score is None else CUT_SHORT if made.cut else COMPLETED
        seconds = self.passed - running.begun
        trial = Trial(running.number, state, score, _public(ended), made.steps, seconds, message, worker, running.begun)
        self.trials = sorted([*self.trials, trial], key=lambda each: each.number)
        if score is None:
            self._tell(f"trial {self.where(worker)} failed: {message}", force=True)
        else:
            assert self.best is not None
            self._tell(
                f"trial {self.where(worker)}{', cut short' if made.cut else ''}: {self.objective} {score:.5g}, "
                f"best {self.best.score:.5g} (trial {self.best.number})",
                force=True,
            )

    def _nothing_found(self) -> InputError | TransientError:
        # What failed stays failed: the next attempt begins anew.
        self.forget()
        kind = TransientError if self._lost else InputError
        return kind(
            f"all {len(self.trials)} trials failed, so there are no best hyperparameters; the first: "
            f"{self.trials[0].message}; with {_told(self.trials[0].values)}"
        )

    def _save(self) -> None:
        if self._kept:
            self._kept.write(
                {
                    "seconds": self.passed,
                    "trials": [asdict(trial) for trial in self.trials],
                    "oracle": self.oracle.get_state(),
                    "tried": [trial.get_state() for trial in self.oracle.trials.values()],
                }
            )

    def _restore(self, document: Mapping[str, Any]) -> None:
        tried = [trials.Trial.from_state(state) for state in document["tried"]]
        ended, seconds = [Trial(**each) for each in document["trials"]], float(document["seconds"])
        # A copy takes it first: of what does not fit nothing may be left in the search.
        oracle = copy.copy(self.oracle)
        oracle.trials = {trial.trial_id: trial for trial in tried}
        oracle.set_state(document["oracle"])
        if sorted(oracle.start_order) != sorted(oracle.trials):
            raise ValueError("its trials are not those that its tuner began")
        # As Keras Tuner's own `reload` has it; the queue is taken from its end.
        again = sorted((trial.trial_id for trial in oracle.ongoing_trials.values()), reverse=True)
        oracle._retry_queue = [*oracle._retry_queue, *again]
        oracle.ongoing_trials = {}
        vars(self.oracle).update(vars(oracle))
        self.trials = ended
        self._begun -= seconds
        running = f", {len(again)} that ran when it ended begin again" if again else ""
        progress.report(f"going on with the search: {len(self.trials)} trials have ended{running}")


def _public(trial: trials.Trial) -> dict[str, Any]:
    values = trial.hyperparameters.values.items()
    return {name: value for name, value in values if not name.startswith(_INTERNAL)}


def _told(values: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()) or "defaults"
