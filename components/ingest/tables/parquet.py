"""Reads Parquet files: first the columns of all files from their footers, then the rows, some at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pyarrow as pa
from pyarrow import fs
from pyarrow import parquet as pq

from components.ingest.column_names import check_names, compare_names
from components.ingest.overflows import Overflows
from components.ingest.sources import SourceFile
from components.ingest.tables.table_columns import Column, column_of, convert, refuse, widen
from components.runtime.data.storage import reading
from components.runtime.errors import InputError
from components.runtime.stage.progress import count

_MAGIC = b"PAR1"
_BATCH_BYTES = 8 << 20
_BATCH_ROWS = 16384
_FIRST_ROWS = 64
_READ_BYTES = 1 << 20
_CORRUPT = re.compile(
    r"thrift|parquet|corrupt|decompress|checksum|unexpected end|page|snappy|zstd|gzip|brotli|lz4", re.I
)
_MEND = "the file is truncated or corrupt, copy or write it again"


@dataclass
class ParquetTable:
    """Parquet files with the same columns.

    Attributes:
      files: in the order of their rows.
      columns: by name, as features.
      unsigned: names of those of 64 bits without a sign, in some file.
      rows: of all files.
      bytes: of all files, uncompressed.
      overflows: numbers beyond float32, after the batches have been read.
    """

    files: list[SourceFile]
    columns: dict[str, Column] = field(default_factory=dict)
    unsigned: set[str] = field(default_factory=set)
    rows: int = 0
    bytes: int = 0
    overflows: Overflows = field(default_factory=Overflows)

    @classmethod
    def scan(cls, files: list[SourceFile]) -> ParquetTable:
        """Reads all files' bytes once, for their digests, and their footers.

        Raises:
          InputError: a file is not Parquet, has other columns than the first one, or a column that cannot be a feature.
        """
        table = cls(files)
        for number, file in enumerate(files):
            count(number, len(files), "files", "columns")
            table._take(file, footer(file))
        return table

    @classmethod
    def joined(cls, files: list[SourceFile], footers: Sequence[Footer]) -> ParquetTable:
        """What `scan` finds in files whose footers have been read elsewhere.

        Raises:
          InputError: a file has other columns than the first one.
        """
        table = cls(files)
        for file, each in zip(files, footers, strict=True):
            table._take(file, each)
        return table

    def of(self, file: SourceFile) -> ParquetTable:
        """The rows of one of the files, with the columns of all."""
        return replace(self, files=[file], overflows=Overflows())

    def _take(self, file: SourceFile, found: Footer) -> None:
        self.rows += found.rows
        self.bytes += found.bytes
        columns = found.columns
        if not self.columns:
            self.columns = columns
        compare_names(list(columns), file.name, list(self.columns), self.files[0].name)
        self.unsigned |= found.unsigned
        self.columns = widen(self.columns, self.files[0].name, columns, file.name, found.shown)

    @property
    def is_large(self) -> bool:
        """Whether processes for the encoding pay for their start."""
        return self.bytes > 4 << 20

    def stored(self, names: Sequence[str]) -> Iterator[tuple[str, pa.Array]]:
        """All values of some columns as they are stored, with the column's name; memory as of `batches`.

        Raises:
          InputError: a page is corrupt.
        """
        for number, file in enumerate(self.files):
            count(number, len(self.files), "files", "types")
            with _open(file) as parquet:
                for batch in parquet.iter_batches(_rows_at_once(parquet), columns=list(names)):
                    for name in names:
                        yield name, batch.column(name)

    def batches(self) -> Iterator[tuple[SourceFile, pa.RecordBatch]]:
        """The rows, in the order of the files.

        Raises:
          InputError: a page is corrupt, or a value does not fit.
        """
        schema = pa.schema([(name, column.arrow) for name, column in self.columns.items()])
        for file in self.files:
            before = 0
            with _open(file) as parquet:
                for batch in parquet.iter_batches(_rows_at_once(parquet)):
                    if not batch.num_rows:
                        continue
                    batch.validate(full=True)
                    arrays = []
                    for name, column in self.columns.items():
                        try:
                            arrays.append(convert(batch.column(name), column))
                            self.overflows.look(name, batch.column(name), arrays[-1], file.name)
                        except (ValueError, KeyError) as error:
                            rows = f"rows {before + 1} to {before + batch.num_rows}"
                            raise InputError(f"{file.name}: column {name!r}, {rows}: {error}: mend it") from None
                    before += batch.num_rows
                    yield file, pa.RecordBatch.from_arrays(arrays, schema=schema)


@dataclass(frozen=True)
class Footer:
    """What one file says of itself: the attributes of `ParquetTable`, and the types as they are written, `shown`."""

    columns: dict[str, Column]
    shown: dict[str, str]
    unsigned: frozenset[str]
    rows: int
    bytes: int


def footer(file: SourceFile) -> Footer:
    """Reads a file's bytes once, for its digest, and its footer.

    Raises:
      InputError: it is not Parquet, or has a column that cannot be a feature.
    """
    _read_whole(file)
    with _open(file) as parquet:
        schema, metadata = parquet.schema_arrow, parquet.metadata
        size = sum(metadata.row_group(each).total_byte_size for each in range(metadata.num_row_groups))
    return Footer(
        _columns(file, schema),
        {entry.name: str(entry.type) for entry in schema},
        frozenset(each.name for each in schema if pa.types.is_uint64(getattr(each.type, "value_type", each.type))),
        metadata.num_rows,
        size,
    )


def _read_whole(file: SourceFile) -> None:
    """Hashes a file, which Parquet's reader jumps about in."""
    with file.open() as stream:
        data = beginning = stream.read(_READ_BYTES)
        while data:
            end = data
            data = stream.read(_READ_BYTES)
    if not beginning:
        raise InputError(f"{file.name}: an empty file: write it again, or move it away")
    if not beginning.startswith(_MAGIC):
        raise InputError(f"{file.name}: not Parquet: it does not begin with PAR1: name it as what it is, or set format")
    if not end.endswith(_MAGIC) and len(end) >= len(_MAGIC):
        raise InputError(f"{file.name}: does not end as Parquet does: {_MEND}")


