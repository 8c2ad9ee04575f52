"""Reads raw tf.Examples for a transform graph.

TensorFlow parses them, as in the served model: on all cores, and in a third of the time that decoding them to Arrow
takes. Its tensors are those that TFXIO's adapter makes of decoded batches, but that the values of a `sparse_feature`
come sorted by their indices where the schema does not say that they are: so they do in the served model.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import schema_utils
from tfx_bsl.tfxio.tensor_adapter import TensorAdapterConfig
from tfx_bsl.tfxio.tensor_to_arrow import TensorsToRecordBatchConverter

from components.runtime.data import examples
from components.runtime.data.ahead import ahead
from components.runtime.data.beam import check_decodable, read_records
from components.runtime.errors import InputError

Tensors = dict[str, tf.Tensor | tf.SparseTensor | tf.RaggedTensor]

_RECORDS = tf.TensorSpec([None], tf.string)

_FILES_AHEAD = 2
_SENT_BYTES = 32 << 20
"""Of a file that another process reads, which then sends all of it at once; a shard of taxi trips has 14 MB."""


def parse(records: tf.Tensor, schema: bytes) -> Tensors:
    """The features of serialised tf.Examples, as a schema says: dense where it has shapes, else sparse or ragged."""
    return _parse(records, feature_spec(schema))


def check_fits(path: str, done: int, records: list[bytes], schema: bytes) -> None:
    """Looks for the record that cannot be parsed; arguments as of `components.runtime.data.beam.check_decodable`.

    Raises:
      InputError: there is one.
    """
    check_decodable(path, done, records, schema)
    for number, record in enumerate(records, done + 1):
        try:
            values = examples.decode(record)
        except ValueError:
            # Fields that no tf.Example has, which TensorFlow passes over.
            continue
        for name, feature in feature_spec(schema).items():
            if fault := _fault(values, name, feature):
                raise InputError(
                    f"{path}: record {number} does not fit the schema: feature {name!r} {fault}; correct the data "
                    "or the schema"
                )


class _ToArrow:
    """Parses some features to Arrow batches, which TensorFlow Transform's analysis takes."""

    def __init__(self, schema: bytes, names: tuple[str, ...]) -> None:
        spec = {name: feature_spec(schema)[name] for name in names}
        self._parse = tf.function(lambda records: _parse(records, spec)).get_concrete_function(_RECORDS)
        sparse = [name for name, feature in spec.items() if isinstance(feature, tf.io.SparseFeature)]
        options = TensorsToRecordBatchConverter.Options(generic_sparse_tensor_names=frozenset(sparse))
        types = types_of(schema)
        self._converter = TensorsToRecordBatchConverter({name: types[name] for name in names}, options)
        self.config = TensorAdapterConfig(
            self._converter.arrow_schema(), self._converter.tensor_representations(), types
        )

    def __call__(self, records: list[bytes]) -> pa.RecordBatch:
        return self._converter.convert(self._parse(tf.constant(records)))


def types_of(schema: bytes) -> dict[str, tf.TypeSpec]:
    """The types of all that `parse` gives, by name."""
    tensors = tf.function(lambda records: parse(records, schema)).get_concrete_function(_RECORDS).structured_outputs
    types: dict[str, tf.TypeSpec] = tf.nest.map_structure(tf.type_spec_from_value, tensors)
    return types


def adapter_config(schema: bytes, names: tuple[str, ...]) -> TensorAdapterConfig:
    """How TensorFlow Transform makes tensors again of what `read_batches` yields."""
    return _to_arrow(schema, names).config


def read_canonical(path: str, are_canonical: bool) -> Iterator[list[bytes]]:
    """Reads a TFRecord file as `components.runtime.data.beam.read_records` does, in bytes that TensorFlow parses whole.

    Of a list that stands in several pieces, as in concatenated messages, TensorFlow takes the first and drops the rest.

    Args:
      path: plain or gzip.
      are_canonical: whether our ingest wrote it, which makes each record canonical; to do so is 6 microseconds a row.
    """
    batches = read_records(path)
    return batches if are_canonical else (list(map(_canonical, batch)) for batch in batches)


def _canonical(record: bytes) -> bytes:
    try:
        return examples.canonical(record)[0]
    except ValueError:
        # What is none, or has no features, or fields of others, is TensorFlow's to judge.
        return record


def read_batches(
    path: str, schema: bytes, names: tuple[str, ...], *, are_canonical: bool = False
) -> Iterator[pa.RecordBatch]:
    """Reads some features of a TFRecord file, in order, as `components.runtime.data.beam.read_batches` reads all."""
    if _elsewhere and path in _elsewhere.files:
        return iter(_elsewhere.read(path, schema, names, are_canonical))
    return ahead(_batches(ahead(read_canonical(path, are_canonical)), path, schema, names))


def _batches(
    batches: Iterator[list[bytes]], path: str, schema: bytes, names: tuple[str, ...]
) -> Iterator[pa.RecordBatch]:
    to_arrow = _to_arrow(schema, names)
    done = 0
    for records in batches:
        try:
            yield to_arrow(records)
        except (tf.errors.OpError, UnicodeDecodeError):
            # (TensorFlow's message names the record by its bytes.)
            check_fits(path, done, records, schema)
            raise
        done += len(records)


