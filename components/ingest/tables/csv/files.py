"""Reads CSV files in two passes with bounded memory: first the types of the columns over all files, then the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
from pyarrow import csv as arrow_csv

from components.ingest.column_names import check_name, compare_names
from components.ingest.overflows import Overflows
from components.ingest.sources import SourceFile
from components.ingest.tables import columns
from components.ingest.tables.columns import Kind
from components.ingest.tables.csv import faults
from components.ingest.tables.csv.arrow_reader import read_batches
from components.ingest.tables.csv.header import Header
from components.ingest.tables.csv.options import CsvOptions
from components.ingest.tables.csv.quotes import NEVER_CLOSED, CheckedQuotes
from components.ingest.tables.csv.text import open_text
from components.ingest.tables.csv.text_causes import TextCause, TextCauses, TextEvidence
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
    _evidence: TextEvidence = field(default_factory=lambda: TextEvidence(CsvOptions()))

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
        causes = TextCauses(table.options)
        for file in files:
            header = Header.read(file, table.options)
            table._begin(file, header, known or {})
            if header.has_rows:
                table._scan_rows(file, header, causes)
        table._end(causes)
        return table

    @classmethod
    def scan_one(cls, file: SourceFile, options: CsvOptions, known: Mapping[str, Kind]) -> CsvTable:
        """Reads one of several files, for `joined`; arguments as of `scan`.

        Raises:
          InputError: as `scan`; that it has no rows is no fault.
        """
        table = cls([file], options, _evidence=TextEvidence(options))
        header = Header.read(file, options)
        table._begin(file, header, known)
        if header.has_rows:
            table._scan_rows(file, header, table._evidence)
        return table

    @classmethod
    def joined(
        cls, files: Sequence[SourceFile], tables: Sequence[CsvTable], options: CsvOptions, known: Mapping[str, Kind]
    ) -> CsvTable:
        """What `scan` finds in all files, of what `scan_one` found in each; other arguments as of `scan`.

        Raises:
          InputError: a file has other columns than the first one, or none has rows.
        """
        table = cls(list(files), options)
        causes = TextCauses(options)
        for file, each in zip(files, tables, strict=True):
            header = each._headers[file.path]
            table._begin(file, header, known)
            each._evidence.tell(causes, table.kinds, header, file)
            table.kinds = {name: max(kind, each.kinds[name]) for name, kind in table.kinds.items()}
            table.rows += each.rows
            table._blocks |= each._blocks
        table._end(causes)
        return table

    def of(self, file: SourceFile) -> CsvTable:
        """The rows of one of the files, whose types all of them say."""
        own = {file.path: self._headers[file.path]}
        blocks = {file.path: self._blocks[file.path]} if file.path in self._blocks else {}
        return replace(self, files=[file], text_causes=[], overflows=Overflows(), _headers=own, _blocks=blocks)

    def _begin(self, file: SourceFile, header: Header, known: Mapping[str, Kind]) -> None:
        """Takes the next file's columns."""
        self._headers[file.path] = header
        if not self.names:
            # With gaps, pandas writes them as 12.0.
            self._integers = frozenset(name for name, kind in known.items() if kind is Kind.INT)
            self.names = header.names
            # What other data had not, such as an id, is no feature: it is kept as it is written.
            other = Kind.BYTES if known else Kind.MISSING
            self.kinds = {name: known.get(name, other) for name in header.names}
            for name in self.options.text_columns:
                if known and name not in header.names:
                    continue
                check_name(name, header.names, "text_columns", file.name)
                self.kinds[name] = Kind.BYTES
        compare_names(header.names, file.name, self.names, self.files[0].name)

    def _end(self, causes: TextCauses) -> None:
        """All files have been read."""
        if self.rows == 0:
            first = self.files[0].name
            names_text = first if len(self.files) == 1 else f"all {len(self.files)} files, such as {first}"
            raise InputError(f"{names_text}: a header but no rows: add rows, or set data to other files")
        self.text_causes = causes.found()

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

    def _scan_rows(self, file: SourceFile, header: Header, causes: TextCauses | TextEvidence) -> None:
        block = BLOCK_BYTES
        while True:
            try:
                rows = 0
                for batch in self._text_batches(file, block, checked=True):
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

    def _text_batches(self, file: SourceFile, block: int, *, checked: bool = False) -> Iterator[pa.RecordBatch]:
        """The rows as text; `checked` where nobody has looked at the file's quotes before."""
        options, header = self.options, self._headers[file.path]
        with open_text(file, options.encoding) as stream:
            quotes = CheckedQuotes(stream, options.delimiter) if checked else None
            try:
                batches = read_batches(
                    quotes or stream,
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
                for batch in batches:
                    if batch.num_rows:
                        yield batch
            except pa.ArrowInvalid as error:
                if any(text in str(error) for text in _TOO_SMALL):
                    raise _BlockTooSmall(f"{file.name}: has changed while it was read: run again") from None
                faults.explain(file, options, header, str(error))
            if quotes and quotes.open:
                faults.explain(file, options, header, NEVER_CLOSED)


class _BlockTooSmall(InputError):
    """A record does not fit into a block; in the second pass, where it did in the first."""
