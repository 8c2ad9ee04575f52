"""Trains the model with the user's `run_fn`, and checks and describes what came out."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

# TensorFlow Transform, which most modules import, would turn `tf.keras` into Keras 2.
os.environ["TF_USE_LEGACY_KERAS"] = "0"

import keras
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from components.runtime.data.storage import shown
from components.runtime.errors import InputError
from components.runtime.launch.fingerprints import attempt_key
from components.runtime.module_file import distillation, keras_workers, loading, training_input, workers
from components.runtime.module_file import hyperparameters as hyperparameter_files
from components.runtime.module_file.keras_saving import servable_variables
from components.runtime.publish import serving as serving_files
from components.runtime.stage import progress
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
from components.runtime.text.redaction import redact
from components.train import checkpoints, handing_over, weights, worker_processes
from components.train.history import History
from components.train.page import page
from components.train.watch import watching

SERVING_FOLDER = "Format-Serving"
EVAL_FOLDER = "Format-TFMA"

_OWN = (distillation.KEY, workers.KEY)
"""Keys of custom_config that are the stage's."""


def train(
    transformed_examples: InputArtifact,
    transform_graph: InputArtifact,
    schema: InputArtifact,
    hyperparameters: InputArtifact | None,
    base_model: InputArtifact | None,
    module_file: str,
    train_steps: int,
    eval_steps: int,
    seed: int,
    custom_config: dict[str, Any],
    hyperparameters_file: str,
    model: OutputArtifact,
    model_run: OutputArtifact,
    metrics: OutputArtifact,
    report: OutputArtifact,
) -> None:
    """Calls `run_fn(fn_args)` and describes the SavedModel that it wrote.

    Args:
      transformed_examples: input of run_fn: train_files from the split train, eval_files from eval.
      transform_graph: output of TensorFlow Transform.
      schema: of the raw examples.
      hyperparameters: of tune; becomes `fn_args.hyperparameters`.
      base_model: model to start from, `Format-Serving/`; an empty artifact where there is none.
      module_file: Python file with `run_fn(fn_args)`.
      train_steps: batches to train on, at least 1.
      eval_steps: batches to evaluate on while training; 0 for the whole split.
      seed: of Python, NumPy and TensorFlow.
      custom_config: `fn_args.custom_config`.
      hyperparameters_file: in place of the artifact: JSON or YAML.
      model: `Format-Serving/` with the SavedModel.
      model_run: TensorBoard logs and what else run_fn puts into `fn_args.model_run_dir`.
      metrics: metadata only: last values of the curves.
      report: page with the curves.

    Raises:
      InputError: an argument, the module, the data or the training is at fault.
    """
    training_input.check(transformed_examples, train_steps, eval_steps, seed)
    training_input.quieten()
    chosen = _hyperparameters(hyperparameters, hyperparameters_file)
    base = None if base_model is None or base_model.is_empty else serving_files.saved_model(base_model).absolute()
    handed_on = {name: value for name, value in custom_config.items() if name not in _OWN}
    asked = workers.options(custom_config)
    distil = distillation.options(custom_config[distillation.KEY]) if distillation.KEY in custom_config else None
    teacher = base if distil else None
    if distil and not distil["warm_start"]:
        base = None
    serving = model.directory() / SERVING_FOLDER
    history = History(train_steps, str(transformed_examples.metadata.get("not_finite") or ""))
    inputs = {
        "transformed_examples": transformed_examples,
        "transform_graph": transform_graph,
        "schema": schema,
        "hyperparameters": hyperparameters,
        "base_model": base_model,
    }
    said = {"module_file": module_file, "hyperparameters_file": hyperparameters_file, "seed": seed}
    said |= {"train_steps": train_steps, "eval_steps": eval_steps, "custom_config": custom_config}
    kept = None
    if asked.checkpoint_directory:
        key = attempt_key(inputs, said, [tf.__version__])
        kept = checkpoints.Checkpoints(asked.checkpoint_directory, key, history)
        kept.check()
    started = time.monotonic()
    with (
        worker_processes.together(asked.workers, handing_over.Inputs(inputs, said)),
        tempfile.TemporaryDirectory() as scratch,
        watching(history, kept),
        servable_variables(),
        keras_workers.fitting(),
    ):
        run_fn = loading.load_function(module_file, "run_fn")
        keras.utils.set_random_seed(seed)
        writes = not workers.index()
        given = training_input.fn_args(
            transformed_examples,
            transform_graph,
            schema,
            train_steps,
            eval_steps,
            working_dir=scratch,
            # What is written by all is kept of the chief.
            serving_model_dir=str(serving if writes else Path(scratch) / SERVING_FOLDER),
            eval_model_dir=str(model.path / EVAL_FOLDER if writes else Path(scratch) / EVAL_FOLDER),
            model_run_dir=str(model_run.directory() if writes else Path(scratch) / "run"),
            base_model=str(base) if base else None,
            hyperparameters=chosen,
            custom_config=handed_on,
            distil=distil,
            teacher_model=str(teacher) if teacher else None,
        )
        loading.call(run_fn, given)
    if distil and not given.taught_by:
        raise InputError(
            f"{shown(module_file)}: train.distil is set, and run_fn asks for no teacher; let it make its model by "
            "distillation.taught(model, fn_args, answers=...), which docs/training.md shows"
        )
    if kept:
        kept.forget()
    seconds = time.monotonic() - started
    signatures = _signatures(serving, module_file)
    weights.check_finite(serving, shown(module_file), history.not_finite)
    # A module with a loop of its own is taken at its word.
    steps = history.steps or train_steps
    model.metadata |= {"steps": steps, "signatures": signatures}
    metrics.metadata |= {**history.last_values(), "steps": steps, "seconds": round(seconds, 3)}
    if history.examples and history.seconds:
        metrics.metadata["examples"] = history.examples
        metrics.metadata["examples_per_second_of_steps"] = round(history.examples / history.seconds, 1)
    if asked.workers > 1:
        model.metadata["workers"] = asked.workers
    if history.stopped_early:
        model.metadata["stopped_early_at"] = steps
    if history.resumed_at:
        model.metadata["resumed_at"] = history.resumed_at
    facts = _facts(history, steps, seconds)
    if asked.workers > 1:
        facts.append(("workers", asked.workers))
    facts.append(("signatures", ", ".join(signatures)))
    if chosen:
        facts.append(("hyperparameters", "those that tune found" if hyperparameters else shown(hyperparameters_file)))
    if base_model and base:
        facts.append(("base model", f"version {base_model.metadata.get('version', 'unknown')}"))
    if distil:
        by = base_model.metadata.get("version", "unknown") if base_model and teacher else "unknown"
        facts.append(("taught by", f"version {by}" if given.taught_by == distillation.IN_SERVICE else given.taught_by))
    if not history.tensorboard:
        _write_logs(history, model_run.path)
    parameters = {"train_steps": train_steps, "eval_steps": eval_steps, "seed": seed, "custom_config": handed_on}
    parameters |= asked.said
    if distil:
        parameters["distil"] = distil
    if chosen:
        parameters["hyperparameters"] = hyperparameter_files.values(chosen)
    report.path.write_text(page(history, facts, redact(parameters)), encoding="utf-8")
    progress.report(f"{steps} steps in {seconds:.1f} s, signatures: {', '.join(signatures)}")


