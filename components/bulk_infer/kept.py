"""The columns of the data that stand beside the predictions: which there are, of which types, and their values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.bulk_infer.columns import ALL, check
from components.runtime.data.beam import read_batches
from components.runtime.errors import InputError
from components.runtime.stage.artifacts import InputArtifact

_TYPES = {"int64": pa.int64(), "float32": pa.float32(), "bytes": pa.string(), "missing": pa.string()}
_CODES = {pa.int64(): schema_pb2.INT, pa.float32(): schema_pb2.FLOAT}


@dataclass
class _Found:
    """What the rows have of one feature, as far as they were read."""

    value: pa.DataType | None = None
    many: bool = False
    text: bool = True

    def look(self, name: str, column: pa.Array) -> None:
        """Takes in the lists of a batch.

        Raises:
          InputError: they are of another type than those before.
        """
        if pa.types.is_null(column.type):
            return
        values = column.flatten()
        if len(values) and values.type != (self.value or values.type):
            raise InputError(
                f"column {name!r} is {values.type} in some rows and {self.value} in others; give it one type"
            )
        if len(values):
            self.value = values.type
        self.many = self.many or (pc.max(pc.list_value_length(column)).as_py() or 0) > 1
        if self.text and (pa.types.is_large_binary(values.type) or pa.types.is_binary(values.type)):
            self.text = _is_text(values)

    @property
    def type(self) -> pa.DataType:
        """Of the column. One without any value is taken for text."""
        plain = self.value or pa.string()
        if not (pa.types.is_integer(plain) or pa.types.is_floating(plain)):
            plain = pa.string() if self.text else pa.binary()
        return pa.list_(plain) if self.many else plain


@dataclass(frozen=True)
class Kept:
    """Columns of the data, of types that hold for all rows.

    Attributes:
      schema: names and types, in the order in which they are written.
      left_out: names of columns that were asked for, and are bytes that the format cannot hold.
    """

    schema: pa.Schema
    left_out: tuple[str, ...] = ()

    def columns(self, records: list[bytes]) -> list[pa.Array]:
        """The values in serialised tf.Examples; null where one is missing."""
        if not len(self.schema):
            return []
        # (A decoder is for one thread; to make one takes no time beside a batch.)
        batch = ExamplesToRecordBatchDecoder(_feature_schema(self.schema)).DecodeBatch(records)
        return [_values(batch.column(each.name), each.type) for each in self.schema]


def find(examples: InputArtifact, files: Sequence[str], columns: Sequence[str], *, as_text: bool) -> Kept:
    """The columns that are asked for.

    CSV's types are in the metadata; others are looked for in all rows, for a list may be in the last of them.

    Args:
      examples: as ingest makes them.
      files: of the splits that are answered.
      columns: names; `*` stands for all that are numbers or text.
      as_text: whether they are written as text, so that columns of bytes that are none are left out.

    Raises:
      InputError: there is no column of such a name.
    """
    if not columns:
        return Kept(pa.schema([]))
    written = examples.metadata.get("columns")
    if examples.metadata.get("format") == "csv" and isinstance(written, Mapping):
        known = {str(name): _TYPES[str(label)] for name, label in written.items()}
    else:
        known = _look(files)
    check(columns, known)
    wanted: dict[str, pa.DataType] = {}
    for name in columns:
        if name == ALL:
            wanted |= {each: type for each, type in known.items() if not _holds_bytes(type)}
        else:
            wanted[name] = known[name]
    asked_for = known if ALL in columns else wanted
    left_out = tuple(name for name in asked_for if as_text and _holds_bytes(known[name]))
    return Kept(pa.schema([(name, type) for name, type in wanted.items() if name not in left_out]), left_out)


def _look(files: Iterable[str]) -> dict[str, pa.DataType]:
    found: dict[str, _Found] = {}
    for batch in _batches(files):
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            found.setdefault(name, _Found()).look(name, column)
    return {name: found[name].type for name in sorted(found, key=str.encode)}


def _batches(files: Iterable[str]) -> Iterator[pa.RecordBatch]:
    for file in files:
        yield from read_batches(file, None)


def _feature_schema(columns: pa.Schema) -> bytes:
    made = schema_pb2.Schema()
    for each in columns:
        plain = each.type.value_type if pa.types.is_list(each.type) else each.type
        made.feature.add(name=each.name, type=_CODES.get(plain, schema_pb2.BYTES))
    return made.SerializeToString(deterministic=True)


def _values(lists: pa.Array, kind: pa.DataType) -> pa.Array:
    """A decoded column as one of the type: plain where no row has several values."""
    if pa.types.is_null(lists.type):
        return pa.nulls(len(lists), kind)
    if pa.types.is_list(kind):
        return lists.cast(kind)
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    values = lists.flatten().cast(kind)
    if len(values) == len(lists):
        return values
    # Place of each row's value among all of them; nowhere for a row without one.
    present = pc.greater(lengths, 0)
    places = pc.subtract(pc.cumulative_sum(lengths), 1)
    return values.take(pc.if_else(present, places, pa.scalar(None, places.type)))


def _holds_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind.value_type if pa.types.is_list(kind) else kind)


def _is_text(values: pa.Array) -> bool:
    """Whether they are UTF-8 without NUL, by which pictures are told whose few small numbers are UTF-8 by chance."""
    try:
        texts = values.cast(pa.large_binary()).cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return not pc.any(pc.match_substring(texts, "\0")).as_py()
