"""Labels that came later: those of a file that a person has, and those that a server was told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv, parquet

from components.runtime.data.labels import array, read, typed
from components.runtime.data.schema_columns import Column
from components.runtime.errors import InputError, did_you_mean
from components.runtime.records import prediction_log
from runners.serving.rows import json_lines

_FORMATS = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".json")
_SHOWN = 10
_TIME = "time"


@dataclass(frozen=True)
class Given:
    """Labels as they came.

    Attributes:
      table: `prediction_id`, `label`, `kind` and `time`, in the label's own type.
      without: rows that have no label.
      wrong: of a server's labels: how many are none of the model's, and what is wrong with the first.
    """

    table: pa.Table
    without: int = 0
    wrong: tuple[int, str] = (0, "")


def of_file(file: Path, id_column: str, label_columns: Sequence[str], label: Column | None, kind: str) -> Given:
    """Reads a table of labels.

    Args:
      file: CSV, TSV, Parquet, or JSON with a row a line.
      id_column: with the ids of predictions.
      label_columns: names that the labels' column may have; the first that there is counts.
      label: what the model's data has there; None where nobody knows.
      kind: of all labels.

    Raises:
      InputError: there is no such table, it lacks a column, or a label is none of the model's.
    """
    rows = _read(file)
    columns = rows.column_names
    if id_column not in columns:
        raise InputError(
            f"{file}: no column {id_column!r} with the predictions' ids{did_you_mean(id_column, columns)}; it has "
            f"{', '.join(columns[:_SHOWN])}; name it with --id"
        )
    named = next((name for name in label_columns if name in columns), "")
    if not named:
        wanted = " or ".join(map(repr, label_columns))
        raise InputError(f"{file}: no column {wanted} with labels; it has {', '.join(columns[:_SHOWN])}")
    ids = rows.column(id_column).cast(pa.string()).to_pylist()
    given = rows.column(named).to_pylist()
    there = [place for place, value in enumerate(given) if value not in (None, "") and ids[place]]
    values = []
    for place in there:
        try:
            values.append(typed(given[place], label))
        except ValueError as error:
            raise InputError(f"{file}: row {place + 1}: {named}: {error}") from None
    times = _times(file, rows, there)
    made = {
        "prediction_id": pa.array([ids[place] for place in there], pa.string()),
        "label": array(values, label),
        "kind": pa.array([kind] * len(there), pa.string()),
        "time": times,
    }
    return Given(pa.table(made), len(rows) - len(there))


def of_server(folder: Path, label: Column | None) -> Given:
    """The labels that a server took; those that are none of the model's are counted and left out.

    Args:
      folder: the log of the model.
      label: what the model's data has there; None where nobody knows.
    """
    found = read(prediction_log.read_labels(folder), label)
    return Given(found.table, wrong=(len(found.wrong), found.example))


def _times(file: Path, rows: pa.Table, there: list[int]) -> pa.Array:
    """When each label came, where the table says it; else now, in the order of the rows."""
    if _TIME not in rows.column_names:
        return pa.array([datetime.now(UTC)] * len(there), prediction_log.TIME)
    given = rows.column(_TIME).to_pylist()
    times = []
    for place in there:
        value = given[place]
        try:
            moment = datetime.fromisoformat(value) if isinstance(value, str) else value
            times.append(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
        except (ValueError, AttributeError):
            raise InputError(
                f"{file}: row {place + 1}: time: {value!r} is no time such as 2026-11-30T12:00:00Z"
            ) from None
    return pa.array(times, prediction_log.TIME)


def _read(file: Path) -> pa.Table:
    kind = file.suffix.lower()
    if kind not in _FORMATS:
        raise InputError(f"{file}: labels are read from {', '.join(_FORMATS)}")
    try:
        if kind == ".parquet":
            with file.open("rb") as stream:
                return parquet.ParquetFile(stream).read()
        if kind in (".csv", ".tsv"):
            parse = csv.ParseOptions(delimiter="\t" if kind == ".tsv" else ",")
            with csv.open_csv(file, parse_options=parse) as table:
                names = table.schema.names
            # What a value is says the model, not the file: 02139 may be a text.
            texts = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
            return csv.read_csv(file, parse_options=parse, convert_options=texts)
        return _of_lines(json_lines(file))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{file}: cannot be read: {str(error).splitlines()[0]}") from None


def _of_lines(rows: Iterable[dict[str, Any]]) -> pa.Table:
    found = list(rows)
    names = dict.fromkeys(name for row in found for name in row)
    # (As texts, where a column has values of several types.)
    return pa.table({name: _column([row.get(name) for row in found]) for name in names})


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(int(value) if isinstance(value, bool) else value)
