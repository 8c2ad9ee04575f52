"""Measures an export on the rows of the model's own evaluation, and holds it to the same thresholds.

The model itself is the baseline: change thresholds hold against it, and so does the bound on what may be lost.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis import constants

from components.export.source import CannotConvert
from components.runtime.data.storage import shown
from components.runtime.errors import InputError
from components.runtime.evaluation.computation import batches, local
from components.runtime.evaluation.computation.counts import Counts
from components.runtime.evaluation.computation.result_files import load, load_validation
from components.runtime.evaluation.computation.results import Results, metric_name
from components.runtime.evaluation.configuration import checks, reading
from components.runtime.evaluation.configuration.saved_model import SavedModelFacts
from components.runtime.evaluation.examples import check_labels, check_rows, files_of
from components.runtime.evaluation.faults import PredictsNaN, explained, nan_fault
from components.runtime.evaluation.verdict.verdict import judge
from components.runtime.stage.artifacts import InputArtifact
from components.runtime.stage.progress import counting

Ask = Callable[[list[bytes]], np.ndarray]
"""Predictions of an export for serialised tf.Examples."""

_NAMES = (constants.CANDIDATE_KEY, constants.BASELINE_KEY)


@dataclass(frozen=True)
class Kept:
    """What an export and the model came to on the same rows.

    Attributes:
      reason: why a threshold does not hold, in one line; empty where all do.
      metrics: of the export, over all examples.
      model: the same metrics of the model.
      losses: by metric that has a threshold with a direction, what is lost as a share of the model's own value; below 0
        where the export is better.
    """

    reason: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    model: dict[str, float] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)

    @property
    def loss(self) -> float | None:
        """The largest loss; None where no metric says which way it is better."""
        return max(self.losses.values(), default=None)


class Gates:
    """The evaluation that the model has passed, ready for its exports."""

    def __init__(
        self, file: str, examples: InputArtifact, splits: list[str], schema: schema_pb2.Schema, model: Path
    ) -> None:
        """Reads the configuration.

        Args:
          file: the EvalConfig.
          examples: raw tf.Examples.
          splits: that it is evaluated on.
          schema: of the examples.
          model: folder of its SavedModel.

        Raises:
          InputError: the configuration does not fit, or asks for what is computed by Beam alone.
        """
        written = reading.read_config(file)
        facts = SavedModelFacts(model)
        checks.check(file, written, facts, facts, schema)
        self._file, self._examples, self._splits, self._schema = file, examples, splits, schema
        self._config = reading.with_baseline(written, True)
        self._files = files_of(examples, splits)
        if not local.can(self._config, dict.fromkeys(_NAMES, facts), schema):
            raise InputError(
                f"{shown(file)}: asks for what is computed over Beam alone (weights of examples, cross slices, query "
                "keys, several labels), by which no export can be evaluated: leave out the section export"
            )
        self._specs = {spec.name: spec for spec in self._config.model_specs}
        self._model = _Once(batches.Model(model, self._specs[constants.BASELINE_KEY]))

    @property
    def location(self) -> str:
        """The splits, for people."""
        return ", ".join(self._splits)

    def saved_model(self, folder: Path) -> batches.Answering:
        """A SavedModel with the model's own signatures."""
        return batches.Model(folder, self._specs[constants.CANDIDATE_KEY])

    def asked_by(self, ask: Ask) -> batches.Answering:
        """An export that is asked in this process; labels and slices are those of the model."""
        return _Asked(self._model, ask)

    def judge(self, export: batches.Answering, name: str) -> Kept:
        """Evaluates an export.

        Args:
          export: what answers.
          name: of it, for who waits.

        Raises:
          CannotConvert: it does not answer as the model does.
          InputError: the examples are damaged, or cannot be evaluated.
        """
        with tempfile.TemporaryDirectory(prefix="millrace-export-") as place:
            try:
                with counting(self._examples.rows(*self._splits), "rows", f"evaluating {name} on {self.location}"):
                    counts = self._analyse(export, Path(place))
            except PredictsNaN:
                return Kept(reason="it predicts NaN")
            if fault := nan_fault(counts):
                return Kept(reason=fault.partition(":")[0].replace("the model predicts", "it predicts"))
            results = load(Path(place), counts, [], [])
            verdict = judge(results, self._config, None, load_validation(Path(place)))
        mine, model = _overall(results, constants.CANDIDATE_KEY), _overall(results, constants.BASELINE_KEY)
        losses = {
            metric: _loss(mine[metric], model[metric], higher=direction == "higher")
            for metric, direction in verdict.better.items()
            if metric in mine and metric in model
        }
        reason = "" if verdict.blessed else verdict.reason.replace(" of the baseline", " of the model")
        return Kept(reason, mine, model, losses)

    def _analyse(self, export: batches.Answering, target: Path) -> Counts:
        models = {constants.CANDIDATE_KEY: export, constants.BASELINE_KEY: self._model}
        try:
            counts = local.analyse(self._files, self.location, self._config, models, self._schema, target)
        except Exception as error:
            raise explained(error, self._file, self._files) from error
        check_labels(counts, self._specs[constants.CANDIDATE_KEY])
        check_rows(self._examples, self._splits, counts.rows)
        return counts


class _Once:
    """The model, which is asked about each batch twice in a row: for the export's labels, and as the baseline."""

    threads = 1

    def __init__(self, model: batches.Model) -> None:
        self._model = model
        self._examples: tf.Tensor | None = None

    def __call__(self, examples: tf.Tensor) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        if examples is not self._examples:
            self._answer = self._model(examples)
            self._examples = examples
        return self._answer

    def row_bytes(self) -> int:
        return self._model.row_bytes()


class _Asked:
    """An export, with the model's labels and features."""

    threads = 1

    def __init__(self, model: _Once, ask: Ask) -> None:
        self._model, self._ask = model, ask

    def __call__(self, examples: tf.Tensor) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        labels, predictions, features = self._model(examples)
        answers = self._ask(list(examples.numpy()))
        if answers.size != predictions.size:
            pair = f"{list(answers.shape)} in place of {list(predictions.shape)}"
            raise CannotConvert(f"the file answers another shape than the model: {pair}")
        return labels, answers.reshape(predictions.shape), features

    def row_bytes(self) -> int:
        return self._model.row_bytes()


def _overall(results: Results, model: str) -> dict[str, float]:
    return {
        metric_name(key): value
        for key, value in results.overall.values.items()
        if key.model_name == model and not key.is_diff and math.isfinite(value)
    }


def _loss(mine: float, model: float, *, higher: bool) -> float:
    lost = model - mine if higher else mine - model
    if lost == 0:
        return 0.0
    return lost / abs(model) if model else math.copysign(math.inf, lost)
