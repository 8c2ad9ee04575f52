"""Searches for hyperparameters with the user's `tuner_fn`, within a budget of trials and of time."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

# TensorFlow Transform, which most modules import, would turn `tf.keras` into Keras 2.
os.environ["TF_USE_LEGACY_KERAS"] = "0"

import keras_tuner
import tensorflow as tf
from keras_tuner.engine import base_tuner

from components.runtime.errors import InputError
from components.runtime.launch.fingerprints import attempt_key
from components.runtime.module_file import loading, training_input, workers
from components.runtime.module_file.hyperparameters import BEST_FILE
from components.runtime.stage import progress
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
from components.runtime.text.redaction import redact
from components.tune import remote, trial_workers, tuners
from components.tune.kept import Kept
from components.tune.page import page
from components.tune.search import CUT_SHORT, FAILED, Search
from components.tune.trials import Here, Runner, keep_inside

TRIALS_FILE = "trials.json"


def tune(
    transformed_examples: InputArtifact,
    transform_graph: InputArtifact,
    schema: InputArtifact,
    module_file: str,
    train_steps: int,
    eval_steps: int,
    seed: int,
    custom_config: dict[str, Any],
    max_trials: int,
    max_minutes: float,
    best_hyperparameters: OutputArtifact,
    trials: OutputArtifact,
    metrics: OutputArtifact,
    report: OutputArtifact,
) -> None:
    """Calls `tuner_fn(fn_args)` and runs the search of the tuner that it returns.

    Args:
      transformed_examples: input of tuner_fn: train_files from the split train, eval_files from eval.
      transform_graph: output of TensorFlow Transform.
      schema: of the raw examples.
      module_file: Python file with `tuner_fn(fn_args)`, which returns `TunerFnResult(tuner, fit_kwargs)`.
      train_steps: `fn_args.train_steps`, at least 1.
      eval_steps: `fn_args.eval_steps`; 0 for the whole split.
      seed: of the search, and of Python, NumPy and TensorFlow in every trial.
      custom_config: `fn_args.custom_config`; without how the search runs, of how many workers.
      max_trials: trials at most; 0 for as many as the tuner itself makes.
      max_minutes: minutes at most; 0 for no limit. The search keeps the best trial so far.
      best_hyperparameters: gets `best_hyperparameters.txt`.
      trials: gets `trials.json`.
      metrics: metadata only: the best score, and counts.
      report: page with the trials.

    Raises:
      InputError: an argument, the module, the data or every trial is at fault.
      TransientError: no worker of several is left.
    """
    training_input.check(transformed_examples, train_steps, eval_steps, seed)
    training_input.quieten()
    if max_trials < 0:
        raise InputError(f"max_trials is {max_trials}; set it to at least 1, or to 0 to leave it to the tuner")
    if not 0 <= max_minutes < float("inf"):
        raise InputError(f"max_minutes is {max_minutes}; set it to some minutes, or to 0 for no limit")
    asked = workers.options(custom_config, "tune")
    handed_on = {name: value for name, value in custom_config.items() if name != workers.KEY}
    parameters = {
        "max_trials": max_trials,
        "max_minutes": max_minutes,
        "train_steps": train_steps,
        "eval_steps": eval_steps,
        "seed": seed,
        "custom_config": handed_on,
    }
    kept = None
    if asked.checkpoint_directory:
        inputs = {"examples": transformed_examples, "graph": transform_graph, "schema": schema}
        # (With another number of workers it is the same search.)
        key = attempt_key(inputs, parameters | {"module_file": module_file}, [tf.__version__, keras_tuner.__version__])
        kept = Kept(asked.checkpoint_directory, key)
    started = time.monotonic()
    # A tuner keeps its trials, weights included, in a folder: without one of its own that is where it runs.
    with (
        tempfile.TemporaryDirectory() as folder,
        trial_workers.together(asked.workers, Path(folder).resolve()) as part,
    ):
        shared = scratch = Path(folder).resolve()
        if isinstance(part, trial_workers.Worker):
            scratch = shared / f"worker-{part.index}"
            scratch.mkdir()
        with tuners.made(
            transformed_examples,
            transform_graph,
            schema,
            module_file=module_file,
            train_steps=train_steps,
            eval_steps=eval_steps,
            seed=seed,
            custom_config=handed_on,
            scratch=scratch,
        ) as made:
            tuner = made.tuner
            keep_inside(tuner, (kept.folder if kept else shared) / "trials")
            if isinstance(part, trial_workers.Worker):
                _check_shared(tuner, part, kept)
                loading.call_for(made.tuner_fn, remote.run, made, seed, part)
                return
            search = Search(tuner.oracle, max_trials, max_minutes * 60, workers=part.count if part else 1, kept=kept)
            earlier = len(search.trials)
            if part:
                search.oracle.verbose = made.fit_kwargs.get("verbose", 0)
                part.run(search)
            else:
                loading.call_for(made.tuner_fn, Runner(made, seed, Here(search)).run)
            search.finish()
    seconds = time.monotonic() - started
    best = search.best
    assert best is not None
    assert best.score is not None
    configuration = search.best_configuration()
    (best_hyperparameters.directory() / BEST_FILE).write_text(json.dumps(configuration, indent=1) + "\n")
    best_hyperparameters.metadata |= {"values": best.values, "objective": search.objective, "score": best.score}
    _write_trials(trials, search, type(tuner).__name__)
    failed = sum(trial.state == FAILED for trial in search.trials)
    trials.metadata |= {"trials": len(search.trials), "failed": failed}
    if earlier:
        trials.metadata["of_earlier_attempts"] = earlier
    metrics.metadata |= {
        f"best_{search.objective}": best.score,
        "best_trial": best.number,
        "trials": len(search.trials),
        "failed_trials": failed,
        "cut_short_trials": sum(trial.state == CUT_SHORT for trial in search.trials),
        "seconds": round(seconds, 3),
    }
    report.path.write_text(
        page(search, type(tuner).__name__, configuration, seconds, redact(parameters | asked.said), earlier),
        encoding="utf-8",
    )
    search.forget()
    progress.report(
        f"{len(search.trials)} trials, {failed} of them failed; best {search.objective} {best.score:.5g} in trial "
        f"{best.number}"
    )


def _check_shared(tuner: base_tuner.BaseTuner, worker: trial_workers.Worker, kept: Kept | None) -> None:
    if worker.apart and not kept and isinstance(tuner, keras_tuner.Hyperband):
        raise InputError(
            "Hyperband trains on from the weights of earlier trials, which its workers in other pods do not see; set "
            "tune.checkpoint_directory to a folder of the volume, or tune.workers to 1"
        )


def _write_trials(trials: OutputArtifact, search: Search, tuner: str) -> None:
    """Writes the table; without times, so that the same search gives the same bytes."""
    rows = [
        {
            "trial": trial.number,
            "state": trial.state,
            "score": trial.score,
            "steps": trial.steps,
            "values": trial.values,
            "message": trial.message,
        }
        | ({"worker": trial.worker} if search.workers > 1 else {})
        for trial in search.trials
    ]
    document: dict[str, Any] = {
        "objective": search.objective,
        "direction": search.direction,
        "tuner": tuner,
        "ended_by": search.ended_by,
        "best_trial": search.best.number if search.best else None,
        "trials": rows,
    }
    if search.gone:
        document["workers_lost"] = {str(worker): how for worker, how in sorted(search.gone.items())}
    (trials.directory() / TRIALS_FILE).write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
