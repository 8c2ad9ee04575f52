"""Reads Avro files: the columns from their headers, then blocks, which other processes decode."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import fastavro
import pyarrow as pa

from components.ingest.column_names import check_names, compare_names
from components.ingest.encoding import BATCH_BYTES
from components.ingest.overflows import Overflows
from components.ingest.sources import SourceFile
from components.ingest.tables.avro.container import MEND, Block, Container, decompress
from components.ingest.tables.avro.schema import AvroSchema
from components.ingest.tables.table_columns import Column, convert, widen
from components.runtime.data.example_columns import varint
from components.runtime.errors import InputError

_BATCH_RECORDS = 8192
_PART_BYTES = 1 << 20
"""Compressed bytes that are decoded at once."""


@dataclass(frozen=True)
class AvroRows:
    """Blocks of one file that are not decoded yet.

    Attributes:
      file: its name, for messages.
      schema: of the file.
      codec: of its blocks.
      columns: of all files, by name.
      blocks: in their order.
      overflows: numbers beyond float32, after the batches have been read.
    """

    file: str
    schema: AvroSchema
    codec: str
    columns: dict[str, Column]
    blocks: tuple[Block, ...]
    overflows: Overflows = field(default_factory=Overflows)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, those of some blocks at once.

        Raises:
          InputError: a block does not hold what the header says.
        """
        schema = pa.schema([(name, column.arrow) for name, column in self.columns.items()])
        for records, offset in self._decoded():
            arrays = {}
            for entry in self.schema.fields:
                with self._blamed(entry.name, records, offset):
                    values = _array([record[entry.name] for record in records], entry.stored)
                    arrays[entry.name] = convert(values.cast(entry.type), self.columns[entry.name])
                    self.overflows.look(entry.name, values, arrays[entry.name], self.file)
            yield pa.RecordBatch.from_arrays([arrays[name] for name in self.columns], schema=schema)

    def stored(self, names: Sequence[str]) -> Iterator[tuple[str, pa.Array]]:
        """The values of some columns as they are stored, with the column's name.

        Raises:
          InputError: a block does not hold what the header says.
        """
        for records, offset in self._decoded():
            for entry in self.schema.fields:
                if entry.name in names:
                    with self._blamed(entry.name, records, offset):
                        values = _array([record[entry.name] for record in records], entry.stored).cast(entry.type)
                    yield entry.name, values

    def _decoded(self) -> Iterator[tuple[list[dict[str, Any]], int]]:
        """The records of some blocks at once, and the byte at which the first of these begins."""
        records: list[dict[str, Any]] = []
        first = size = 0
        for block in self.blocks:
            data = self._plain(block)
            first = first if records else block.offset
            records += self._records(block, data)
            size += len(data)
            if len(records) >= _BATCH_RECORDS or size >= BATCH_BYTES:
                yield records, first
                records, size = [], 0
        if records:
            yield records, first

    @contextmanager
    def _blamed(self, name: str, records: list[dict[str, Any]], offset: int) -> Iterator[None]:
        try:
            yield
        except (ValueError, OverflowError, pa.ArrowException) as error:
            where = f"{self.file}: column {name!r}, {len(records):,} records from byte {offset} on"
            raise InputError(f"{where}: {error}: mend it") from None

    def _plain(self, block: Block) -> bytes:
        try:
            return decompress(block.data, self.codec)
        except ValueError as error:
            raise InputError(f"{self.file}: block at byte {block.offset}: {error}: {MEND}") from None

    def _records(self, block: Block, data: bytes) -> list[dict[str, Any]]:
        try:
            # A block is an array of records but for the zero behind it: one call reads it whole and tells its end.
            stream = io.BytesIO(_long(block.records) + data + b"\0")
            rows = {"type": "array", "items": self.schema.reading}
            records: list[dict[str, Any]] = fastavro.schemaless_reader(stream, rows, None)  # type: ignore[assignment]
            left = len(stream.getbuffer()) - stream.tell()
            if left or len(records) != block.records:
                raise ValueError(f"{block.records} records end {left} bytes before their block")
        except Exception as error:
            # What fastavro raises on bytes that are not of the schema is of many types.
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise InputError(
                f"{self.file}: block at byte {block.offset}: not what the schema says ({reason}): {MEND}"
            ) from None
        return records


