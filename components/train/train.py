"""Trains the model with the user's `run_fn`, and checks and describes what came out."""

from __future__ import annotations

import gc
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

from components.runtime import modules, progress
from components.runtime.artifacts import InputArtifact, OutputArtifact
from components.runtime.errors import InputError
from components.runtime.fn_args import FnArgs, example_accessor
from components.runtime.redaction import redact
from components.train.page import page
from components.train.watch import History, watching

SERVING_FOLDER = "Format-Serving"
EVAL_FOLDER = "Format-TFMA"
SCHEMA_FILE = "schema.pbtxt"

_MAX_SEED = 2**32 - 1


def train(
    transformed_examples: InputArtifact,
    transform_graph: InputArtifact,
    schema: InputArtifact,
    module_file: str,
    train_steps: int,
    eval_steps: int,
    seed: int,
    custom_config: dict[str, Any],
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
      module_file: Python file with `run_fn(fn_args)`.
      train_steps: batches to train on, at least 1.
      eval_steps: batches to evaluate on while training; 0 for the whole split.
      seed: of Python, NumPy and TensorFlow.
      custom_config: `fn_args.custom_config`.
      model: `Format-Serving/` with the SavedModel.
      model_run: TensorBoard logs and what else run_fn puts into `fn_args.model_run_dir`.
      metrics: metadata only: last values of the curves.
      report: page with the curves.

    Raises:
      InputError: an argument, the module, the data or the training is at fault.
    """
    _check_arguments(transformed_examples, train_steps, eval_steps, seed)
    serving = model.directory() / SERVING_FOLDER
    train_files, eval_files = (f"{transformed_examples.split(name)}/*" for name in ("train", "eval"))
    schema_path = str(schema.path / SCHEMA_FILE if schema.path.is_dir() else schema.path)
    run_fn = modules.load_function(module_file, "run_fn")
    history = History(train_steps)
    # What the imports made lives until the end; without it each collection during tracing walks through all of it.
    gc.freeze()
    keras.utils.set_random_seed(seed)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, watching(history):
        modules.call(
            run_fn,
            FnArgs(
                working_dir=scratch,
                train_files=[train_files],
                eval_files=[eval_files],
                train_steps=train_steps,
                eval_steps=eval_steps or None,
                schema_path=schema_path,
                schema_file=schema_path,
                transform_graph_path=str(transform_graph.path),
                transform_output=str(transform_graph.path),
                data_accessor=example_accessor(),
                serving_model_dir=str(serving),
                eval_model_dir=str(model.path / EVAL_FOLDER),
                model_run_dir=str(model_run.directory()),
                custom_config=custom_config,
            ),
        )
    seconds = time.monotonic() - started
    signatures = _signatures(serving, module_file)
    # A module with a loop of its own is taken at its word.
    steps = history.steps or train_steps
    model.metadata |= {"steps": steps, "signatures": signatures}
    metrics.metadata |= {**history.last_values(), "steps": steps, "seconds": round(seconds, 3)}
    facts = [("steps", steps), ("seconds", round(seconds, 1)), ("signatures", ", ".join(signatures))]
    if history.examples and history.seconds:
        metrics.metadata["examples"] = history.examples
        metrics.metadata["examples_per_second"] = round(history.examples / history.seconds, 1)
        facts.insert(2, ("examples per second", round(history.examples / history.seconds)))
    if not history.tensorboard:
        _write_logs(history, model_run.path)
    parameters = {"train_steps": train_steps, "eval_steps": eval_steps, "seed": seed, "custom_config": custom_config}
    report.path.write_text(page(history, facts, redact(parameters)), encoding="utf-8")
    progress.report(f"{steps} steps in {seconds:.1f} s, signatures: {', '.join(signatures)}")


def _check_arguments(transformed_examples: InputArtifact, train_steps: int, eval_steps: int, seed: int) -> None:
    if train_steps < 1:
        raise InputError(f"train_steps is {train_steps}; set it to at least 1")
    if eval_steps < 0:
        raise InputError(f"eval_steps is {eval_steps}; set it to at least 1, or to 0 for the whole split")
    if not 0 <= seed <= _MAX_SEED:
        raise InputError(f"seed is {seed}; set it to a number from 0 to {_MAX_SEED}")
    for name in ("train", "eval"):
        folder = transformed_examples.split(name)
        if transformed_examples.metadata.get(f"rows_{name}") == 0 or next(folder.iterdir(), None) is None:
            raise InputError(f"{transformed_examples.name}: the split {name!r} is empty; change the splits of ingest")


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
