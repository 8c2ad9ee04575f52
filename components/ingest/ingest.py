"""Reads raw data and writes it as tf.Examples in splits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from importlib.util import find_spec
from typing import Any

from components.ingest.encoding import Encoded, encode_all
from components.ingest.images.ingestion import NO_COMPRESSION, ImageIngestion, are_images
from components.ingest.output import SplitWriter
from components.ingest.raw_files import RawFiles, open_files
from components.ingest.sample import page as sample_page
from components.ingest.sample.sampling import MAX_ROWS, Reservoir
from components.ingest.sources import CSV, IMAGES, PARQUET, SourceFile, Sources, find, format_of
from components.ingest.spans import chosen, find_files
from components.ingest.splits import Splits
from components.ingest.tables.columns import Kind
from components.ingest.tables.csv.options import CsvOptions
from components.runtime.data import schema_columns, tfrecord
from components.runtime.data.span_patterns import is_in_spans
from components.runtime.data.span_words import told_with_gaps
from components.runtime.data.storage import shown
from components.runtime.data.tfmd import SCHEMA_FILE
from components.runtime.errors import InputError
from components.runtime.launch.forked import processors
from components.runtime.records.facts import counted
from components.runtime.stage import imports
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
from components.runtime.stage.progress import count, report

_KINDS = {schema_columns.INT: Kind.INT, schema_columns.FLOAT: Kind.FLOAT, schema_columns.BYTES: Kind.BYTES}
_TOLD_CAUSES = 10
_LARGEST_COLUMNS = 32 << 10
"""Letters that the list of columns may have in the metadata: KFP's launcher gets all metadata of a task's inputs in one
argument, of which Linux takes 128 KiB."""


def ingest(
    examples: OutputArtifact,
    sample: OutputArtifact,
    schema: InputArtifact | None,
    table: InputArtifact | None,
    data: str,
    format: str,
    splits: dict[str, Any],
    split_patterns: dict[str, Any],
    sample_rows: int = 10,
    images: dict[str, Any] = {},  # noqa: B006 (only read)
    text_columns: list[str] = [],  # noqa: B006 (only read)
    delimiter: str = ",",
    encoding: str = "utf-8",
    header: bool = True,
    column_names: list[str] = [],  # noqa: B006 (only read)
    null_values: list[str] = [],  # noqa: B006 (only read)
    decimal: str = ".",
    leave_out_without: list[str] = [],  # noqa: B006 (only read)
    span: str = "",
    spans: int = 0,
    on_gaps: str = "warn",
    scheduled: str = "",
    beam_options: list[str] = [],  # noqa: B006 (only read)
) -> None:
    """Writes the raw data's records as tf.Examples.

    Args:
      examples: gets `Split-<name>/data_tfrecord-<shard>-of-<shards>.gz`.
      sample: gets a page with some of the rows.
      schema: of the data that a model was trained on, whose types columns of the same names have, if their values can;
        None where the data alone tells them.
      table: the rows of a query, which are read in place of `data`.
      data: folder or file, as a path or a gs:// or s3:// URI; placeholders in it, as in `split_patterns`, see
        `components.runtime.data.span_patterns`.
      format: of the files: csv, tfrecord, parquet, avro, images, or auto.
      splits: number of hash buckets of each split.
      split_patterns: file pattern of each split; where given, `splits` is not looked at.
      sample_rows: how many rows of each split the page shows; 0 for none.
      images: layout of images, see `components.ingest.images.settings`.
      text_columns: of CSV files that are text whatever they look like.
      delimiter: this and what follows are of CSV files, see `components.ingest.tables.csv.options`.
      encoding: of the text.
      header: whether the first line names the columns.
      column_names: in the order of the files.
      null_values: cells that are missing values.
      decimal: the mark before decimals.
      leave_out_without: columns without a value in which a row is left out; NaN is none.
      span: which span is read, see `components.runtime.data.span_choice`; empty for the newest, or where are none.
      spans: how many of the newest up to that; 0 for one.
      on_gaps: warn or stop where something between those is not there, or fewer are there.
      scheduled: when the run was scheduled, RFC 3339; empty where nobody tells.
      beam_options: Beam's command line options; empty to read in this container.

    Raises:
      InputError: the data or the parameters cannot be used.
    """
    if not 0 <= sample_rows <= MAX_ROWS:
        raise InputError(f"sample_rows is {sample_rows}: give a number from 0 to {MAX_ROWS}")
    if table is not None:
        if data or split_patterns or span or spans or format not in ("auto", PARQUET):
            raise InputError("the rows are those of a query: take data, format, split_patterns, span and spans out")
        data, format = str(table.path), PARQUET
    place = shown(data) if table is None else "the answer of the query"
    buckets = None if split_patterns else Splits.parse(splits)
    names = buckets.names if buckets else tuple(sorted(split_patterns))
    found_spans = None
    if is_in_spans(data, split_patterns.values(), span, spans):
        found_spans = chosen(data, split_patterns, span, spans, scheduled, on_gaps)
        data, split_patterns = found_spans.spans[-1].data, found_spans.spans[-1].patterns
    is_images = are_images(data, format, split_patterns, images)
    found = ImageIngestion.find(data, split_patterns, images, found_spans) if is_images else None
    listed = find_files(found_spans) if found_spans and not found else None
    sources = found.sources() if found else listed or find(data, split_patterns)
    held_by = "one window of spans" if found_spans and len(found_spans.spans) > 1 else "a folder"
    kind = IMAGES if found else format_of(sources.files, format, place=held_by)
    told_spans = told_with_gaps(found_spans.metadata) if found_spans else ""
    samples = {name: Reservoir(name, sample_rows, sample_page.keep) for name in names}
    options = CsvOptions.parse(
        delimiter=delimiter,
        encoding=encoding,
        header=header,
        column_names=column_names,
        null_values=null_values,
        decimal=decimal,
        text_columns=text_columns,
    )
    # (With a schema they are said of other data, of which this is not in every way.)
    if options.given and kind != CSV and schema is None:
        raise InputError(f"{options.given[0]} is for CSV files, and {place} is {kind}: take it out")
    if leave_out_without and found:
        raise InputError("leave_out_without is for rows of a table, and these are images: take it out")
    if beam_options and found:
        raise InputError("beam_options are for rows of a table, and these are images: take them out")
    raw = RawFiles()
    if found:
        raw = RawFiles(rows=found.number, unit="images")
        rows, left_out = _write(
            found.encoding(names, buckets), examples, samples, raw, sources.files, gzip_level=NO_COMPRESSION
        )
        found.raise_faults()
    elif beam_options:
        ingest_with_beam, complete = _with_beam(), tuple(leave_out_without)
        raw, rows, left_out = ingest_with_beam(
            kind, sources.files, options, _known(schema), buckets, complete, examples, samples, beam_options
        )
    else:
        raw = open_files(kind, sources.files, options, _known(schema))
        processes = processors() if raw.large else 1
        encoded = encode_all(raw.parts, names, buckets, tuple(leave_out_without), processes=processes)
        rows, left_out = _write(encoded, examples, samples, raw, sources.files)
    if left_out and not any(rows.values()):
        needed = " and ".join(map(repr, leave_out_without))
        raise InputError(
            f"{place}: none of the {left_out} rows has {needed}, so all are left out: "
            "correct leave_out_without or the data"
        )
    for name, number in rows.items():
        if number == 0:
            raise InputError(_empty_split(place, name, names, sum(rows.values()), buckets))
    examples.metadata |= {
        "splits": list(names),
        "rows": sum(rows.values()),
        "format": kind,
        "content": _content(sources),
    }
    examples.metadata |= {f"rows_{name}": number for name, number in rows.items()}
    examples.metadata |= {"files": len(sources.files), "input_bytes": sum(file.size for file in sources.files)}
    examples.metadata |= found.facts() if found else {}
    if leave_out_without:
        examples.metadata["rows_left_out"] = left_out
    if raw.columns and len(json.dumps(raw.columns)) <= _LARGEST_COLUMNS:
        examples.metadata["columns"] = raw.columns
    if found_spans:
        examples.metadata |= found_spans.metadata
        report(told_spans)
    left_out_text = _left_out(left_out, sum(rows.values()), leave_out_without, found)
    _tell(raw, rows, left_out_text, cells=sample_rows > 0)
    origin = sample_page.Origin(
        kind,
        len(sources.files),
        examples.metadata["input_bytes"],
        told_spans,
        raw.columns,
        left_out_text,
        [cause.told(cells=sample_rows > 0) for cause in raw.text_causes],
    )
    sample.path.write_text(sample_page.draw(origin, samples), encoding="utf-8")
    sample.metadata["sample_rows"] = sample_rows


def _with_beam() -> Any:
    """What reads with Beam, which not every image of this stage has."""
    if find_spec("apache_beam") is None:
        raise InputError(
            "beam_options: this image has no Beam: give them in the settings as ingest.beam_options, or to build.stage "
            "as they are, for which the image is chosen that has it"
        )
    with imports.quick():
        from components.ingest.on_beam import ingest_with_beam
    return ingest_with_beam


def _known(schema: InputArtifact | None) -> dict[str, Kind]:
    """The types of columns that are known before any of the data is read."""
    columns = schema_columns.read(schema.path / SCHEMA_FILE) if schema else {}
    return {name: _KINDS[column.type] for name, column in columns.items() if column.type in _KINDS}


def _left_out(rows: int, kept: int, needed: Sequence[str], found: ImageIngestion | None) -> str:
    """What was left out, and why; empty where nothing was."""
    if found:
        return found.left_out
    return f"{rows:,} of {counted(rows + kept, 'row')} left out, without {_listed(needed)}" if rows else ""


def _tell(raw: RawFiles, rows: Mapping[str, int], left_out: str, *, cells: bool) -> None:
    """Says what became of the data, the sum last."""
    if odd := [name for name in raw.columns if name != name.strip()]:
        report(f"the names of columns have blanks around them, which belong to them: {', '.join(map(repr, odd[:5]))}")
    for cause in raw.text_causes[:_TOLD_CAUSES]:
        report(cause.told(cells=cells))
    if (more := len(raw.text_causes) - _TOLD_CAUSES) > 0:
        report(f"{more:,} more columns are text because of single cells: see the page of the sample")
    lines = list(raw.overflows.told(cells=cells))
    for line in lines[:_TOLD_CAUSES]:
        report(line)
    if (more := len(lines) - _TOLD_CAUSES) > 0:
        report(f"{more:,} more columns have values beyond float32")
    report(", ".join(f"{counted(number, 'row')} in {name}" for name, number in rows.items()))
    report(", ".join(filter(None, [counted(sum(rows.values()), "row"), left_out])))


def _write(
    encoding: AbstractContextManager[Iterator[Encoded]],
    examples: OutputArtifact,
    samples: Mapping[str, Reservoir[Any]],
    raw: RawFiles,
    files: Sequence[SourceFile],
    *,
    gzip_level: int = tfrecord.GZIP_LEVEL,
) -> tuple[dict[str, int], int]:
    """Writes every record into its split and its sample; returns the rows of each, and how many were left out."""
    names, left_out = tuple(samples), 0
    with ExitStack() as stack:
        encoded = stack.enter_context(encoding)
        writers = [stack.enter_context(SplitWriter(examples.split(name), gzip_level=gzip_level)) for name in names]
        for batch in encoded:
            left_out += batch.left_out
            raw.overflows.merge(batch.overflows)
            for name, writer, rows, framed in zip(names, writers, batch.rows, batch.framed, strict=True):
                writer.append(framed, rows)
                samples[name].add(framed, rows)
            _count(sum(writer.rows for writer in writers) + left_out, raw, files)
        for writer in writers:
            writer.close()
    return {name: writer.rows for name, writer in zip(names, writers, strict=True)}, left_out


def _count(rows: int, raw: RawFiles, files: Sequence[SourceFile]) -> None:
    """Tells how far it is: in rows, or where nobody has counted them, in bytes that have been read."""
    if raw.rows:
        count(rows, raw.rows, raw.unit, "writing examples")
        return
    passed, stored = (sum(map(of, files)) for of in (lambda file: file.passed_bytes, lambda file: file.stored_bytes))
    count(passed, stored, "bytes", f"writing examples, {counted(rows, 'row')}")


def _listed(names: Sequence[str]) -> str:
    return " or ".join(map(repr, names))


def _empty_split(place: str, name: str, names: tuple[str, ...], rows: int, buckets: Splits | None) -> str:
    if rows == 0:
        return f"{place}: no records in any file: set data to files with records"
    if buckets is None:
        return f"{place}: the files of the split {name!r} hold no records: mend its pattern in split_patterns"
    return (
        f"{place}: the split {name!r} got none of the {rows} rows: "
        f"give more rows that differ, or another number of buckets to {name!r} in splits"
    )


def _content(sources: Sources) -> str:
    """Identifies the raw bytes, wherever they lie: sha256 over the files' names and digests."""
    listing = hashlib.sha256()
    for file in sources.files:
        listing.update(f"{file.label}\0{file.digest}\n".encode())
    return f"sha256:{listing.hexdigest()}"
