"""Applies a transform graph to files of tf.Examples, a batch at a time."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform import impl_helper
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder
from tfx_bsl.public import tfxio

from components.runtime.data import examples, tfrecord
from components.runtime.data.beam import read_batches
from components.runtime.data.example_columns import encode_batch
from components.runtime.stage.progress import advance
from components.transform.faults import users_fault
from components.transform.finite import NotFinite


class Shard(NamedTuple):
    """One file to be transformed into another, with rows and values that are not finite counted in a third."""

    split: str
    source: str
    target: str
    counts_file: str

    def counts(self) -> tuple[int, NotFinite]:
        """Rows, and the values that are not finite, once the file is transformed."""
        counts = json.loads(Path(self.counts_file).read_text())
        return counts["rows"], NotFinite(counts["not_finite"])


class _Graph:
    """A transform graph, loaded."""

    def __init__(self, folder: str, schema: bytes) -> None:
        output = tft.TFTransformOutput(folder)
        transformed = output.transformed_metadata.schema
        self._model = tf.saved_model.load(output.transform_savedmodel_dir)
        self._adapter = tensor_adapter(schema)
        self._converter = impl_helper.make_tensor_to_arrow_converter(transformed)
        self._encoder = RecordBatchToExamplesEncoder(transformed)

    def transform(self, batch: pa.RecordBatch, not_finite: NotFinite) -> list[bytes]:
        """Transformed tf.Examples of raw rows, in their order and in canonical bytes; counts what is not finite."""
        tensors = self._adapter.ToBatchTensors(batch, produce_eager_tensors=True)
        result = self._converter.convert(self._model.transform_fn(tensors))
        if result.num_rows != batch.num_rows:
            raise ValueError(f"the transformation made {result.num_rows} rows of {batch.num_rows}")
        not_finite.add(result)
        flat = _single_values(result)
        if flat is not None:
            encoded: list[bytes] = encode_batch(flat).examples.to_pylist()
            return encoded
        return [examples.canonical(record)[0] for record in self._encoder.encode(result)]


def tensor_adapter(schema: bytes) -> Any:
    """What turns decoded batches into tensors, as the schema says: dense where it has shapes, else sparse."""
    return tensor_io(schema).TensorAdapter()


def tensor_io(schema: bytes) -> Any:
    """The reader of tf.Examples of TensorFlow's extended libraries for a serialised schema."""
    parsed = schema_pb2.Schema.FromString(schema)
    return tfxio.TFExampleBeamRecord(physical_format="tfrecord_gzip", schema=parsed, telemetry_descriptors=["millrace"])


def transform_shard(shard: Shard, graph: str, schema: bytes) -> None:
    """Transforms one file.

    Args:
      shard: the files.
      graph: folder of the transform graph.
      schema: serialised schema of the raw features.

    Raises:
      InputError: the file is corrupt or contradicts the schema, or the transformation fails on a row.
    """
    loaded, done, not_finite = _load(graph, schema), 0, NotFinite()
    with tfrecord.Writer(Path(shard.target)) as writer:
        for batch in read_batches(shard.source, schema):
            rows = f"rows {done + 1} to {done + batch.num_rows}"
            try:
                transformed = loaded.transform(batch, not_finite)
            except Exception as error:
                raise users_fault(error, f"{shard.source}, {rows}: the transformation") or error from error
            writer.write(transformed)
            done += batch.num_rows
            advance(batch.num_rows)
    Path(shard.counts_file).write_text(json.dumps({"rows": done, "not_finite": not_finite}))


@functools.lru_cache(maxsize=1)
def _load(graph: str, schema: bytes) -> _Graph:
    return _Graph(graph, schema)


def _single_values(batch: pa.RecordBatch) -> pa.RecordBatch | None:
    """The batch with plain columns in place of lists, if every list has one value; else None."""
    columns = []
    for column in batch.columns:
        if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)) or column.null_count:
            return None
        values = column.flatten()
        lengths = column.value_lengths().unique().to_pylist()
        if lengths != [1] or pa.types.is_nested(values.type):
            return None
        columns.append(values.cast(pa.binary()) if pa.types.is_large_binary(values.type) else values)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
