"""Labels that came later: those of a file that a person has, and those that a server was told."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
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

_FORMATS = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".json")
_SHOWN = 10
_TIME = "time"
<<<<<<< HEAD
_LARGEST = 3.4028234663852886e38
"""Of the numbers of 32 bits (IEEE 754)."""
_TYPES = {INT: pa.int64(), FLOAT: pa.float32(), BYTES: pa.string()}
=======
>>>>>>> e57de8022ea8f7f0b9f272303c875a48b4fc8b31


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
<<<<<<< HEAD
    found = prediction_log.read_labels(folder)
    values, kept, reasons = [], [], []
    for place, value in enumerate(found.column("label").to_pylist()):
        try:
            values.append(typed(value, label))
            kept.append(place)
        except ValueError as error:
            reasons.append(f"{found.column('prediction_id')[place]}: {error}")
    rows = found.take(pa.array(kept, pa.int64())).set_column(1, "label", _array(values, label))
    return Given(rows, wrong=(len(reasons), reasons[0] if reasons else ""))


def typed(value: Any, label: Column | None) -> Any:
    """A label in the type that the model's data has.

    Args:
      value: a text, or a value of another table.
      label: of the model; None where nobody knows: then it is as it looks.

    Raises:
      ValueError: it is none; says why.
    """
    if label is None:
        return _as_it_looks(value)
    if label.type == BYTES:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is no text")
        if label.values and value not in label.values:
            known = ", ".join(label.values[:_SHOWN]) + (", …" if len(label.values) > _SHOWN else "")
            raise ValueError(f"{value!r} is no class of the model{did_you_mean(value, label.values)}; it knows {known}")
        return value
    number = _number(value)
    if number is None or not math.isfinite(number):
        raise ValueError(f"{value!r} is no number")
    if label.type == FLOAT and abs(number) > _LARGEST:
        raise ValueError(f"{value!r} is too large for a number of 32 bits, which labels of the data are")
    if label.type == INT:
        if number != int(number):
            raise ValueError(f"{value!r} is no whole number")
        number = int(number)
    if (label.least is not None and number < label.least) or (label.most is not None and number > label.most):
        ends = ["…" if end is None else f"{end:g}" for end in (label.least, label.most)]
        raise ValueError(f"{value!r} is none of the model's, which are {ends[0]} to {ends[1]}")
    return number


def _as_it_looks(value: Any) -> Any:
    number = _number(value)
    if number is None:
        return str(value)
    return int(number) if number.is_integer() and not isinstance(value, float) and "." not in str(value) else number


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _array(values: list[Any], label: Column | None) -> pa.Array:
    if label:
        return pa.array(values, _TYPES[label.type])
    kinds = {type(value) for value in values}
    if str in kinds:
        return pa.array([str(value) for value in values], pa.string())
    return pa.array(values, pa.float32() if float in kinds else pa.int64())
=======
    found = read(prediction_log.read_labels(folder), label)
    return Given(found.table, wrong=(len(found.wrong), found.example))
>>>>>>> e57de8022ea8f7f0b9f272303c875a48b4fc8b31


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
        with file.open("rb") as lines:
            return _of_lines(_lines(file, lines))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{file}: cannot be read: {str(error).splitlines()[0]}") from None


def _lines(file: Path, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{file}: line {number} is no JSON ({error})") from None
        if not isinstance(row, dict):
            raise InputError(f"{file}: line {number} is no JSON object")
        yield row


def _of_lines(rows: Iterable[dict[str, Any]]) -> pa.Table:
    found = list(rows)
    names = dict.fromkeys(name for row in found for name in row)
    # (As texts, where a column has values of several types.)
    return pa.table({name: _column([row.get(name) for row in found]) for name in names})


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except pa.ArrowException:
        return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(int(value) if isinstance(value, bool) else value)
