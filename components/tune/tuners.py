"""Makes the user's tuner: what a search, its workers, and a single trial begin with."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# TensorFlow Transform, which most modules import, would turn `tf.keras` into Keras 2.
os.environ["TF_USE_LEGACY_KERAS"] = "0"

import keras
from keras_tuner.engine import base_tuner

from components.runtime.errors import InputError
from components.runtime.module_file import loading, training_input
from components.runtime.stage.artifacts import InputArtifact


@dataclass(frozen=True)
class Tuner:
    """What the user's function returned.

    Attributes:
      tuner_fn: the function.
      tuner: the tuner.
      fit_kwargs: arguments of its `search`.
      again: calls the function once more, and returns the arguments.
    """

    tuner_fn: Callable[..., Any]
    tuner: base_tuner.BaseTuner
    fit_kwargs: dict[str, Any]
    again: Callable[[], dict[str, Any]]


@contextlib.contextmanager
def made(
    transformed_examples: InputArtifact,
    transform_graph: InputArtifact,
    schema: InputArtifact,
    *,
    module_file: str,
    train_steps: int,
    eval_steps: int,
    seed: int,
    custom_config: dict[str, Any],
    scratch: Path,
) -> Iterator[Tuner]:
    """Calls `tuner_fn(fn_args)`; inside, this process works in a folder of its own.

    Args:
      transformed_examples: as of the stage, and so are those that follow.
      transform_graph: see there.
      schema: see there.
      module_file: see there.
      train_steps: see there.
      eval_steps: see there.
      seed: see there.
      custom_config: `fn_args.custom_config`.
      scratch: folder that is there, for all that the tuner writes.

    Raises:
      InputError: the module is at fault.
    """
    tuner_fn = loading.load_function(module_file, "tuner_fn")
    fn_args = training_input.fn_args(
        transformed_examples,
        transform_graph,
        schema,
        train_steps,
        eval_steps,
        working_dir=str(scratch),
        model_run_dir=str(scratch / "runs"),
        serving_model_dir=str(scratch / "serving"),
        custom_config=custom_config,
    )

    def called() -> tuple[base_tuner.BaseTuner, dict[str, Any]]:
        keras.utils.set_random_seed(seed)
        return _checked(loading.call(tuner_fn, fn_args), module_file)

    with contextlib.chdir(scratch):
        yield Tuner(tuner_fn, *called(), lambda: called()[1])


def _checked(result: Any, module_file: str) -> tuple[base_tuner.BaseTuner, dict[str, Any]]:
    try:
        tuner, fit_kwargs = result
    except (TypeError, ValueError):
        raise InputError(
            f"{module_file}: tuner_fn returned a {type(result).__name__}, expected TunerFnResult(tuner, fit_kwargs)"
        ) from None
    if not isinstance(tuner, base_tuner.BaseTuner):
        raise InputError(
            f"{module_file}: the tuner that tuner_fn returned is a {type(tuner).__name__}, expected one of Keras Tuner"
        )
    if not isinstance(fit_kwargs, dict):
        raise InputError(
            f"{module_file}: the fit_kwargs that tuner_fn returned are a {type(fit_kwargs).__name__}, expected a dict"
        )
    return tuner, fit_kwargs
