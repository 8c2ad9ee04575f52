"""Small SavedModels with the signatures of trained ones, and examples to evaluate them on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from apache_beam.options.pipeline_options import PipelineOptions
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.runtime.evaluation.computation.counts import Counts
from components.runtime.evaluation.computation.result_files import load
from components.runtime.stage.executor import Execution
from tests.support import executor_input

BATCHES_AND_SLOW_BEAM = pytest.mark.parametrize(
    "beam_options", [[], pytest.param(["--runner=FnApiRunner"], marks=pytest.mark.slow)], ids=["batches", "Beam"]
)
"""Both ways of computing; Beam's takes seconds for any number of examples."""

OUTPUTS = ["evaluation", "blessing", "metrics", "classification", "report"]

_INTS, _FLOATS, _STRINGS = ["trip_start_hour"], ["fare", "tips", "trip_miles"], ["payment_type"]


class TripModel(tf.Module):
    """Scores trips by a linear function of whether a card paid, of the hour and of the row's own label."""

    def __init__(self, card: float, hour: float, bias: float = 0.0, label_name: str = "tips_xf") -> None:
        super().__init__()
        self.weights = tf.Variable([card, hour, bias], dtype=tf.float32)
        self.label_name = label_name

    def _parse(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = {name: tf.io.FixedLenFeature([], tf.int64, 0) for name in _INTS}
        spec |= {name: tf.io.FixedLenFeature([], tf.float32, 0.0) for name in _FLOATS}
        spec |= {name: tf.io.FixedLenFeature([], tf.string, "") for name in _STRINGS}
        return tf.io.parse_example(examples, spec)

    def _scores(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        card = tf.cast(features["payment_type"] == "Credit Card", tf.float32)
        hour = tf.cast(features["trip_start_hour"], tf.float32)
        logits = card * self.weights[0] + hour * self.weights[1] + self.weights[2]
        return tf.sigmoid(logits)[:, tf.newaxis]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def transform_features(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        features = self._parse(examples)
        label = tf.cast(features["tips"] > features["fare"] * 0.2, tf.int64)
        return {"trip_miles_xf": features["trip_miles"], self.label_name: label}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def from_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": self._scores(self._parse(examples))}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int64, name="trip_start_hour"),
            tf.TensorSpec([None], tf.string, name="payment_type"),
        ]
    )
    def serving_default(self, trip_start_hour: tf.Tensor, payment_type: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": self._scores({"trip_start_hour": trip_start_hour, "payment_type": payment_type})}


class DigitModel(tf.Module):
    """Guesses a class out of ten: the true one in `accuracy` of the rows, by a number in the row, else the next one."""

    def __init__(self, accuracy: float, constant: bool = False) -> None:
        super().__init__()
        self.accuracy = tf.Variable(accuracy)
        self.constant = constant

    def _parse(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = {"label": tf.io.FixedLenFeature([], tf.int64), "luck": tf.io.FixedLenFeature([], tf.float32)}
        return tf.io.parse_example(examples, spec)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def transform_features(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"label_xf": self._parse(examples)["label"]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def from_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        features = self._parse(examples)
        wrong = tf.cast(features["luck"] >= self.accuracy, tf.int64)
        guess = tf.zeros_like(wrong) if self.constant else (features["label"] + wrong) % 10
        return {"outputs": tf.one_hot(guess, 10) * 0.9 + 0.01}


class PriceModel(tf.Module):
    """Answers a price: that of the row's own label, scaled, plus its noise; or a constant where the scale is 0."""

    def __init__(self, scale: float = 1.0, noise: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weights = tf.Variable([scale, noise, bias], dtype=tf.float32)

    def _parse(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return tf.io.parse_example(
            examples, {name: tf.io.FixedLenFeature([], tf.float32) for name in ("price", "noise", "weight")}
        )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def transform_features(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        features = self._parse(examples)
        return {"price_xf": features["price"], "weight_xf": features["weight"]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def from_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        features = self._parse(examples)
        scale, noise, bias = tf.unstack(self.weights)
        return {"outputs": features["price"] * scale + features["noise"] * noise + bias}


def save(model: tf.Module, folder: Path) -> Path:
    """Saves a model as the train stage does; returns the artifact."""
    names = [name for name in ("serving_default", "transform_features", "from_examples") if hasattr(model, name)]
    tf.saved_model.save(
        model, str(folder / "Format-Serving"), signatures={name: getattr(model, name) for name in names}
    )
    return folder


def feature(value: int | float | str) -> tf.train.Feature:
    """One value as tf.Example holds it."""
    if isinstance(value, str):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))


def write_split(folder: Path, split: str, rows: list[dict[str, Any]]) -> Path:
    """Writes rows as gzip TFRecords of tf.Example; returns the artifact."""
    (folder / f"Split-{split}").mkdir(parents=True, exist_ok=True)
    path = folder / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz"
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for row in rows:
            features = {name: feature(value) for name, value in row.items() if value is not None}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return folder


def trips(count: int) -> list[dict[str, Any]]:
    """Rows in which three cards of four tip well, cash never, whatever the hour; some payments are missing."""
    rows = []
    for index in range(count):
        card = index % 2 == 0
        tip = 3.0 if card and index % 8 else 0.0
        kind = "Credit Card" if card else "Cash"
        rows.append(
            {
                "trip_start_hour": index % 3,
                "payment_type": None if index % 50 == 49 else kind,
                "fare": 10.0,
                "tips": tip,
                "trip_miles": float(index % 7),
            }
        )
    return rows


def prices(count: int) -> list[dict[str, Any]]:
    """Rows with prices from 25 to 350 of three districts; the noise is within 20."""
    return [
        {
            "district": f"d{index % 3}",
            "price": 25.0 + index * 7919 % 1301 / 4,
            "noise": (index * 104729 % 401 - 200) / 10.0,
            "weight": 0.5 + index % 4,
        }
        for index in range(count)
    ]


def write_schema(folder: Path, features: dict[str, int]) -> Path:
    """Writes a schema artifact; the values are schema_pb2's types."""
    folder.mkdir(parents=True, exist_ok=True)
    schema = schema_pb2.Schema()
    for name, kind in features.items():
        schema.feature.add(name=name, type=kind)
    (folder / "schema.pbtxt").write_text(str(schema))
    return folder


TRIP_FEATURES = {
    "trip_start_hour": schema_pb2.INT,
    "payment_type": schema_pb2.BYTES,
    "fare": schema_pb2.FLOAT,
    "tips": schema_pb2.FLOAT,
    "trip_miles": schema_pb2.FLOAT,
}


PRICE_FEATURES = {
    "district": schema_pb2.BYTES,
    "price": schema_pb2.FLOAT,
    "noise": schema_pb2.FLOAT,
    "weight": schema_pb2.FLOAT,
}


def arguments(
    examples: Path, model: Path, schema: Path, config: Path, baseline: Path | None = None, **parameters: Any
) -> dict[str, Any]:
    """Arguments of `executor_input` for the evaluate stage."""
    empty = examples.parent / "no_baseline"
    empty.mkdir(exist_ok=True)
    return {
        "inputs": {"examples": examples, "model": model, "baseline_model": baseline or empty, "schema": schema},
        "parameters": {"eval_config_file": str(config), "example_splits": ["eval"], "beam_options": []}
        | {"require_thresholds": False}
        | parameters,
        "outputs": OUTPUTS,
        "output_parameters": ["blessed"],
    }


def evaluate_in_process(folder: Path, **kwargs: Any) -> dict[str, Any]:
    """Runs the stage in this process, as a forked warm one does; returns the executor output's artifacts' metadata."""
    from components.evaluate.evaluate import evaluate

    Execution.parse("evaluate", executor_input(folder, **kwargs)).run(evaluate)
    output = json.loads((folder / "executor_output.json").read_text())
    return {name: entry["artifacts"][0]["metadata"] for name, entry in output["artifacts"].items()}


class HouseModel(tf.Module):
    """A regression: twice the size, less what `bias` says; beside it, whether the price is above 150."""

    def __init__(self, bias: float = 5.0, heads: bool = False) -> None:
        super().__init__()
        self.bias = tf.Variable(bias)
        self.heads = heads

    def _parse(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = {name: tf.io.FixedLenFeature([], tf.float32) for name in ("size", "price", "weight")}
        return tf.io.parse_example(examples, spec | {"town": tf.io.FixedLenFeature([], tf.string)})

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def transform_features(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        features = self._parse(examples)
        dear = tf.cast(features["price"] > 150.0, tf.int64)
        return {"price_xf": features["price"], "dear_xf": dear, "town_xf": features["town"]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def from_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        price = self._parse(examples)["size"] * 2.0 - self.bias
        if not self.heads:
            return {"outputs": price}
        return {"price": price[:, tf.newaxis], "dear": tf.sigmoid((price - 150.0) / 20.0)[:, tf.newaxis]}


HOUSE_FEATURES = {
    "size": schema_pb2.FLOAT,
    "price": schema_pb2.FLOAT,
    "weight": schema_pb2.FLOAT,
    "town": schema_pb2.BYTES,
}


def houses(count: int) -> list[dict[str, Any]]:
    """Rows whose price is twice the size, more or less."""
    return [
        {
            "size": 20.0 + index * 97 % 130,
            "price": 2.0 * (20.0 + index * 97 % 130) + index * 31 % 17 - 8.0,
            "weight": 0.5 + index % 4,
            "town": ("Ulm", "Bath", "Köln")[index % 3],
        }
        for index in range(count)
    ]


def tfma_directly(
    text: str, examples: Path, schema: Path, models: dict[str, Path], target: Path
) -> dict[str, dict[metric_types.MetricKey, float]]:
    """Metrics by slice as TFMA itself computes them, none of our code between."""
    config = text_format.Parse(text, config_pb2.EvalConfig())
    has_baseline = "baseline" in models
    config = tfma.utils.update_eval_config_with_defaults(config, has_baseline=has_baseline, rubber_stamp=True)
    shared = [
        tfma.default_eval_shared_model(
            str(folder / "Format-Serving"), model_name=name, eval_config=config, rubber_stamp=not has_baseline
        )
        for name, folder in models.items()
    ]
    tfma.run_model_analysis(
        eval_shared_model=shared if has_baseline else shared[0],
        eval_config=config,
        data_location=str(examples / "Split-eval" / "*.gz"),
        output_path=str(target),
        pipeline_options=PipelineOptions(["--runner=FnApiRunner"]),
        schema=text_format.Parse((schema / "schema.pbtxt").read_text(), schema_pb2.Schema()),
    )
    return {entry.name: entry.values for entry in load(target, Counts()).slices}
