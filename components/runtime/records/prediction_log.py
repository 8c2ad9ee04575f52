"""The log of predictions: what a model was asked and what it answered, and the labels that came later, as Parquet.

The log of a model is a folder. Each file appears in it by a rename, and so is whole or not there; servers of the same
model write into one folder without knowing of each other:

- `date=YYYY-MM-DD/*.parquet`, by the day (UTC) of the request, a row for each row that was answered: `prediction_id`
  (the request's id, `-` and the number of the row), `time` (microseconds, UTC), `version`, `signature`, `features` (a
  field for each raw feature, null where the value was missing) and `prediction` (a field for each output). Features
  that are never to be logged have no field; the file's schema names them.
- `labels/*.parquet`: `prediction_id`, `label` (of its own type), `kind` and `time`, when it arrived.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import tempfile
import uuid
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
from pyarrow import compute, parquet

from components.runtime.errors import InputError
from components.runtime.stage.artifacts import sync

LABELS = "labels"
EXPLICIT, CORRECTED, IMPLICIT = KINDS = ("explicit", "corrected", "implicit")
"""How a label came: a person judged the prediction, put another value in its place, or something was done or not."""

SECONDS = 30
"""The longest that a row or a label waits in a running server for its file."""

TIME = pa.timestamp("us", tz="UTC")

_DAY = "date="
_ENDING = ".parquet"
_REDACTED = b"millrace.redacted"
_DAY_US = 24 * 60 * 60 * 1_000_000
_WRITTEN = "%Y%m%dT%H%M%S%f"
_NAME = re.compile(r"[0-9]{8}T[0-9]{12}-")
_CLOCKS_APART = datetime.timedelta(hours=1)
"""By how much the clocks of servers and of who writes labels may differ."""


def table(
    prediction_ids: Collection[str],
    times: Collection[datetime.datetime],
    versions: Collection[int],
    signatures: Collection[str],
    features: Mapping[str, pa.Array],
    prediction: Mapping[str, pa.Array],
    redacted: Collection[str] = (),
) -> pa.Table:
    """Rows of the log, N of them.

    Args:
      prediction_ids: of each row.
      times: of each row's request, in UTC.
      versions: which answered.
      signatures: that was asked.
      features: N values by feature; none of what is redacted.
      prediction: N values by output.
      redacted: the features that are left out, whether the model has them or not.
    """
    made = pa.table(
        {
            "prediction_id": pa.array(prediction_ids, pa.string()),
            "time": pa.array(times, TIME),
            "version": pa.array(versions, pa.int64()),
            "signature": pa.array(signatures, pa.string()),
            "features": _struct(features, len(prediction_ids)),
            "prediction": _struct(prediction, len(prediction_ids)),
        }
    )
    return made.replace_schema_metadata({_REDACTED: json.dumps(sorted(redacted)).encode()})


def _struct(fields: Mapping[str, pa.Array], rows: int) -> pa.Array:
    # Parquet has no structs without fields.
    return pa.StructArray.from_arrays(list(fields.values()), list(fields)) if fields else pa.nulls(rows)


def make(folder: Path) -> None:
    """Makes the folder of a log, and tries that it can be written to.

    Raises:
      OSError: it cannot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # (Rights say little of file systems that cannot be written.)
    os.rmdir(tempfile.mkdtemp(prefix=".", dir=folder))


def write(folder: Path, rows: pa.Table) -> list[Path]:
    """Adds rows of `table` to a log: a file for each day that they are of.

    Args:
      folder: the log of a model; made where it is not there.
      rows: in the order of their times.

    Returns:
      the files.

    Raises:
      OSError: it cannot be written; nothing of that file is there then.
    """
    files = []
    # (Arrow's own names of days need a database of time zones, which a small image does not have.)
    days = compute.divide(rows.column("time").cast(pa.int64()), _DAY_US)
    for number in compute.unique(days).to_pylist():
        day = datetime.date(1970, 1, 1) + datetime.timedelta(days=number)
        files.append(_write(folder / f"{_DAY}{day}", rows.filter(compute.equal(days, number))))
    return files


def write_labels(folder: Path, labels: pa.Table) -> Path:
    """Adds labels to a log.

    Args:
      folder: the log of a model; made where it is not there.
      labels: with the columns `prediction_id`, `label`, `kind` and `time`.

    Raises:
      OSError: it cannot be written; nothing of it is there then.
    """
    wanted = {"prediction_id": pa.string(), "label": None, "kind": pa.string(), "time": TIME}
    columns = {name: labels.column(name).cast(kind) if kind else labels.column(name) for name, kind in wanted.items()}
    return _write(folder / LABELS, pa.table(columns))