def _facts(history: History, steps: int, seconds: float) -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = [("steps", steps), ("seconds", round(seconds, 1))]
    if history.resumed_at:
        facts[1:] = [("went on from", f"step {history.resumed_at}"), ("seconds of this attempt", round(seconds, 1))]
    if history.examples and history.seconds:
        facts.append(("examples per second of training steps", round(history.examples / history.seconds)))
    if history.stopped_early:
        facts[0] = ("steps", f"{steps} of {history.expected_steps}: stopped early")
    if history.kept_step is not None:
        facts.append(("weights kept", f"those of step {history.kept_step}"))
    return facts


def _hyperparameters(artifact: InputArtifact | None, file: str) -> dict[str, Any] | None:
    if artifact is not None and file:
        raise InputError("hyperparameters come from tune and from hyperparameters_file; leave one of them out")
    if artifact is not None:
        return hyperparameter_files.from_artifact(artifact)
    return hyperparameter_files.from_file(file) if file else None


def _signatures(serving: Path, module_file: str) -> list[str]:
    """Names of the signatures of the SavedModel that run_fn wrote, sorted."""
    file = serving / "saved_model.pb"
    if not file.is_file():
        raise InputError(
            f"{module_file}: run_fn wrote no SavedModel; end it with "
            "tf.saved_model.save(model, fn_args.serving_model_dir, signatures=...)"
        )
    saved_model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    names = {name for graph in saved_model.meta_graphs for name in graph.signature_def}
    if signatures := sorted(name for name in names if not name.startswith("__")):
        return signatures
    raise InputError(f"{module_file}: the SavedModel of run_fn has no signature; give tf.saved_model.save some")


def _write_logs(history: History, folder: Path) -> None:
    """Writes the curves where TensorBoard looks for them, in the folders that Keras uses."""
    for name, curves in (("train", history.train), ("validation", history.eval)):
        if curves:
            with tf.summary.create_file_writer(str(folder / name)).as_default():
                for metric, curve in curves.items():
                    for step, value in curve:
                        tf.summary.scalar(metric, value, step=step)
