"""Asks a SavedModel as its clients do: in a process that knows nothing but the folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

# Plain features and tf.Examples of the same rows, asked for in a process that only loads the SavedModel.
ASK = """
import json, sys
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
path, given, to = sys.argv[1:]
given = np.load(given, allow_pickle=True)
model = tf.saved_model.load(path)
default = model.signatures["serving_default"]
inputs = default.structured_input_signature[1]
plain = {name: tf.constant(given[name].tolist(), spec.dtype) for name, spec in inputs.items()}
answers = {"plain": default(**plain)["outputs"]}
answers["raw"] = model.signatures["from_examples"](examples=tf.constant(given["examples"].tolist()))["outputs"]
np.savez(to, **answers, **model.signatures["transform_features"](examples=tf.constant(given["examples"].tolist())))
"""


def ask(folder: Path, model: Path, plain: dict[str, np.ndarray], examples: list[bytes]) -> dict[str, np.ndarray]:
    np.savez(folder / "given.npz", examples=np.array(examples, object), **plain)
    command = [sys.executable, "-c", ASK, str(model), str(folder / "given.npz"), str(folder / "answers.npz")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(np.load(folder / "answers.npz", allow_pickle=True))


def plain_columns(examples: list[bytes], names: dict[str, tf.DType]) -> dict[str, np.ndarray]:
    """Raw features as a client without tf.Examples sends them."""
    missing = {tf.float32: float("nan"), tf.int64: np.iinfo(np.int64).min, tf.string: b""}
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for record in examples:
        features = tf.train.Example.FromString(record).features.feature
        for name, kind in names.items():
            feature = features[name]
            values = [*feature.float_list.value, *feature.int64_list.value, *feature.bytes_list.value]
            columns[name].append(values[0] if values else missing[kind])
    return {name: np.array(values, object) for name, values in columns.items()}


def serve(model: Path, inputs: dict[str, Any], signature: str = "serving_default") -> dict[str, np.ndarray]:
    """Answers as TensorFlow Serving does, which goes by the graph and the signature and knows no objects of Python."""
    (meta,) = saved_model_pb2.SavedModel.FromString((model / "saved_model.pb").read_bytes()).meta_graphs
    asked = meta.signature_def[signature]
    assert set(inputs) == set(asked.inputs)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(meta.graph_def, name="")
        variables = {meta.saver_def.filename_tensor_name: str(model / "variables" / "variables")}
        session.run(meta.saver_def.restore_op_name, variables)
        assets = {asset.tensor_info.name: str(model / "assets" / asset.filename) for asset in meta.asset_file_def}
        session.run(meta.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name, assets)
        outputs = {name: info.name for name, info in asked.outputs.items()}
        answers: dict[str, np.ndarray] = session.run(
            outputs, {info.name: inputs[name] for name, info in asked.inputs.items()}
        )
        return answers
