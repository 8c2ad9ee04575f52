"""Reads CSV files in two passes with bounded memory: first the types of the columns over all files, then the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
from pyarrow import csv as arrow_csv

from components.ingest.column_names import check_name, compare_names
from components.ingest.overflows import Overflows
from components.ingest.sources import SourceFile
from components.ingest.tables import columns
from components.ingest.tables.columns import Kind
from components.ingest.tables.csv import faults
from components.ingest.tables.csv.header import Header
from components.ingest.tables.csv.options import CsvOptions
from components.ingest.tables.csv.text import open_text
from components.ingest.tables.csv.text_causes import TextCause, TextCauses
from components.runtime.errors import InputError
from components.runtime.stage.progress import count

BLOCK_BYTES = 1 << 20
MAX_RECORD_BYTES = 256 << 20
"""A longer record is taken for a quote that is never closed."""

_TOO_SMALL = ("straddling object", "cannot infer number of columns")


@dataclass
class CsvTable:
    """CSV files with the same columns.

    Attributes:
      files: in the order of their rows.
      options: how they are written.
      names: of the columns, in the order of the first file.
      kinds: of the columns.
      text_causes: single cells for which columns are text.
      rows: of all files.
      overflows: numbers beyond float32, after the batches have been read.
    """

    files: list[SourceFile]
    options: CsvOptions = field(default_factory=CsvOptions)
    names: list[str] = field(default_factory=list)
    kinds: dict[str, Kind] = field(default_factory=dict)
    text_causes: list[TextCause] = field(default_factory=list)
    rows: int = 0
    overflows: Overflows = field(default_factory=Overflows)
    _integers: frozenset[str] = frozenset()
    _headers: dict[str, Header] = field(default_factory=dict)
    _blocks: dict[str, int] = field(default_factory=dict)

    @classmethod
    def scan(
        cls, files: list[SourceFile], options: CsvOptions | None = None, known: Mapping[str, Kind] | None = None
    ) -> CsvTable:
        """Reads all files once, for the names and types of their columns.

        Args:
          files: in the order of their rows.
          options: how they are written.
          known: the types that columns had in other data, which these have too, or greater ones; others are text. Of
            what `text_columns` names there may be less here.

        Raises:
          InputError: a file is not CSV, is of another encoding, has a ragged row or other columns than the first one,
            none has rows, or there is no such column as `text_columns` names.
        """
        table = cls(files, options or CsvOptions())
        # With gaps, pandas writes them as 12.0.
        table._integers = frozenset(name for name, kind in (known or {}).items() if kind is Kind.INT)
        causes = TextCauses(table.options)
        for file in files:
            header = table._headers[file.path] = Header.read(file, table.options)
            if not table.names:
                table.names = header.names
                # What other data had not, such as an id, is no feature: it is kept as it is written.
                other = Kind.BYTES if known else Kind.MISSING
                table.kinds = {name: (known or {}).get(name, other) for name in header.names}
                for name in table.options.text_columns:
                    if known and name not in header.names:
                        continue
                    check_name(name, header.names, "text_columns", file.name)
                    table.kinds[name] = Kind.BYTES
            compare_names(header.names, file.name, table.names, files[0].name)
            if header.has_rows:
                table._scan_rows(file, header, causes)
        if table.rows == 0:
            names_text = files[0].name if len(files) == 1 else f"all {len(files)} files, such as {files[0].name}"
            raise InputError(f"{names_text}: a header but no rows: add rows, or set data to other files")
        table.text_causes = causes.found()
        return table

    def batches(self) -> Iterator[tuple[SourceFile, pa.RecordBatch]]:
        """Reads all files again: the rows with the final types, columns in the order of `names`."""
        schema = pa.schema([(name, self.kinds[name].arrow) for name in self.names])
        for file in self.files:
            if not self._headers[file.path].has_rows:
                continue
            for batch in self._text_batches(file, self._blocks[file.path]):
                try:
                    arrays = [
                        columns.convert(self._plain(name, batch.column(name)), self.kinds[name], self.options.decimal)
                        for name in self.names
                    ]
                    for name, values in zip(self.names, arrays, strict=True):
                        self.overflows.look(name, batch.column(name), values, file.name)
                except (ValueError, KeyError) as error:
                    raise InputError(f"{file.name}: has changed while it was read ({error}): run again") from None
                yield file, pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _scan_rows(self, file: SourceFile, header: Header, causes: TextCauses) -> None:
        block = BLOCK_BYTES
        while True:
            try:
                rows = 0
                for batch in self._text_batches(file, block):
                    for name in self.names:
                        cells, before = batch.column(name), self.kinds[name]
                        self.kinds[name] = columns.infer(self._plain(name, cells), before, self.options.decimal)
                        causes.look(name, before, self.kinds[name], cells, header, file, rows)
                    rows += batch.num_rows
                    # (Bytes would say less: Arrow reads ahead as far as it likes.)
                    count(self.rows + rows, None, "rows", "types of the columns")
                break
            except _BlockTooSmall:
                if block >= MAX_RECORD_BYTES:
                    raise InputError(
                        f"{file.name}: has a record of more than {MAX_RECORD_BYTES >> 20} MiB: is a quote not closed?"
                    ) from None
                block *= 4
        self.rows += rows
        self._blocks[file.path] = block

    def _plain(self, name: str, cells: pa.StringArray) -> pa.StringArray:
        if name not in self._integers or self.kinds[name] is Kind.BYTES:
            return cells
        return columns.without_zero_decimals(cells, self.options.decimal)

    def _text_batches(self, file: SourceFile, block: int) -> Iterator[pa.RecordBatch]:
        options, header = self.options, self._headers[file.path]
        with open_text(file, options.encoding) as stream:
            last = None
            try:
                reader = arrow_csv.open_csv(
                    stream,
                    read_options=arrow_csv.ReadOptions(
                        block_size=block,
                        skip_rows=header.lines_before,
                        column_names=None if options.header else header.names,
                    ),
                    parse_options=arrow_csv.ParseOptions(delimiter=options.delimiter, newlines_in_values=True),
                    convert_options=arrow_csv.ConvertOptions(
                        column_types=dict.fromkeys(self.names, pa.string()),
                        null_values=["", *options.null_values],
                        strings_can_be_null=True,
                    ),
                )
                for batch in reader:
                    if batch.num_rows:
                        last = batch
                        yield batch
            except pa.ArrowInvalid as error:
                if any(text in str(error) for text in _TOO_SMALL):
                    raise _BlockTooSmall(f"{file.name}: has changed while it was read: run again") from None
                faults.explain(file, options, header, str(error))
            if last is not None and _quote_open(stream.tail, last, options.delimiter.encode()):
                faults.explain_open_quote(file, options)


class _BlockTooSmall(InputError):
    """A record does not fit into a block; in the second pass, where it did in the first."""


def _quote_open(tail: bytes, last: pa.RecordBatch, delimiter: bytes) -> bool:
    """Whether the last cell's quote is never closed, which Arrow lets pass: then the file ends with quote and cell."""
    cell = (last.column(last.num_columns - 1)[-1].as_py() or "").encode().replace(b'"', b'""')
    beginning = len(tail) - len(cell) - 1
    return tail.endswith(b'"' + cell) and (
        beginning == 0 or tail[beginning - 1 : beginning] in (delimiter, b"\n", b"\r")
    )
