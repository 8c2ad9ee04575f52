"""Watches a user's training from outside: progress, curves and divergence, for any module that calls `Model.fit`."""

from __future__ import annotations

import importlib
import inspect
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import tensorflow as tf

from components.runtime.errors import InputError, operation_cause
from components.runtime.module_file import workers
from components.runtime.stage import progress
from components.train.checkpoints import Checkpoints
from components.train.history import Curve, History

_POINTS = 200


@contextmanager
def watching(history: History, checkpoints: Checkpoints | None = None) -> Iterator[None]:
    """Adds a callback to every `fit` of a Keras model, of Keras 3 and of tf_keras, while the context is entered.

    Args:
      history: is filled in.
      checkpoints: where the training goes on from, and what it leaves; of Keras 3.
    """
    with ExitStack() as stack:
        for library in ("keras", "tf_keras"):
            if library == "keras" or library in sys.modules:
                stack.enter_context(_watching(importlib.import_module(library), history, checkpoints))
        yield


@contextmanager
def _watching(library: Any, history: History, checkpoints: Checkpoints | None) -> Iterator[None]:
    model = library.Model
    own = model.__dict__.get("fit")
    model.fit = _watched(model.fit, library, history, checkpoints)
    try:
        yield
    finally:
        if own is None:
            del model.fit
        else:
            model.fit = own


def _watched(
    fit: Callable[..., Any], library: Any, history: History, checkpoints: Checkpoints | None
) -> Callable[..., Any]:
    signature = inspect.signature(fit)

    def watched_fit(*args: Any, **kwargs: Any) -> Any:
        call = signature.bind(*args, **kwargs)
        _check_shared(args[0])
        # A progress bar in a log file is noise; the callback tells the same.
        call.arguments.setdefault("verbose", 0)
        given = call.arguments.get("callbacks") or []
        given = getattr(given, "callbacks", given)  # of a CallbackList
        callbacks = list(given) if isinstance(given, list | tuple) else [given]
        watcher = _callback(library.callbacks.Callback, history)
        stoppers = [entry for entry in callbacks if isinstance(entry, library.callbacks.EarlyStopping)]
        kept = checkpoints.begin(args[0], call.arguments) if checkpoints and library is keras else []
        for keeper in kept:
            keeper.stoppers = stoppers
        call.arguments["callbacks"] = [watcher, *callbacks, *kept]
        history.tensorboard |= any(isinstance(entry, library.callbacks.TensorBoard) for entry in callbacks)
        started = time.monotonic()
        try:
            with warnings.catch_warnings():
                # A split eval with fewer batches than asked for is no fault; what the training lacks is told below.
                warnings.filterwarnings("ignore", "Your input ran out of data")
                warnings.filterwarnings("ignore", "`shuffle=True` was passed")  # By Keras itself, as the default.
                result = fit(*call.args, **call.kwargs)
            # Keras 2 puts weights back only where it has ended the training.
            ended = [entry for entry in stoppers if library is keras or entry.stopped_epoch]
            history.kept_step = next(filter(None, map(watcher.step_put_back, ended)), None)
            return result
        except tf.errors.OpError as error:
            raise type(error)(error.node_def, error.op, operation_cause(error.message)) from error
        finally:
            history.seconds += time.monotonic() - started

    return watched_fit


def _check_shared(model: Any) -> None:
    """Holds a model to the workers that there are: outside of their strategy each would train one of its own."""
    count = workers.count()
    if count > 1 and model.distribute_strategy.num_replicas_in_sync < count:
        raise InputError(
            f"there are {count} workers, and fit is called of a model of one alone; build and compile it inside of "
            "training.placed(), which docs/training.md shows"
        )


def _callback(base: type, history: History) -> Any:
    """A callback of the Keras that `base` belongs to."""

    class Watcher(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._first = history.steps
            self._total = history.expected_steps
            self._epoch_start = history.steps
            self._uncounted = False
            self._evaluating_since = 0.0
            history.ends = {}
            self._values: dict[str, float] = {}

        def step_put_back(self, stopper: Any) -> int | None:
            """The step whose weights an EarlyStopping callback has put back, if it has."""
            kept = stopper.restore_best_weights and stopper.best_weights is not None
            step = history.ends.get(stopper.best_epoch) if kept else None
            return None if step == history.steps else step

        def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
            history.stopped_early = False
            epochs, steps = self.params.get("epochs"), self.params.get("steps")
            if epochs and steps:
                self._total = self._first + epochs * steps
            self._tell("compiling", force=True)

        def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
            self._epoch_start = history.steps

        def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
            history.steps = self._epoch_start + batch + 1
            self._uncounted = True
            values = _numbers(logs)
            _check_finite(values, "loss", history)
            last = next(iter(history.train.values()), [(-_POINTS, 0.0)])[-1][0]
            if history.steps - last >= self._total / _POINTS:
                _add(history.train, history.steps, values)
            self._total = max(self._total, history.steps)
            self._values |= values
            self._tell()

        def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
            # Evaluation resets the metrics, and the count of examples with them.
            self._count_examples()
            self._evaluating_since = time.monotonic()

        def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
            self._tell(f"evaluating, batch {batch + 1}")

        def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
            history.seconds -= time.monotonic() - self._evaluating_since

        def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
            self._count_examples()
            values = _numbers(logs)
            _check_finite(values, "loss", history)
            _check_finite(values, "val_loss", history)
            _add(history.train, history.steps, {k: v for k, v in values.items() if not k.startswith("val_")})
            _add(history.eval, history.steps, {k[4:]: v for k, v in values.items() if k.startswith("val_")})
            history.ends[epoch] = history.steps
            self._values |= values
            self._tell(force=True)

        def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
            history.stopped_early = bool(self.model.stop_training) and history.steps < self._total
            if history.steps < self._total and not history.stopped_early:
                progress.report(f"the training data ended after {history.steps} of {self._total} steps")

        def _tell(self, text: str = "", *, force: bool = False) -> None:
            values = {name.replace("val_", "eval "): value for name, value in self._values.items()}
            # The loss first, and what the validation data says of it beside it.
            named = {name: values.pop(name) for name in ("loss", "eval loss") if name in values}
            values.pop("learning_rate", None)
            progress.count(history.steps, self._total, "steps", text, named | values, force=force)

        def _count_examples(self) -> None:
            if self._uncounted:
                self._uncounted = False
                loss = next((metric for metric in self.model.metrics if metric.name == "loss"), None)
                # The outer call reads what is spread over several devices, the inner one what Keras keeps.
                count = tf.convert_to_tensor(keras.ops.convert_to_tensor(getattr(loss, "count", 0)))
                history.examples += round(float(count))

    return Watcher()


def _numbers(logs: Mapping[str, Any] | None) -> dict[str, float]:
    """The metrics that are single numbers."""
    numbers = {}
    for name, value in (logs or {}).items():
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError):
            continue
    return numbers


def _check_finite(values: Mapping[str, float], name: str, history: History) -> None:
    value = values.get(name, 0.0)
    if not math.isfinite(value):
        split = "eval" if name.startswith("val_") else "train"
        raise InputError(
            f"training diverged: loss is {value} at step {history.steps} (split {split}); "
            + (
                f"transformed features are not finite: {history.not_finite}"
                if history.not_finite
                else "lower the learning rate or check the features"
            )
        )


def _add(curves: dict[str, Curve], step: int, values: Mapping[str, float]) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            continue
        curve = curves.setdefault(name, [])
        if curve and curve[-1][0] == step:
            curve[-1] = (step, value)
        else:
            curve.append((step, value))
