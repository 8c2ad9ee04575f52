"""Reads CSV files in two passes with bounded memory: first the types of the columns over all files, then the rows."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
from pyarrow import csv as arrow_csv

from components.ingest import columns, csv_faults
from components.ingest.columns import Kind
from components.ingest.csv_text import lines, open_text
from components.ingest.sources import SourceFile
from components.runtime.errors import InputError
from components.runtime.progress import report

BLOCK_BYTES = 1 << 20
MAX_RECORD_BYTES = 256 << 20
"""A longer record is taken for a quote that is never closed."""

_TOO_SMALL = ("straddling object", "cannot infer number of columns")


@dataclass
class CsvTable:
    """CSV files with the same columns.

    Attributes:
      files: in the order of their rows.
      names: of the columns, in the order of the first file.
      kinds: of the columns.
      rows: of all files.
    """

    files: list[SourceFile]
    names: list[str] = field(default_factory=list)
    kinds: dict[str, Kind] = field(default_factory=dict)
    rows: int = 0
    _blocks: dict[str, int] = field(default_factory=dict)
    _empty: set[str] = field(default_factory=set)

    @classmethod
    def scan(cls, files: list[SourceFile]) -> CsvTable:
        """Reads all files once, for the names and types of their columns.

        Raises:
          InputError: a file is not CSV, is not UTF-8, has a ragged row or other columns than the first one, or none
            has rows.
        """
        table = cls(files)
        for file in files:
            names, has_rows = _header(file)
            if not table.names:
                table.names, table.kinds = names, dict.fromkeys(names, Kind.MISSING)
            columns.compare_names(names, file.name, table.names, files[0].name)
            if has_rows:
                table._scan_rows(file)
            else:
                table._empty.add(file.path)
        if table.rows == 0:
            names_text = files[0].name if len(files) == 1 else f"all {len(files)} files, such as {files[0].name}"
            raise InputError(f"{names_text}: a header but no rows: add rows, or set data to other files")
        return table

    def batches(self) -> Iterator[tuple[SourceFile, pa.RecordBatch]]:
        """Reads all files again: the rows with the final types, columns in the order of `names`."""
        schema = pa.schema([(name, self.kinds[name].arrow) for name in self.names])
        for file in self.files:
            if file.path in self._empty:
                continue
            for batch in self._text_batches(file, self._blocks[file.path]):
                try:
                    arrays = [columns.convert(batch.column(name), self.kinds[name]) for name in self.names]
                except (ValueError, KeyError) as error:
                    raise InputError(f"{file.name}: has changed while it was read ({error}): run again") from None
                yield file, pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _scan_rows(self, file: SourceFile) -> None:
        block = BLOCK_BYTES
        while True:
            try:
                rows = 0
                for batch in self._text_batches(file, block):
                    rows += batch.num_rows
                    for name in self.names:
                        self.kinds[name] = columns.infer(batch.column(name), self.kinds[name])
                    report(f"types of the columns: {self.rows + rows:,} rows", force=False)
                break
            except _BlockTooSmall:
                if block >= MAX_RECORD_BYTES:
                    raise InputError(
                        f"{file.name}: has a record of more than {MAX_RECORD_BYTES >> 20} MiB: is a quote not closed?"
                    ) from None
                block *= 4
        self.rows += rows
        self._blocks[file.path] = block

    def _text_batches(self, file: SourceFile, block: int) -> Iterator[pa.RecordBatch]:
        with open_text(file) as stream:
            last = None
            try:
                reader = arrow_csv.open_csv(
                    stream,
                    read_options=arrow_csv.ReadOptions(block_size=block),
                    parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
                    convert_options=arrow_csv.ConvertOptions(
                        column_types=dict.fromkeys(self.names, pa.string()), null_values=[""], strings_can_be_null=True
                    ),
                )
                for batch in reader:
                    if batch.num_rows:
                        last = batch
                        yield batch
            except pa.ArrowInvalid as error:
                if any(text in str(error) for text in _TOO_SMALL):
                    raise _BlockTooSmall(f"{file.name}: has changed while it was read: run again") from None
                csv_faults.explain(file, len(self.names), str(error))
            if last is not None and _quote_open(stream.tail, last):
                csv_faults.explain_open_quote(file)


class _BlockTooSmall(InputError):
    """A record does not fit into a block; in the second pass, where it did in the first."""


def _header(file: SourceFile) -> tuple[list[str], bool]:
    """The names of a file's columns, and whether there is a row below them."""
    csv.field_size_limit(sys.maxsize)
    with open_text(file) as stream:
        text = lines(stream, file.name)
        try:
            names = next((record for record in csv.reader(text) if record), None)
        except csv.Error as error:
            raise InputError(f"{file.name}: not CSV: {error}") from None
        has_rows = any(line.strip("\r\n") for line in text)
    if names is None:
        raise InputError(f"{file.name}: an empty file: give it a header and rows, or move it away")
    columns.check_names(names, file.name, "the first line must name every column")
    return names, has_rows


def _quote_open(tail: bytes, last: pa.RecordBatch) -> bool:
    """Whether the last cell's quote is never closed, which Arrow lets pass: then the file ends with quote and cell."""
    cell = (last.column(last.num_columns - 1)[-1].as_py() or "").encode().replace(b'"', b'""')
    beginning = len(tail) - len(cell) - 1
    return tail.endswith(b'"' + cell) and (beginning == 0 or tail[beginning - 1 : beginning] in (b",", b"\n", b"\r"))