@dataclass
class AvroTable:
    """Avro files with the same columns.

    Attributes:
      files: in the order of their rows.
      columns: by name, as features.
      bytes: of all files.
    """

    files: list[SourceFile]
    columns: dict[str, Column] = field(default_factory=dict)
    bytes: int = 0

    @classmethod
    def scan(cls, files: list[SourceFile]) -> AvroTable:
        """Reads the headers of all files.

        Raises:
          InputError: a file is not Avro, has other columns than the first one, or a column that cannot be a feature.
        """
        return cls.joined(files, [schema_of(file) for file in files])

    @classmethod
    def joined(cls, files: list[SourceFile], schemas: Sequence[AvroSchema]) -> AvroTable:
        """What `scan` finds in files whose headers have been read elsewhere.

        Raises:
          InputError: a file has other columns than the first one.
        """
        table = cls(files)
        for file, schema in zip(files, schemas, strict=True):
            table.bytes += file.stored_bytes
            columns = {entry.name: entry.column for entry in schema.fields}
            if not table.columns:
                table.columns = columns
            compare_names(list(columns), file.name, list(table.columns), files[0].name)
            shown = {entry.name: str(entry.type) for entry in schema.fields}
            table.columns = widen(table.columns, files[0].name, columns, file.name, shown)
        return table

    def of(self, file: SourceFile) -> AvroTable:
        """The rows of one of the files, with the columns of all."""
        return replace(self, files=[file])

    @property
    def is_large(self) -> bool:
        """Whether processes for the decoding pay for their start."""
        return self.bytes > _PART_BYTES

    def stored(self, names: Sequence[str]) -> Iterator[tuple[str, pa.Array]]:
        """All values of some columns as they are stored, with the column's name."""
        for _, rows in self.parts():
            yield from rows.stored(names)

    def parts(self) -> Iterator[tuple[SourceFile, AvroRows]]:
        """The rows, in the order of the files, in parts of about a megabyte."""
        for file in self.files:
            with file.open() as stream:
                container = Container(stream, file.name)
                schema, codec = _schema(container, file), container.header.codec
                blocks: list[Block] = []
                size = 0
                for block in container.blocks():
                    blocks.append(block)
                    size += len(block.data)
                    if size >= _PART_BYTES:
                        yield file, AvroRows(file.name, schema, codec, self.columns, tuple(blocks))
                        blocks, size = [], 0
                if blocks:
                    yield file, AvroRows(file.name, schema, codec, self.columns, tuple(blocks))


def schema_of(file: SourceFile) -> AvroSchema:
    """The columns of a file by its header.

    Raises:
      InputError: it is not Avro, or has a column that cannot be a feature.
    """
    with file.open() as stream:
        return _schema(Container(stream, file.name), file)


def _schema(container: Container, file: SourceFile) -> AvroSchema:
    try:
        schema = AvroSchema.parse(container.header.schema)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file.name}: its schema is not one of Avro ({error!r}): write the file again") from None
    except ValueError as error:
        raise InputError(f"{file.name}: {error}") from None
    check_names([entry.name for entry in schema.fields], file.name)
    return schema


def _array(values: list[Any], stored: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, stored)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        # Of a union, or objects: what Arrow does not take over by itself.
        if pa.types.is_floating(stored):
            return pa.array([None if value is None else float(value) for value in values], stored)
        if pa.types.is_integer(stored):
            return pa.array([None if value is None else int(value) for value in values], stored)
        if pa.types.is_string(stored):
            return pa.array([None if value is None else str(value) for value in values], stored)
        if pa.types.is_list(stored) and pa.types.is_string(stored.value_type):
            return pa.array(
                [None if row is None else [None if v is None else str(v) for v in row] for row in values], stored
            )
        raise


def _long(number: int) -> bytes:
    """An Avro long: zigzag, then seven bits a byte."""
    return varint(number << 1)