def _write(folder: Path, rows: pa.Table) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    # The names of one folder sort by the time of their writing; no two writers make the same.
    file = folder / f"{datetime.datetime.now(datetime.UTC):{_WRITTEN}}-{uuid.uuid4().hex[:12]}{_ENDING}"
    part = file.with_name(f".{file.name}")
    try:
        parquet.write_table(rows, part, compression="zstd")
        sync(part)
        os.replace(part, file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync(folder, inside=False)
    return file


def files(folder: Path, since: datetime.datetime | None = None, until: datetime.datetime | None = None) -> list[Path]:
    """The files with predictions of a time, oldest first; they may have rows of before and after it too.

    Args:
      folder: the log of a model; one that is not there has no files.
      since: the earliest time.
      until: the time that all are before.
    """
    first = f"{_DAY}{since.astimezone(datetime.UTC):%Y-%m-%d}" if since else ""
    last = f"{_DAY}{until.astimezone(datetime.UTC):%Y-%m-%d}" if until else f"{_DAY}~"
    days = [each for each in folder.glob(f"{_DAY}*") if first <= each.name <= last]
    return [file for day in sorted(days) for file in _files(day)]


def label_files(folder: Path, since: datetime.datetime | None = None) -> list[Path]:
    """The files with labels, oldest first.

    Args:
      folder: the log of a model.
      since: of the earliest prediction whose label is wanted; no label was written before what it is of.
    """
    # (By the clock of whoever wrote them. A name of somebody else's says nothing.)
    first = f"{since.astimezone(datetime.UTC) - _CLOCKS_APART:{_WRITTEN}}" if since else ""
    return [file for file in _files(folder / LABELS) if file.name >= first or not _NAME.match(file.name)]


def _files(folder: Path) -> list[Path]:
    # (What begins with a dot is being written, or was when its writer ended.)
    return sorted(file for file in folder.glob(f"*{_ENDING}") if not file.name.startswith("."))


def read(
    folder: Path,
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
    columns: Collection[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Reads predictions, roughly in the order of their times; one file in memory at once.

    Args:
      folder: the log of a model.
      since: the earliest time; from the beginning where none is given.
      until: the time that all are before; to the end where none is given.
      columns: the ones wanted, such as `version` or `features.fare`; all where none are named.

    Yields:
      the rows of a file. Fields of `features` and `prediction` may differ from file to file, as versions do.

    Raises:
      InputError: a file cannot be read.
    """
    wanted = None if columns is None else list(dict.fromkeys([*columns, "time"]))
    for file in files(folder, since, until):
        rows = _read(file, wanted)
        if rows is None:
            continue
        times = rows.column("time")
        if since is not None:
            rows = rows.filter(compute.greater_equal(times, pa.scalar(since, TIME)))
        if until is not None:
            rows = rows.filter(compute.less(rows.column("time"), pa.scalar(until, TIME)))
        yield from rows.combine_chunks().to_batches()


def _read(file: Path, columns: list[str] | None = None) -> pa.Table | None:
    try:
        # (Read by itself: the reader of folders would take `date=` for a column.)
        with file.open("rb") as stream:
            return parquet.ParquetFile(stream).read(columns=columns)
    except FileNotFoundError:
        # Removed meanwhile, for the log has its bounds.
        return None
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{file}: no file of a prediction log ({reason}); remove it") from None


def features(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    """The values of a batch by feature; without those that are redacted."""
    return _fields(batch.column("features"))


def prediction(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    """The values of a batch by output."""
    return _fields(batch.column("prediction"))


def redacted(batch: pa.RecordBatch) -> frozenset[str]:
    """The features that the server was told to leave out when it wrote these rows."""
    return frozenset(json.loads((batch.schema.metadata or {}).get(_REDACTED, b"[]")))


def _fields(values: pa.Array) -> dict[str, pa.Array]:
    if not pa.types.is_struct(values.type):
        return {}
    return dict(zip([field.name for field in values.type], values.flatten(), strict=True))


def read_labels(folder: Path, since: datetime.datetime | None = None) -> pa.Table:
    """Labels in the order in which they arrived, several of one prediction too.

    Args:
      folder: the log of a model.
      since: of the earliest prediction whose label is wanted; all without.

    Returns:
      `prediction_id`, `label`, `kind` and `time`; labels of several types are of the one that holds all of them:
      numbers as float64, true among them as 1, else text.

    Raises:
      InputError: a file cannot be read.
    """
    found = [rows for file in label_files(folder, since) if (rows := _read(file)) is not None]
    kinds = {rows.schema.field("label").type for rows in found}
    common = next(iter(kinds)) if len(kinds) == 1 else _common(kinds)
    schema = pa.schema([("prediction_id", pa.string()), ("label", common), ("kind", pa.string()), ("time", TIME)])
    if not found:
        return schema.empty_table()
    # (A whole number too large for a float64 is next to it then.)
    return pa.concat_tables([rows.cast(schema, safe=False) for rows in found]).sort_by("time")


def _common(kinds: Collection[pa.DataType]) -> pa.DataType:
    if kinds and all(map(_is_number, kinds)):
        return pa.float64() if any(pa.types.is_floating(kind) for kind in kinds) else pa.int64()
    return pa.string()


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


class Labels:
    """The newest label of each prediction."""

    def __init__(self, labels: pa.Table) -> None:
        """Of several of one prediction the one with the latest time stands, and of one time the later in the table.

        Args:
          labels: with the columns of `read_labels`.
        """
        # (A stable sort.)
        self._labels = labels.sort_by("time").combine_chunks()
        ids = self._labels.column("prediction_id").to_pylist()
        self._places = {each: place for place, each in enumerate(ids)}
        self.superseded = len(ids) - len(self._places)
        """How many labels a newer one of the same prediction has replaced."""

    def __len__(self) -> int:
        """How many predictions have a label."""
        return len(self._places)

    @property
    def ids(self) -> Collection[str]:
        """Of the predictions with a label."""
        return self._places.keys()

    def newest(self) -> pa.Table:
        """The labels that stand, in the order in which they came."""
        return self._labels.take(pa.array(sorted(self._places.values()), pa.int64()))

    def join(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of a batch that have a label, with the columns `label`, `kind` and `label_time` behind their own."""
        found = [self._places.get(each) for each in batch.column("prediction_id").to_pylist()]
        rows = pa.Table.from_batches([batch]).filter(pa.array([place is not None for place in found], pa.bool_()))
        labels = self._labels.take(pa.array([place for place in found if place is not None], pa.int64()))
        for name, column in (("label", "label"), ("kind", "kind"), ("label_time", "time")):
            rows = rows.append_column(name, labels.column(column))
        [joined] = rows.combine_chunks().to_batches() or [_empty(rows.schema)]
        return joined


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
