"""Applies a transform graph to files of tf.Examples, a batch at a time."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform import impl_helper
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from components.runtime.data import examples, tfrecord
from components.runtime.data.ahead import ahead
from components.runtime.data.beam import check_decodable, read_records
from components.runtime.data.example_columns import encode_batch
from components.runtime.stage.progress import advance
from components.transform.faults import users_fault
from components.transform.finite import NotFinite
from components.transform.reading import Tensors, parse


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
    """A transform graph, loaded, behind the parsing of raw rows."""

    def __init__(self, folder: str, schema: bytes) -> None:
        output = tft.TFTransformOutput(folder)
        transformed = output.transformed_metadata.schema
        # (Kept, for its variables and tables go with it.)
        self._model = tf.saved_model.load(output.transform_savedmodel_dir)

        @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string)])
        def transform_records(records: tf.Tensor) -> Tensors:
            return dict(self._model.transform_fn(parse(records, schema)))

        self._transform = transform_records
        self._converter = impl_helper.make_tensor_to_arrow_converter(transformed)
        self._encoder = RecordBatchToExamplesEncoder(transformed)

    def transform(self, records: list[bytes], not_finite: NotFinite) -> list[bytes]:
        """Transformed tf.Examples of raw ones, in their order and in canonical bytes; counts what is not finite."""
        result = self._converter.convert(self._transform(tf.constant(records)))
        if result.num_rows != len(records):
            raise ValueError(f"the transformation made {result.num_rows} rows of {len(records)}")
        not_finite.add(result)
        flat = _single_values(result)
        if flat is not None:
            encoded: list[bytes] = encode_batch(flat).examples.to_pylist()
            return encoded
        return [examples.canonical(record)[0] for record in self._encoder.encode(result)]


def transform_shard(shard: Shard, graph: str, schema: bytes) -> None:
    """Transforms one file.

    Args:
      shard: the files.
      graph: folder of the transform graph.
      schema: serialised schema of the raw features.

    Raises:
      InputError: the file is corrupt or contradicts the schema, or the transformation fails on a row.
    """
    loaded, not_finite, done = _load(graph, schema), NotFinite(), 0
    with tfrecord.Writer(Path(shard.target)) as writer:
        for rows, framed in ahead(_transformed(shard.source, loaded, schema, not_finite)):
            writer.append(framed)
            done += rows
            advance(rows)
    Path(shard.counts_file).write_text(json.dumps({"rows": done, "not_finite": not_finite}))


def _transformed(path: str, graph: _Graph, schema: bytes, not_finite: NotFinite) -> Iterator[tuple[int, bytes]]:
    """Transformed batches as they stand in a file, with their rows."""
    done = 0
    for records in ahead(read_records(path)):
        try:
            yield len(records), tfrecord.frame(graph.transform(records, not_finite))
        except Exception as error:
            check_decodable(path, done, records, schema)
            rows = f"rows {done + 1} to {done + len(records)}"
            raise users_fault(error, f"{path}, {rows}: the transformation") or error from error
        done += len(records)


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
