"""One trial with values that somebody else has chosen, Katib: `python -m components.tune.one_trial`.

Its executor input is that of the stage, without artifacts to make, and with `values`. What came of it is a line on
standard output, `TIME METRIC=NUMBER`, which Katib's collector of metrics reads there (`./millrace katib export`). Its
time makes it the latest, whatever else the user's function has printed in that form. Before it there is such a line of
each epoch, by which Katib can end a trial early.
"""

from __future__ import annotations

import math
import re
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine import oracle as oracles
from keras_tuner.engine import trial as trials

from components.runtime.errors import InputError
from components.runtime.module_file import loading, training_input, workers
from components.runtime.stage import progress
from components.runtime.stage.artifacts import InputArtifact
from components.runtime.stage.executor import run_stage
from components.tune import tuners
from components.tune.search import Made
from components.tune.trials import Runner, keep_inside

_TRIAL = "0"
_METRIC = re.compile(r"[^\w-]+", re.ASCII)


def one_trial(
    transformed_examples: InputArtifact,
    transform_graph: InputArtifact,
    schema: InputArtifact,
    module_file: str,
    train_steps: int,
    eval_steps: int,
    seed: int,
    custom_config: dict[str, Any],
    values: dict[str, str],
) -> None:
    """Runs the trial and prints its score.

    Args:
      transformed_examples: as of the stage, and so are those that follow.
      transform_graph: see there.
      schema: see there.
      module_file: see there.
      train_steps: see there.
      eval_steps: see there.
      seed: see there.
      custom_config: see there.
      values: of the hyperparameters, as texts.

    Raises:
      InputError: an argument, the module or the data is at fault, or the trial failed.
    """
    training_input.check(transformed_examples, train_steps, eval_steps, seed)
    training_input.quieten()
    handed_on = {name: value for name, value in custom_config.items() if name != workers.KEY}
    with (
        tempfile.TemporaryDirectory() as folder,
        tuners.made(
            transformed_examples,
            transform_graph,
            schema,
            module_file=module_file,
            train_steps=train_steps,
            eval_steps=eval_steps,
            seed=seed,
            custom_config=handed_on,
            scratch=Path(folder),
        ) as made,
    ):
        tuner = made.tuner
        keep_inside(tuner, Path(folder))
        if isinstance(tuner, keras_tuner.Tuner):
            before = made.fit_kwargs.get("callbacks") or []
            before = before if isinstance(before, list | tuple) else [before]
            made.fit_kwargs["callbacks"] = [*before, _Epochs(str(tuner.oracle.objective.name))]
        desk = _Desk(tuner.oracle, values)
        loading.call_for(made.tuner_fn, Runner(made, seed, desk).run)
    name = str(tuner.oracle.objective.name)
    if desk.score is None or not math.isfinite(desk.score):
        raise InputError(f"the trial failed: {desk.made.message or f'{name} is {desk.score}'}")
    _say(name, desk.score)


def _say(objective: str, value: float) -> None:
    # (No line of `progress`: Katib reads it, and takes what is before `=` for the metric's name.)
    sys.stdout.write(f"{datetime.now(UTC).isoformat()} {metric_name(objective)}={value!r}\n")
    sys.stdout.flush()


def metric_name(objective: str) -> str:
    """An objective in the letters that Katib's collector knows."""
    return _METRIC.sub("_", objective)


class _Epochs(keras.callbacks.Callback):
    """Says the objective after every epoch."""

    def __init__(self, objective: str) -> None:
        super().__init__()
        self._objective = objective

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        value = (logs or {}).get(self._objective)
        if value is not None and math.isfinite(value):
            _say(self._objective, float(value))


class _Desk:
    """Hands out the one trial."""

    def __init__(self, oracle: oracles.Oracle, values: Mapping[str, str]) -> None:
        self._oracle = oracle
        self._values = values
        self._end = oracle.end_trial
        self.made = Made()
        self.score: float | None = None

    def create(self) -> tuple[trials.Trial, float]:
        hyperparameters = self._oracle.get_space()
        if self._oracle.trials:
            return trials.Trial(hyperparameters, _TRIAL, trials.TrialStatus.STOPPED), math.inf
        known = {each.name: each for each in hyperparameters.space}
        if unknown := sorted(self._values.keys() - known.keys()):
            raise InputError(f"no hyperparameter {unknown[0]!r}; tuner_fn makes {', '.join(sorted(known))}")
        hyperparameters.values |= {name: _typed(known[name], text) for name, text in self._values.items()}
        trial = trials.Trial(hyperparameters, _TRIAL, trials.TrialStatus.RUNNING)
        self._oracle.trials[_TRIAL] = self._oracle.ongoing_trials[_TRIAL] = trial
        return trial, math.inf

    def step(self, made: Made) -> None:
        progress.count(made.steps, None, "steps", values=None if made.loss is None else {"loss": made.loss})

    def end(self, trial: trials.Trial, made: Made) -> None:
        self._end(trial)
        self.made = made
        if trial.status == trials.TrialStatus.COMPLETED:
            self.score = None if trial.score is None else float(trial.score)


def _typed(hyperparameter: Any, text: str) -> Any:
    """A value as the search space has it, of the text that Katib puts in its place."""
    kind = type(hyperparameter).__name__
    try:
        if kind == "Boolean":
            return {"True": True, "False": False}[text]
        if kind == "Choice":
            return {str(value): value for value in hyperparameter.values}[text]
        return round(float(text)) if kind == "Int" else float(text)
    except (KeyError, ValueError):
        raise InputError(f"the hyperparameter {hyperparameter.name} cannot be {text!r}") from None


if __name__ == "__main__":
    run_stage("components.tune.one_trial:one_trial")
