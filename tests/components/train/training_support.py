"""Transformed data of both models, made once per session from the real data by the transform stage."""

from __future__ import annotations

import csv
import functools
import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.runtime.stage import executor
from components.runtime.stage.executor import Execution
from components.train.train import train
from components.transform.transform import transform
from tests.support import ROOT, executor_input, shared

OUTPUTS = ["model", "model_run", "metrics", "report"]
TFX_MODULE = ROOT / "tests" / "data" / "tfx_module.py"
TAXI_MODULE = ROOT / "models" / "taxi" / "model.py"
DIGITS_MODULE = ROOT / "models" / "digits" / "model.py"

_INT, _FLOAT = 2, 3
EVAL_PART = 3
"""One row in so many is held out, chosen by its content."""


@dataclass(frozen=True)
class Prepared:
    """Input of the train stage, and the raw records behind it."""

    examples: Path
    schema: Path
    transform_graph: Path
    transformed_examples: Path

    def inputs(self) -> dict[str, Path]:
        return {
            "transformed_examples": self.transformed_examples,
            "transform_graph": self.transform_graph,
            "schema": self.schema,
        }

    def records(self, split: str) -> list[bytes]:
        """Serialised tf.Examples."""
        files = [str(file) for file in (self.examples / f"Split-{split}").iterdir()]
        return [record.numpy() for record in tf.data.TFRecordDataset(files, "GZIP")]


def prepare(
    folder: Path, records: list[bytes], schema: str, module_file: Path, custom_config: dict[str, Any]
) -> Prepared:
    """Splits records and runs the transform stage on them."""
    (folder / "schema").mkdir(parents=True)
    (folder / "schema" / "schema.pbtxt").write_text(schema)
    splits: dict[str, list[bytes]] = {"train": [], "eval": []}
    for record in records:
        held_out = int.from_bytes(hashlib.sha256(record).digest()[:4]) % EVAL_PART == 0
        splits["eval" if held_out else "train"].append(record)
    for name, part in splits.items():
        (folder / "examples" / f"Split-{name}").mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / "examples" / f"Split-{name}" / "data-00000.gz"), "GZIP") as writer:
            for record in part:
                writer.write(record)
    call = executor_input(
        folder,
        parameters={"module_file": str(module_file), "custom_config": custom_config}
        | {"beam_options": [], "on_not_finite": "warn"},
        inputs={"examples": folder / "examples", "schema": folder / "schema"},
        outputs=["transform_graph", "transformed_examples", "report"],
    )
    Execution.parse("transform", call).run(transform)
    return Prepared(folder / "examples", folder / "schema", folder / "transform_graph", folder / "transformed_examples")


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="millrace-training-")  # removed when the interpreter ends


def _folder() -> Path:
    return Path(_temporary().name)


def taxi_records() -> list[bytes]:
    """The trips as tf.Examples, with the types of the recorded schema."""
    integers = {"pickup_community_area", "trip_start_month", "trip_start_hour", "trip_start_day"}
    integers |= {
        "trip_start_timestamp",
        "pickup_census_tract",
        "dropoff_census_tract",
        "trip_seconds",
        "dropoff_community_area",
    }
    records = []
    with shared("taxi/data.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            example = tf.train.Example()
            for name, text in row.items():
                feature = example.features.feature[name]
                if not text:
                    continue
                if name in integers:
                    feature.int64_list.value.append(int(float(text)))
                elif name in ("payment_type", "company"):
                    feature.bytes_list.value.append(text.encode())
                else:
                    feature.float_list.value.append(float(text))
            records.append(example.SerializeToString(deterministic=True))
    return records


def taxi_schema() -> str:
    return shared("tfx_testdata/recorded_run/SchemaGen/schema/schema.pbtxt").read_text()


@functools.cache
def taxi() -> Prepared:
    return prepare(_folder() / "taxi", taxi_records(), taxi_schema(), ROOT / "models/taxi/preprocessing.py", {})


def digits_records() -> list[bytes]:
    """scikit-learn's digits as tf.Examples, as the sample data has them."""
    records = []
    with shared("digits/sklearn-digits/digits.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            label = int(row.pop("label"))
            pixels = bytes(int(value) for value in row.values())
            example = tf.train.Example()
            example.features.feature["image_raw"].bytes_list.value.append(pixels)
            for name, value in (("height", 8), ("width", 8), ("depth", 1), ("label", label)):
                example.features.feature[name].int64_list.value.append(value)
            records.append(example.SerializeToString(deterministic=True))
    return records


@functools.cache
def digits() -> Prepared:
    module = ROOT / "models/digits/preprocessing.py"
    schema = (ROOT / "models/digits/schema.pbtxt").read_text()
    return prepare(_folder() / "digits", digits_records(), schema, module, {"image_size": 8, "pixel_max": 16})


@functools.cache
def tfx_style() -> Prepared:
    """A part of the trips, transformed by the TFX user's module."""
    return prepare(_folder() / "tfx", taxi_records()[:1500], taxi_schema(), TFX_MODULE, {})


def run_train(folder: Path, prepared: Prepared, module_file: Path, **parameters: Any) -> dict[str, dict[str, Any]]:
    """Runs the stage in this process, with `artifacts` besides the usual ones; returns the metadata of its outputs."""
    Execution.parse("train", train_call(folder, prepared, module_file, **parameters)).run(train)
    output = json.loads((folder / "executor_output.json").read_text())
    return {name: entry["artifacts"][0]["metadata"] for name, entry in output["artifacts"].items()}


def train_call(folder: Path, prepared: Prepared, module_file: Path | str, **parameters: Any) -> dict[str, Any]:
    defaults = {"train_steps": 20, "eval_steps": 2, "seed": 42, "custom_config": {}, "hyperparameters_file": ""}
    artifacts = parameters.pop("artifacts", {})
    return executor_input(
        folder,
        parameters={"module_file": str(module_file)} | defaults | parameters,
        inputs=prepared.inputs() | artifacts,
        outputs=OUTPUTS,
    )


def weights(folder: Path) -> dict[str, np.ndarray]:
    """The model's weights as a run wrote them, by their places in the model."""
    reader = tf.train.load_checkpoint(str(folder / "model" / "Format-Serving" / "variables" / "variables"))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("model/")]
    return {name: reader.get_tensor(name) for name in sorted(names)}


def failure(
    folder: Path, prepared: Prepared, module_file: Path | str, capsys: pytest.CaptureFixture[str], **parameters: Any
) -> str:
    """Runs the stage's main program, which must exit with 65 and leave nothing behind; returns its line."""
    file = folder / "call.json"
    outputs = folder / "outputs"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(train_call(outputs, prepared, module_file, **parameters)))
    with pytest.raises(SystemExit) as exit_:
        executor.run_stage("components.train.train:train", ["--executor-input", f"@{file}"])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert exit_.value.code == 65, lines
    assert list(outputs.glob("**/*")) == []
    return lines[-1]
