"""TensorFlow.js's graph model: `model.json`, and the weights in files of at most 4 MiB beside it.

The format is that of https://github.com/tensorflow/tfjs/tree/master/tfjs-converter, by `graph_model.ts` and
`io/types.ts` of tfjs-core. It is written here, since the package tensorflowjs needs JAX, Flax and TensorFlow Decision
Forests to be imported. JavaScript has no integers of 64 bits: here they become such of 32, as TensorFlow.js takes them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.framework import graph_pb2, types_pb2

from components.export.source import Arrays, CannotConvert, Cut
from components.export.tfjs_ops import OPS
from components.runtime import VERSION
from components.runtime.module_file import signatures
from components.runtime.publish.export_formats import Format

FILE = "model.json"

_SHARD_BYTES = 4 << 20
_INT32 = np.iinfo(np.int32)
_KINDS = {
    types_pb2.DT_FLOAT: "float32",
    types_pb2.DT_INT32: "int32",
    types_pb2.DT_BOOL: "bool",
}


def convert(cut: Cut, asked: Format, folder: Path, sample: Arrays | None) -> None:
    """Writes the files.

    Args:
      cut: of the model.
      asked: how the weights are stored.
      folder: to write to.
      sample: not needed.

    Raises:
      CannotConvert: TensorFlow.js has no kernel for an op, or no such type; says which.
    """
    del sample
    if missing := sorted(cut.ops - OPS):
        raise CannotConvert(f"TensorFlow.js has no kernel for the op{'s' if missing[1:] else ''} {', '.join(missing)}")
    graph = graph_pb2.GraphDef.FromString(cut.graph.SerializeToString())
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    manifest: list[dict[str, Any]] = []
    content = b""
    for node in nodes:
        _narrow(node)
        if node.op == "Const":
            entry, values = _weight(node, asked.quantise)
            manifest.append(entry)
            content += values
    paths = []
    shards = max(1, -(-len(content) // _SHARD_BYTES))
    for number in range(shards):
        paths.append(f"group1-shard{number + 1}of{shards}.bin")
        (folder / paths[-1]).write_bytes(content[number * _SHARD_BYTES : (number + 1) * _SHARD_BYTES])
    specs = dict(cut.features.values())
    document = {
        "format": "graph-model",
        "generatedBy": tf.__version__,
        "convertedBy": f"millrace/export {VERSION}",
        "signature": {
            "inputs": {node: _described(f"{node}:0", spec.dtype, spec.shape) for node, spec in specs.items()},
            "outputs": {signatures.OUTPUTS: {"name": cut.output}},
        },
        "modelTopology": json_format.MessageToDict(graph),
        "weightsManifest": [{"paths": paths, "weights": manifest}],
    }
    (folder / FILE).write_text(json.dumps(document, allow_nan=False) + "\n")


def _described(name: str, kind: tf.DType, shape: tf.TensorShape) -> dict[str, Any]:
    narrow = tf.int32 if kind == tf.int64 else kind
    sizes = [{"size": "-1" if size is None else str(size)} for size in shape.as_list()]
    return {"name": name, "dtype": types_pb2.DataType.Name(narrow.as_datatype_enum), "tensorShape": {"dim": sizes}}


def _narrow(node: Any) -> None:
    """Makes 32 bits of a node's integers of 64."""
    for attribute in node.attr.values():
        kind = attribute.WhichOneof("value")
        if kind == "type" and attribute.type == types_pb2.DT_INT64:
            attribute.type = types_pb2.DT_INT32
        if kind == "list":
            attribute.list.type[:] = [
                types_pb2.DT_INT32 if each == types_pb2.DT_INT64 else each for each in attribute.list.type
            ]
        if kind == "tensor" and attribute.tensor.dtype == types_pb2.DT_INT64:
            values = tf.make_ndarray(attribute.tensor)
            attribute.tensor.CopyFrom(tf.make_tensor_proto(values.clip(_INT32.min, _INT32.max).astype(np.int32)))


def _weight(node: Any, quantise: str) -> tuple[dict[str, Any], bytes]:
    """What a constant is in the list of weights, and its bytes; takes the values out of the node."""
    tensor = node.attr["value"].tensor
    if tensor.dtype not in _KINDS:
        raise CannotConvert(
            f"TensorFlow.js has no weights of type {types_pb2.DataType.Name(tensor.dtype)} ({node.name})"
        )
    values = np.asarray(tf.make_ndarray(tensor))
    entry: dict[str, Any] = {"name": node.name, "shape": list(values.shape), "dtype": _KINDS[tensor.dtype]}
    if quantise == "float16" and values.dtype == np.float32:
        entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
        values = values.astype(np.float16)
    tensor.ClearField("tensor_content")
    for name in ("float_val", "int_val", "bool_val", "int64_val"):
        tensor.ClearField(name)
    return entry, values.tobytes()


def read(folder: Path) -> graph_pb2.GraphDef:
    """Reads the files back as a graph of TensorFlow, by what stands in them alone."""
    document = json.loads((folder / FILE).read_text())
    graph = json_format.ParseDict(document["modelTopology"], graph_pb2.GraphDef())
    [group] = document["weightsManifest"]
    content = b"".join((folder / path).read_bytes() for path in group["paths"])
    weights, place = {}, 0
    for entry in group["weights"]:
        stored = np.dtype(entry.get("quantization", entry)["dtype"])
        count = int(np.prod(entry["shape"], dtype=np.int64))
        values = np.frombuffer(content, stored, count, place).reshape(entry["shape"])
        place += count * stored.itemsize
        weights[entry["name"]] = values.astype(entry["dtype"])
    for node in [*graph.node, *(node for function in graph.library.function for node in function.node_def)]:
        if node.op == "Const":
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(weights[node.name]))
    return graph


class Runner:
    """Asks what stands in the files: read back, and run by TensorFlow's kernels in place of JavaScript's."""

    def __init__(self, folder: Path, cut: Cut) -> None:
        """Loads them."""
        narrow = {
            name: (node, tf.TensorSpec(spec.shape, tf.int32 if spec.dtype == tf.int64 else spec.dtype))
            for name, (node, spec) in cut.features.items()
        }
        self._cut = Cut(cut.inputs, read(folder), narrow, cut.output)
        self._ask = self._cut.concrete()

    def __call__(self, features: Arrays) -> np.ndarray[Any, Any]:
        """Predictions, a row for each row of the features; what is beyond 32 bits wraps around as in JavaScript."""
        given = {
            node: tf.constant(values.astype(np.int32) if values.dtype == np.int64 else values)
            for node, values in self._cut.by_node(features).items()
        }
        return self._ask(**given)[signatures.OUTPUTS].numpy()