@contextmanager
def _open(file: SourceFile) -> Iterator[pq.ParquetFile]:
    """Opens a file so that no more of it is in memory than a few pages of each column."""
    with reading(file.name):
        try:
            with (
                file.filesystem.open_input_file(file.path) as raw,
                pq.ParquetFile(
                    raw, buffer_size=_READ_BYTES, pre_buffer=False, page_checksum_verification=True
                ) as parquet,
            ):
                yield parquet
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise InputError(f"{file.name}: not whole Parquet ({_short(error)}): {_MEND}") from None
        except OSError as error:
            # Arrow tells of corrupt pages as of failing disks and networks, but without their numbers.
            local = isinstance(file.filesystem, fs.LocalFileSystem)
            if error.errno is None and (local or _CORRUPT.search(str(error))):
                raise InputError(f"{file.name}: not whole Parquet ({_short(error)}): {_MEND}") from None
            raise


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")


def _columns(file: SourceFile, schema: pa.Schema) -> dict[str, Column]:
    check_names(schema.names, file.name)
    columns, refused = {}, []
    for entry in schema:
        try:
            columns[entry.name] = column_of(entry.type)
        except ValueError as error:
            refused.append((entry.name, str(entry.type), str(error)))
    try:
        refuse(refused)
    except ValueError as error:
        raise InputError(f"{file.name}: {error}") from None
    return columns


def _rows_at_once(parquet: pq.ParquetFile) -> int:
    """As many as take about 8 MiB, by the first rows and by what the footer says of all."""
    metadata = parquet.metadata
    size = 1.0
    if first := next(parquet.iter_batches(_FIRST_ROWS), None):
        size = max(size, first.nbytes / max(1, first.num_rows))
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        size = max(size, group.total_byte_size / max(1, group.num_rows))
    return max(1, min(_BATCH_ROWS, int(_BATCH_BYTES / size)))
