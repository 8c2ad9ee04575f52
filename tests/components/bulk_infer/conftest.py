"""A small model with the signatures that models have, rows to answer, and the stage as runners call it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from components.bulk_infer.bulk_infer import bulk_infer
from components.runtime.data import examples as tf_examples
from components.runtime.data import tfrecord
from components.runtime.errors import StageError
from components.runtime.publish.serving import MODEL_FOLDER
from components.runtime.stage.executor import Execution
from tests.support import StageResult, executor_input, run_stage

Row = dict[str, Any]
BIG = 2**53 + 1
"""An id that a float would not keep."""

EVAL: list[Row] = [
    {"id": BIG + number, "x": number / 4, "text": f'"näh", {number}' if number % 3 else None, "label": number % 2}
    for number in range(50)
]
TRAIN: list[Row] = [{"id": -number, "x": -1.5 * number, "text": "b", "label": 1} for number in range(20)]

Predict = Callable[..., StageResult]


class Exported(tf.Module):
    """Twice `x`, which every row has to have, and NaN for what is above 100; and other things by other signatures."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def from_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        found = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([], tf.float32)})
        return {"outputs": self._answer(found["x"])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text"), tf.TensorSpec([None], tf.float32, "x")])
    def serving_default(self, text: tf.Tensor, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": self._answer(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text"), tf.TensorSpec([None], tf.float32, "x")])
    def several(self, text: tf.Tensor, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            "scores": tf.stack([x, -x, tf.zeros_like(x)], 1),
            "said": tf.strings.join([text, "!"]),
            "words": tf.strings.join([tf.stack([text, text], 1), "?"]),
            "half": tf.cast(x, tf.float16),
            "count": tf.cast(tf.strings.length(text), tf.uint8),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def total(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": tf.size(examples)}

    def _answer(self, x: tf.Tensor) -> tf.Tensor:
        return tf.where(x > 100.0, float("nan"), x * 2)[:, tf.newaxis]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact of a model."""
    folder = tmp_path_factory.mktemp("model")
    made = Exported()
    names = ("from_examples", "serving_default", "several", "total")
    signatures = {name: getattr(made, name).get_concrete_function() for name in names}
    tf.saved_model.save(made, str(folder / MODEL_FOLDER), signatures=signatures)
    return folder


def write(folder: Path, splits: dict[str, list[Row]], shards: int = 1) -> Path:
    """Examples as ingest writes them: the first rows in the first shard."""
    for split, rows in splits.items():
        place = folder / f"Split-{split}"
        place.mkdir(parents=True)
        size = -(-len(rows) // shards)
        for shard in range(shards):
            records = [tf_examples.encode(row) for row in rows[shard * size : (shard + 1) * size]]
            tfrecord.write(place / f"data_tfrecord-{shard:05d}-of-{shards:05d}.gz", records)
    return folder


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two splits, of which each has three shards."""
    return write(tmp_path_factory.mktemp("examples"), {"eval": EVAL, "train": TRAIN}, shards=3)


@pytest.fixture
def predict(tmp_path: Path, model: Path, examples: Path) -> Predict:
    """Calls the stage: in this process, which has the model loaded, unless a process of its own is asked for."""

    def call(
        name: str = "out",
        *,
        data: Path = examples,
        inputs: dict[str, Path] | None = None,
        metadata: dict[str, dict[str, Any]] | None = None,
        apart: bool = False,
        **parameters: Any,
    ) -> StageResult:
        values: dict[str, Any] = {
            "example_splits": [], "output_format": "parquet", "columns": ["*"], "signature": "", "batch_size": 0,
            "sample_rows": 10, "beam_options": [],
        }  # fmt: skip
        arguments: dict[str, Any] = {
            "inputs": {"examples": data, "model": model, **(inputs or {})},
            "metadata": {"examples": {}, "model": {"version": 3.0}, **(metadata or {})},
            "parameters": values | parameters,
            "outputs": ["predictions", "metrics", "report"],
            "output_parameters": ["rows"],
        }
        return run_stage("bulk_infer", tmp_path / name, **arguments) if apart else _here(tmp_path / name, arguments)

    return call


def _here(folder: Path, arguments: dict[str, Any]) -> StageResult:
    folder.mkdir()
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            Execution.parse("bulk_infer", executor_input(folder, **arguments)).run(bulk_infer)
    except StageError as error:
        return StageResult(error.exit_code, said.getvalue(), f"error: {error}\n", folder)
    return StageResult(0, said.getvalue(), "", folder)
