"""Reads the data as a run does, with the pipeline's own stages up to the schema, and looks at a sample of the rows."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console

from components.runtime.data import examples, tfrecord
from components.runtime.data.tfmd import SCHEMA_FILE
from runners import PROJECT
from runners.scaffold.model import csv_form, text_forms
from runners.scaffold.model.ingesting import ingested
from runners.scaffold.model.profile import BYTES, FLOAT, INTEGER, TEXT, Column, DataSet

SAMPLE = 20_000
"""Rows that are looked at, fewer where columns are many; statistics and schema are of all rows."""
CELLS = 4_000_000
"""Of these rows."""


def read_data(
    root: Path,
    folder: Path,
    place: str,
    labels: Sequence[str],
    console: Console,
    given: Mapping[str, Any] = MappingProxyType({}),
) -> DataSet:
    """Runs the pipeline of a model that is not yet written up to the schema, and profiles what came of it.

    What it makes is in the cache when the model is run.

    Args:
      root: the pipeline root.
      folder: that the model will have.
      place: of the raw data: a folder, a file or a URI.
      labels: columns without which rows are left out.
      console: that the progress is shown on.
      given: settings of ingest that a person gave.

    Raises:
      StageError: the data cannot be read; why, as ingest says it.
    """
    ingest = csv_form.settings(place, given)
    if needed := list(dict.fromkeys([*labels, *given.get("leave_out_without", [])])):
        ingest["leave_out_without"] = needed
    found = _run(root, folder, place, ingest, console)
    if spelt := sorted({value for column in found.columns.values() for value in text_forms.spelt_missing(column)}):
        console.print(f"read again: {', '.join(map(repr, spelt))} stands where a number is missing", highlight=False)
        nulls = list(dict.fromkeys([*given.get("null_values", []), *spelt]))
        found = _run(root, folder, place, ingest | {"null_values": nulls}, console)
    return found


def _run(root: Path, folder: Path, place: str, ingest: Mapping[str, Any], console: Console) -> DataSet:
    made = ingested(root, folder, place, ingest, console)
    units = {name: kind.partition(", ")[2] for name, kind in made.columns.items()}
    found = profile(made.examples, made.schema, made.rows, made.columns, place_of(place, folder), ingest, units)
    return dataclasses.replace(found, left_out=made.left_out)


def place_of(place: str, folder: Path) -> str:
    """The raw data's place as the settings of a model in `folder` have it: a run may be started from another folder."""
    if "://" in place:
        return place
    path = Path(os.path.abspath(place))
    # Of a model elsewhere the settings' paths are relative to its own folder.
    inside = path.is_relative_to(PROJECT) and folder.is_relative_to(PROJECT)
    return str(path.relative_to(PROJECT) if inside else path)


def profile(
    examples_folder: Path,
    schema: Path,
    rows: Mapping[str, int],
    columns_in_order: Collection[str],
    place: str,
    ingest: Mapping[str, Any],
    units: Mapping[str, str] = MappingProxyType({}),
) -> DataSet:
    """What a sample of the rows of all splits says of each column.

    Args:
      examples_folder: the artifact of ingest.
      schema: the inferred one's folder.
      rows: of each split.
      columns_in_order: those of the data.
      place: of the raw data, as settings have it.
      ingest: settings of ingest that are not the default.
      units: what the integers of a column count, by its name.
    """
    splits = [examples_folder / f"Split-{split}" for split in rows]
    most = min(SAMPLE, max(1000, CELLS // max(1, len(columns_in_order))))
    sample = list(_sample(splits, step=max(1, -(-sum(rows.values()) // most))))
    names = dict.fromkeys([*columns_in_order, *sorted({name for record in sample for name in record})])
    found = {name: [record.get(name, []) for record in sample] for name in names}
    columns = {name: _column(name, values, units.get(name, "")) for name, values in found.items()}
    records = {
        name: tuple(_value(values[0], columns[name].kind) if values else None for values in rows_of)
        for name, rows_of in found.items()
    }
    text = (schema / SCHEMA_FILE).read_text(encoding="utf-8")
    return DataSet(place, columns, rows, len(sample), records, text, ingest)


def _sample(folders: Iterable[Path], step: int) -> Iterator[dict[str, list[Any]]]:
    """Rows at equal distances: files are often sorted."""
    number = 0
    for file in (file for folder in folders for file in sorted(folder.iterdir())):
        for record in tfrecord.read(file):
            if number % step == 0:
                yield examples.decode(record)
            number += 1


def _column(name: str, rows: list[list[Any]], unit: str) -> Column:
    flat = [value for values in rows for value in values]
    kind = _kind(flat)
    values = tuple(_value(value, kind) for value in flat)
    present = tuple(value for value in values if value is not None)
    # NaN is how Parquet and TFRecords may say that a value is missing.
    absent = sum(not values for values in rows)
    missing = absent + len(values) - len(present)
    several = any(len(values) > 1 for values in rows)
    return Column(name, kind, len(rows), missing, present, dict(Counter(present).most_common()), several, absent, unit)


def _kind(values: list[Any]) -> str:
    if all(isinstance(value, int) for value in values) and values:
        return INTEGER
    if all(isinstance(value, float) for value in values) and values:
        return FLOAT
    try:
        for value in values:
            value.decode("utf-8")
    except UnicodeDecodeError:
        return BYTES
    return TEXT


def _value(value: Any, kind: str) -> Any:
    """As Python has it; None for NaN."""
    if kind == TEXT:
        return value.decode("utf-8")
    return None if value != value else value