class _Elsewhere:
    """Files that processes read ahead, whole, while Beam's only thread works on the one before."""

    def __init__(self, pool: Executor, files: list[str]) -> None:
        self.files = files
        self._pool = pool
        self._ahead: dict[str, Future[list[pa.RecordBatch]]] = {}

    def read(self, path: str, *how: Any) -> list[pa.RecordBatch]:
        first = self.files.index(path)
        for each in self.files[first : first + 1 + _FILES_AHEAD]:
            if each not in self._ahead:
                self._ahead[each] = self._pool.submit(_whole, each, *how)
        return self._ahead.pop(path).result()


_elsewhere: _Elsewhere | None = None


@contextmanager
def reading_by(pool: Executor | None, files: list[str]) -> Iterator[None]:
    """Has `read_batches` read small files by the processes of a pool, in this order; others, or with none, here."""
    global _elsewhere
    small = [file for file in files if Path(file).stat().st_size <= _SENT_BYTES]
    _elsewhere = _Elsewhere(pool, small) if pool else None
    try:
        yield
    finally:
        _elsewhere = None


def _whole(path: str, schema: bytes, names: tuple[str, ...], are_canonical: bool) -> list[pa.RecordBatch]:
    return list(_batches(read_canonical(path, are_canonical), path, schema, names))


@functools.lru_cache(maxsize=1)
def _to_arrow(schema: bytes, names: tuple[str, ...]) -> _ToArrow:
    return _ToArrow(schema, names)


@functools.lru_cache(maxsize=1)
def feature_spec(schema: bytes) -> dict[str, Any]:
    """How TensorFlow parses the features that a schema has, by name; those that are deprecated are left out."""
    spec: dict[str, Any] = schema_utils.schema_as_feature_spec(schema_pb2.Schema.FromString(schema)).feature_spec
    return spec


def _parse(records: tf.Tensor, spec: dict[str, Any]) -> Tensors:
    for name, feature in spec.items():
        _hold(records, name, feature)
    parsed: Tensors = tf.io.parse_example(records, spec)
    return parsed


def _hold(records: tf.Tensor, name: str, feature: Any) -> None:
    """Asserts what `_fault` says of ragged and sparse features: TensorFlow would drop values, or mix those of rows."""
    if isinstance(feature, tf.io.SparseFeature):
        keys = [*_index_keys(feature), feature.value_key]
        lists = _lists(records, dict.fromkeys(_index_keys(feature), tf.int64) | {feature.value_key: feature.dtype})
        for key in keys[:-1]:
            _assert(lists[key].row_lengths() == lists[keys[-1]].row_lengths(), name)
    if isinstance(feature, tf.io.RaggedFeature):
        keys = [part.key for part in feature.partitions if isinstance(part, tf.io.RaggedFeature.RowLengths)]
        lists = _lists(records, dict.fromkeys(keys, tf.int64) | {feature.value_key: feature.dtype})
        count = lists[feature.value_key].row_lengths()
        for part in reversed(feature.partitions):
            if isinstance(part, tf.io.RaggedFeature.UniformRowLength):
                _assert(count % part.length == 0, name)
                count //= part.length
            else:
                _assert(lists[part.key].flat_values >= 0, name)
                _assert(tf.reduce_sum(lists[part.key], axis=1) == count, name)
                count = lists[part.key].row_lengths()


def _lists(records: tf.Tensor, types: dict[str, tf.DType]) -> dict[str, tf.RaggedTensor]:
    spec = {key: tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int64) for key, dtype in types.items()}
    parsed: dict[str, tf.RaggedTensor] = tf.io.parse_example(records, spec)
    return parsed


def _assert(holds: tf.Tensor, name: str) -> None:
    tf.debugging.Assert(tf.reduce_all(holds), [f"the lists of feature {name!r} do not fit together"])


def _index_keys(feature: tf.io.SparseFeature) -> list[str]:
    return [feature.index_key] if isinstance(feature.index_key, str) else list(feature.index_key)


def _fault(values: Mapping[str, list[Any]], name: str, feature: Any) -> str:
    """What a row has that TensorFlow cannot parse as the feature, or nothing."""
    if isinstance(feature, tf.io.FixedLenFeature):
        found, expected = len(values.get(name, [])), math.prod(feature.shape)
        if found == expected or (not found and feature.default_value is not None):
            return ""
        return f"has {_counted(found, 'value')}, but {expected} by its shape"
    if isinstance(feature, tf.io.SparseFeature):
        found = len(values.get(feature.value_key, []))
        for key in _index_keys(feature):
            if (indices := len(values.get(key, []))) != found:
                return f"has {_counted(found, 'value')} in {feature.value_key!r}, but {indices} indices in {key!r}"
    if isinstance(feature, tf.io.RaggedFeature):
        what, found = feature.value_key, len(values.get(feature.value_key, []))
        for part in reversed(feature.partitions):
            if isinstance(part, tf.io.RaggedFeature.UniformRowLength):
                if found % part.length:
                    return f"has {_counted(found, 'value')} in {what!r}, no multiple of its row length {part.length}"
                found //= part.length
            else:
                lengths = values.get(part.key, [])
                if sum(lengths) != found or min(lengths, default=0) < 0:
                    return f"has {_counted(found, 'value')} in {what!r}, but the row lengths {lengths} in {part.key!r}"
                what, found = part.key, len(lengths)
    return ""


def _counted(count: int, word: str) -> str:
    return f"{count or 'no'} {word}{'' if count == 1 else 's'}"
