"""Applies a transform graph to files of tf.Examples, a batch at a time."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform import impl_helper
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder
from tfx_bsl.public import tfxio

from components.runtime import examples, tfrecord
from components.runtime.beam import read_batches
from components.runtime.errors import InputError, classify
from components.runtime.progress import report


class Shard(NamedTuple):
    """One file to be transformed into another, with the rows counted in a third."""

    split: str
    source: str
    target: str
    count: str


class _Graph:
    """A transform graph, loaded."""

    def __init__(self, folder: str, schema: bytes) -> None:
        self._output = tft.TFTransformOutput(folder)
        transformed = self._output.transformed_metadata.schema
        self._adapter = tensor_adapter(schema)
        self._converter = impl_helper.make_tensor_to_arrow_converter(transformed)
        self._encoder = RecordBatchToExamplesEncoder(transformed)

    def transform(self, batch: pa.RecordBatch) -> list[bytes]:
        """Transformed tf.Examples of raw rows, in their order and in canonical bytes."""
        tensors = self._adapter.ToBatchTensors(batch, produce_eager_tensors=True)
        # The whole signature is fed, so that features of the graph that need only some of the inputs stay exact.
        outputs = self._output.transform_raw_features(tensors, drop_unused_features=False)
        result = self._converter.convert(outputs)
        if result.num_rows != batch.num_rows:
            raise ValueError(f"the transformation made {result.num_rows} rows of {batch.num_rows}")
        flat = _single_values(result)
        if flat is not None:
            encoded: list[bytes] = examples.encode_batch(flat).examples.to_pylist()
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
    loaded = _load(graph, schema)
    with tfrecord.Writer(Path(shard.target)) as writer:
        for batch in read_batches(shard.source, schema):
            if not batch.num_rows:
                continue
            rows = f"rows {writer.records + 1} to {writer.records + batch.num_rows}"
            try:
                transformed = loaded.transform(batch)
            except (ValueError, tf.errors.OpError) as error:
                if classify(error) is not None or isinstance(error, tf.errors.ResourceExhaustedError):
                    raise
                message = " ".join(str(error).split())[:400]
                raise InputError(f"{shard.source}, {rows}: preprocessing_fn fails on the data: {message}") from error
            writer.write(transformed)
            report(f"transforming {shard.split}: {writer.records:,} rows of {Path(shard.source).name}", force=False)
        Path(shard.count).write_text(str(writer.records))


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
        if len(values) != batch.num_rows or pa.types.is_nested(values.type) or set(column.value_lengths().unique().to_pylist()) != {1}:
            return None
        columns.append(values.cast(pa.binary()) if pa.types.is_large_binary(values.type) else values)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
