"""What a search answers to the messages of `remote`, one of its workers'."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from keras_tuner.engine import hyperparameters as hp
from keras_tuner.engine import trial as trials

from components.runtime.errors import EXIT_INPUT, EXIT_TRANSIENT, InputError, StageError, TransientError
from components.tune.search import Made, Search

OVER = {"over": True}
"""What every worker is told at the end of the search, however it ended."""


class Clerk:
    """Answers one worker."""

    def __init__(self, search: Search, worker: int, count: int) -> None:
        """Takes the search, which worker it is, and of how many."""
        self._search = search
        self._worker = worker
        self._count = count

    def answer(self, call: str, **arguments: Any) -> dict[str, Any] | None:
        """Does what a message asks for; None where nobody waits for an answer.

        Raises:
          StageError: what ends the search.
        """
        with self._search.lock:
            if self._search.is_broken:
                return OVER
            try:
                answer: dict[str, Any] | None = getattr(self, f"_{call}")(**arguments)
            except Exception:
                self._search.is_broken = True
                raise
        return answer

    def _create(self) -> dict[str, Any]:
        trial, left = self._search.create(self._worker), self._search.seconds_left
        return {"trial": trial.get_state(), "seconds_left": None if left == math.inf else left}

    def _step(self, made: Mapping[str, Any] | None) -> None:
        if made:
            self._search.step(self._worker, Made(**made))

    def _end(self, trial: dict[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
        self._search.end(self._worker, trials.Trial.from_state(trial), Made(**made))
        return {}

    def _fault(self, message: str, code: int) -> dict[str, Any]:
        kind = {EXIT_INPUT: InputError, EXIT_TRANSIENT: TransientError}.get(code, StageError)
        raise kind(f"worker {self._worker} of {self._count}: {message}")

    def _update_trial(self, trial_id: str, metrics: dict[str, Any], step: int) -> dict[str, Any]:
        return {"trial": self._search.oracle.update_trial(trial_id, metrics, step=step).get_state()}

    def _get_trial(self, trial_id: str) -> dict[str, Any]:
        return {"trial": self._search.oracle.get_trial(trial_id).get_state()}

    def _get_best_trials(self, num_trials: int) -> dict[str, Any]:
        return {"trials": [trial.get_state() for trial in self._search.oracle.get_best_trials(num_trials)]}

    def _get_space(self) -> dict[str, Any]:
        return {"space": self._search.oracle.get_space().get_config()}

    def _update_space(self, space: dict[str, Any]) -> dict[str, Any]:
        self._search.oracle.update_space(hp.HyperParameters.from_config(space))
        return {}
