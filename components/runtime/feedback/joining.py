"""Joins labels with the predictions that they are of, by the rules of docs/feedback.md."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import compute

from components.runtime.data.schema_columns import BYTES, FLOAT, INT, Column
from components.runtime.errors import InputError
from components.runtime.feedback.scores import Scores
from components.runtime.records import prediction_log
from components.runtime.records.prediction_log import IMPLICIT, Labels

_TYPES = {INT: pa.int64(), FLOAT: pa.float32(), BYTES: pa.string()}
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


@dataclass(frozen=True)
class Window:
    """Which predictions are meant.

    Attributes:
      since: the earliest; from the beginning where it is None.
      until: the time that all are before; to the end where it is None.
    """

    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Silence:
    """What it says of a prediction that nobody has labelled it.

    Attributes:
      before: it has to be older.
      value: its label then.
    """

    before: datetime
    value: Any


def duration(text: str) -> timedelta:
    """Days, hours or minutes, such as `7d`.

    Raises:
      ValueError: it is none.
    """
    match = re.fullmatch(r"([0-9]{1,5})([dhm])", text)
    if not match:
        raise ValueError(f"{text}: no duration such as 7d, 12h or 30m")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


@dataclass
class Joined:
    """Predictions with their labels.

    Attributes:
      rows: with the columns of the model's raw data, label and all.
      ids: of the predictions, in the order of the rows.
      versions: how many rows are of each version that predicted.
      kinds: how many rows have a label of each kind.
      logged: how many predictions the log has of the time.
      matched: ids of these that have a label, in a span already or not.
      already: how many of these are in a span already.
      twice: how many rows are left out because the same id was logged again later.
      unread: how many are left out because nobody could read their features.
      empty: columns of which no row has a value.
      days: how many predictions were logged on each day, and how many of these are among the rows.
      scores: what was predicted, of the rows and of all that was logged.
    """

    rows: pa.Table
    ids: list[str]
    versions: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    logged: int = 0
    matched: set[str] = field(default_factory=set)
    already: int = 0
    twice: int = 0
    unread: int = 0
    empty: list[str] = field(default_factory=list)
    days: dict[date, list[int]] = field(default_factory=dict)
    scores: Scores = field(default_factory=Scores)


def join(
    folder: Path,
    labels: Labels,
    used: Collection[str],
    columns: Mapping[str, Column],
    label: str,
    window: Window,
    silence: Silence | None = None,
    tell: Callable[[int, int], None] = lambda rows, labelled: None,
) -> Joined:
    """Reads the log once, and joins.

    Args:
      folder: the log of the model.
      labels: of its predictions.
      used: ids of predictions that are in a span already.
      columns: of the model's raw data, label and all; where there are none, the features that were logged.
      label: the column of the label.
      window: the predictions that are meant.
      silence: what a prediction without a label is worth; None where it is worth nothing.
      tell: is told after each file how many predictions were read, and how many of them have a label.

    Raises:
      InputError: the log leaves out a column that the model's data has, or has one that no table can have.
    """
    found = Joined(pa.table({}), [])
    parts: list[pa.RecordBatch] = []
    for batch in prediction_log.read(folder, window.since, window.until):
        found.logged += batch.num_rows
        ids = batch.column("prediction_id").to_pylist()
        found.matched.update(each for each in ids if each in labels.ids)
        found.already += sum(each in labels.ids and each in used for each in ids)
        whole = _labelled(batch, labels, silence)
        fresh = [each not in used for each in whole.column("prediction_id").to_pylist()]
        rows = pa.Table.from_batches([whole]).filter(pa.array(fresh, pa.bool_())).combine_chunks()
        chosen = set(rows.column("prediction_id").to_pylist())
        are_chosen = [each in chosen for each in ids]
        found.scores.add(batch, are_chosen)
        for moment, is_chosen in zip(batch.column("time").to_pylist(), are_chosen, strict=True):
            day = found.days.setdefault(moment.date(), [0, 0])
            day[0] += 1
            day[1] += is_chosen
        for part in rows.to_batches():
            _refuse_redacted(prediction_log.redacted(batch), columns, label)
            if prediction_log.features(part):
                parts.append(part)
            else:
                found.unread += part.num_rows
        tell(found.logged, len(found.matched))
    return _put_together(found, parts, columns, label) if parts else found


def _labelled(batch: pa.RecordBatch, labels: Labels, silence: Silence | None) -> pa.RecordBatch:
    """The rows that have a label, or that a lack of one says as much of."""
    joined = labels.join(batch)
    if silence is None:
        return joined
    times = batch.column("time")
    old = compute.less(times, pa.scalar(silence.before, prediction_log.TIME)).to_pylist()
    silent = [
        is_old and each not in labels.ids
        for each, is_old in zip(batch.column("prediction_id").to_pylist(), old, strict=True)
    ]
    rows = pa.Table.from_batches([batch]).filter(pa.array(silent, pa.bool_()))
    count = len(rows)
    of_label = joined.schema.field("label").type
    rows = rows.append_column("label", pa.array([silence.value] * count, of_label))
    rows = rows.append_column("kind", pa.array([IMPLICIT] * count, pa.string()))
    rows = rows.append_column("label_time", pa.array([silence.before] * count, prediction_log.TIME))
    both = pa.concat_tables([pa.Table.from_batches([joined]).cast(rows.schema), rows]).combine_chunks()
    return both.to_batches()[0] if len(both) else joined


def _refuse_redacted(redacted: Collection[str], columns: Mapping[str, Column], label: str) -> None:
    if lacks := sorted(name for name in redacted if (not columns or name in columns) and name != label):
        raise InputError(
            f"the log leaves out {', '.join(lacks)}, which the model is trained on: no data to train on can be made of "
            "it; serve without --log-redact for these names, or take them out of the model's data"
        )


def _put_together(found: Joined, parts: Sequence[pa.RecordBatch], columns: Mapping[str, Column], label: str) -> Joined:
    features = [prediction_log.features(part) for part in parts]
    names = [name for name in columns if name != label] or sorted({name for each in features for name in each})
    sizes = [part.num_rows for part in parts]
    made = {}
    for name in names:
        arrays = [each.get(name) for each in features]
        made[name] = _column(name, arrays, sizes, columns.get(name))
        if made[name].null_count == len(made[name]):
            found.empty.append(name)
    given = pa.chunked_array([part.column("label") for part in parts])
    made[label] = given.cast(_TYPES[columns[label].type]) if label in columns else given
    # As the schema has them.
    order = [name for name in columns if name in made] or list(made)
    table = pa.table({name: made[name] for name in order})
    ids = [each for part in parts for each in part.column("prediction_id").to_pylist()]
    # The same id again is the same request, asked again: what was answered last is what its client has.
    last = sorted({each: place for place, each in enumerate(ids)}.values())
    found.twice = len(ids) - len(last)
    found.rows, found.ids = table.take(pa.array(last, pa.int64())), [ids[place] for place in last]
    versions = [each for part in parts for each in part.column("version").to_pylist()]
    kinds = [each for part in parts for each in part.column("kind").to_pylist()]
    found.versions = Counter(versions[place] for place in last)
    found.kinds = Counter(kinds[place] for place in last)
    return found


def _column(
    name: str, arrays: Sequence[pa.Array | None], sizes: Sequence[int], column: Column | None
) -> pa.ChunkedArray:
    """The values of a feature from all parts, in the type that ingest gives it; null where a part has none."""
    there = [array for array in arrays if array is not None]
    are_lists = any(pa.types.is_list(array.type) for array in there)
    values = {_value_type(name, array.type) for array in there}
    target = _TYPES[column.type] if column else _common(values)
    if target == pa.string() and any(pa.types.is_binary(each) for each in values):
        target = pa.binary()
    if are_lists:
        target = pa.list_(target)
    made = []
    for array, size in zip(arrays, sizes, strict=True):
        if array is None:
            made.append(pa.nulls(size, target))
            continue
        try:
            made.append(_lists(array, target) if are_lists else array.cast(target))
        except (pa.ArrowInvalid, OverflowError) as error:
            raise InputError(
                f"{name}: the log has a value that data to train on, {target} here, cannot hold: {error}"
            ) from None
    return pa.chunked_array(made, target)


def _value_type(name: str, kind: pa.DataType) -> pa.DataType:
    inner = kind.value_type if pa.types.is_list(kind) else kind
    if pa.types.is_list(inner):
        raise InputError(
            f"{name} has more than one dimension, which no table has; data to train on can be made of what is plain or "
            "a list"
        )
    return inner


def _common(kinds: Collection[pa.DataType]) -> pa.DataType:
    if any(pa.types.is_binary(kind) for kind in kinds):
        return pa.binary()
    if any(pa.types.is_string(kind) for kind in kinds):
        return pa.string()
    return pa.float32() if any(pa.types.is_floating(kind) for kind in kinds) else pa.int64()


def _lists(array: pa.Array, target: pa.DataType) -> pa.Array:
    """Lists without the missing values that a request fills them up with; what has none is missing."""
    rows = [each if isinstance(each, list) or each is None else [each] for each in array.to_pylist()]
    return pa.array([[value for value in row if value is not None] or None if row else None for row in rows], target)
