"""Applies a transform graph to files of tf.Examples, a batch at a time."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform import impl_helper
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from components.runtime.data import examples, tfrecord
from components.runtime.data.ahead import ahead
from components.runtime.data.example_columns import encode_batch
from components.runtime.stage.progress import advance
from components.transform.faults import users_fault
from components.transform.finite import NotFinite
from components.transform.reading import Tensors, check_fits, parse, read_canonical


class Shard(NamedTuple):
    """One file to be transformed into another, with rows and values that are not finite counted in a third.

    Of the source it is known whether our ingest wrote it: see `read_canonical`.
    """

    split: str
    source: str
    target: str
    counts_file: str
    are_canonical: bool = False

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

    def transform(self, records: list[bytes]) -> pa.RecordBatch:
        """Transformed rows of raw tf.Examples, in their order."""
        result = self._converter.convert(self._transform(tf.constant(records)))
        if result.num_rows != len(records):
            raise ValueError(f"the transformation made {result.num_rows} rows of {len(records)}")
        return result

    def encode(self, rows: pa.RecordBatch) -> list[bytes]:
        """Transformed rows as tf.Examples in canonical bytes."""
        flat = _single_values(rows)
        if flat is not None:
            encoded: list[bytes] = encode_batch(flat).examples.to_pylist()
            return encoded
        return [examples.canonical(record)[0] for record in self._encoder.encode(rows)]


def transform_shard(shard: Shard, graph: str, schema: bytes, *, threads: bool = True) -> None:
    """Transforms one file.

    Args:
      shard: the files.
      graph: folder of the transform graph.
      schema: serialised schema of the raw features.
      threads: whether reading, graph, encoding and compression have one each; not where each processor has a process.

    Raises:
      InputError: the file is corrupt or contradicts the schema, or the transformation fails on a row.
    """
    loaded, not_finite, done = _load(graph, schema), NotFinite(), 0
    beside: Callable[[Iterator[Any]], Iterator[Any]] = ahead if threads else iter
    with tfrecord.Writer(Path(shard.target)) as writer:
        records = beside(read_canonical(shard.source, shard.are_canonical))
        transformed = beside(_transformed(records, shard.source, loaded, schema))
        for rows, framed in beside(_encoded(transformed, shard.source, loaded, not_finite)):
            writer.append(framed)
            done += rows
            advance(rows)
    Path(shard.counts_file).write_text(json.dumps({"rows": done, "not_finite": not_finite}))


def _transformed(batches: Iterator[list[bytes]], path: str, graph: _Graph, schema: bytes) -> Iterator[pa.RecordBatch]:
    done = 0
    for records in batches:
        with _named(path, done, len(records)):
            try:
                yield graph.transform(records)
            except Exception:
                check_fits(path, done, records, schema)
                raise
        done += len(records)


def _encoded(
    batches: Iterator[pa.RecordBatch], path: str, graph: _Graph, not_finite: NotFinite
) -> Iterator[tuple[int, bytes]]:
    """Batches as they stand in a file, with their rows; counts what is not finite."""
    done = 0
    for batch in batches:
        with _named(path, done, batch.num_rows):
            not_finite.add(batch)
            yield batch.num_rows, tfrecord.frame(graph.encode(batch))
        done += batch.num_rows


@contextmanager
def _named(path: str, done: int, count: int) -> Iterator[None]:
    """Says of the user's faults in which rows they are: those after the first `done`."""
    try:
        yield
    except Exception as error:
        rows = f"{path}, rows {done + 1} to {done + count}"
        raise users_fault(error, f"{rows}: the transformation") or error from error


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
