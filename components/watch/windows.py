"""Windows of time over a log of predictions, and what lies in one of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import schema_pb2

from components.runtime.data.statistics import Collector, Statistics
from components.runtime.errors import InputError
from components.runtime.records import prediction_log
from components.runtime.stage import progress
from components.watch import masks

MOST = 1000
"""Windows of one look: more could not be told apart in a drawing."""

QUANTILES = 100
"""Of the numbers in a window: its distribution function is known to a hundredth."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_TYPES = {schema_pb2.INT: pa.int64(), schema_pb2.FLOAT: pa.float32(), schema_pb2.BYTES: pa.binary()}


@dataclass(frozen=True)
class Answered:
    """Rows that have a label: what was answered, and what is true; N of them.

    Attributes:
      labels: N values; null where they are masks.
      prediction: N values by output; none where they are masks.
      features: N values of each feature that was asked for.
      pixels: of masks, how many pixels of each class were told to be of each, [N, K, K]: what is true first.
    """

    labels: pa.Array
    prediction: Mapping[str, pa.Array]
    features: Mapping[str, pa.Array]
    pixels: masks.Counts | None = None


@dataclass
class Window:
    """What a version was asked and answered in a time.

    Attributes:
      rows: that it answered.
      features: statistics of what it was asked; None where there is nothing to compute them of.
      predictions: statistics of its answers; of an output of several numbers, of which is the largest.
      answered: the rows with a label; None where none has one.
    """

    since: datetime
    until: datetime
    rows: int = 0
    features: Statistics | None = None
    predictions: Statistics | None = None
    answered: Answered | None = None

    @property
    def labels(self) -> int:
        """How many rows have a label."""
        return len(self.answered.labels) if self.answered else 0


def length(every: str) -> timedelta:
    """The length of a window, such as `1d` or `30m`.

    Raises:
      InputError: it is none.
    """
    found = re.fullmatch(r"([0-9]{1,6})([smhdw])", every.strip())
    if not found or not int(found[1]):
        raise InputError(f"every: {every!r} is no length of a window; write a whole number and s, m, h, d or w: 1d")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def periods(every: str, windows: int, until: str) -> list[tuple[datetime, datetime]]:
    """Beginning and end of each window, the oldest first.

    Raises:
      InputError: the length, the number or the end is none.
    """
    step = length(every)
    if not 1 <= windows <= MOST:
        raise InputError(f"windows: expected 1 to {MOST}, not {windows}")
    try:
        end = datetime.fromisoformat(until.strip()) if until.strip() else datetime.now(UTC)
        end = end if end.tzinfo else end.replace(tzinfo=UTC)
        return [(end - step * (number + 1), end - step * number) for number in reversed(range(windows))]
    except ValueError:
        raise InputError(f"until: {until!r} is no time; write it as 2026-11-30T06:00:00Z, or leave it empty") from None
    except OverflowError:
        raise InputError(f"windows: {windows} of {every} reach back before the first year; look at fewer") from None


def read(
    folder: Path,
    periods: Sequence[tuple[datetime, datetime]],
    version: int,
    schema: schema_pb2.Schema,
    labels: prediction_log.Labels,
    kept: Collection[str],
    mask_values: Sequence[int] = (),
) -> list[Window]:
    """Reads what a version answered in windows of time, in one pass.

    Args:
      folder: the log.
      periods: beginning and end of each window, one behind the other.
      version: which.
      schema: of the features; those that are not logged, such as labels, are left out.
      labels: that arrived.
      kept: features whose values are kept with the labels.
      mask_values: what stands in a mask for each class, by its number; none where labels are no masks.

    Raises:
      InputError: a file of the log cannot be read.
    """
    types = {each.name: _TYPES[each.type] for each in schema.feature if each.type in _TYPES}
    collected = [_Collected(Window(*period), schema, types, kept, mask_values) for period in periods]
    begins = np.array([begin.astimezone(UTC).replace(tzinfo=None) for begin, _ in periods], "datetime64[us]")
    for batch in prediction_log.read(folder, periods[0][0], periods[-1][1]):
        rows = batch.filter(pc.equal(batch.column("version"), version))
        times = rows.column("time").cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)
        places = np.searchsorted(begins, times, side="right") - 1
        for place in np.unique(places).tolist():
            collected[place].add(rows.filter(pa.array(places == place)), labels)
    return [each.window() for each in collected]


class _Collected:
    """What is known of a window as far as it has been read."""

    def __init__(
        self,
        window: Window,
        schema: schema_pb2.Schema,
        types: Mapping[str, pa.DataType],
        kept: Collection[str],
        mask_values: Sequence[int],
    ) -> None:
        self._window = window
        self._types = types
        self._kept = kept
        self._mask_values = mask_values
        self._features = Collector(schema, QUANTILES)
        self._predictions = Collector(quantiles=QUANTILES)
        self._answered: list[Answered] = []

    def add(self, rows: pa.RecordBatch, labels: prediction_log.Labels) -> None:
        """Takes rows of the log."""
        self._window.rows += len(rows)
        progress.advance(len(rows))
        features = prediction_log.features(rows)
        self._features.add(lists({name: each for name, each in features.items() if name in self._types}, self._types))
        self._predictions.add(lists(_outputs(prediction_log.prediction(rows), len(self._mask_values)), {}))
        if len(joined := labels.join(rows)):
            self._answered.append(_answered(joined, self._kept, self._mask_values))

    def window(self) -> Window:
        """All of it."""
        made = self._window
        if made.rows:
            features = self._features.result()
            made.features = features if features.datasets and features.datasets[0].features else None
            made.predictions = self._predictions.result()
        if self._answered:
            pixels = [each.pixels for each in self._answered if each.pixels is not None]
            made.answered = Answered(
                pa.concat_arrays([each.labels for each in self._answered]),
                _concatenated([each.prediction for each in self._answered]),
                _concatenated([each.features for each in self._answered]),
                np.concatenate(pixels) if len(pixels) == len(self._answered) else None,
            )
        return made


def _concatenated(several: Sequence[Mapping[str, pa.Array]]) -> dict[str, pa.Array]:
    """Columns that all have: of one version all have the same."""
    names = [name for name in several[0] if all(name in each for each in several)]
    return {name: pa.concat_arrays([each[name] for each in several]) for name in names}


def _answered(rows: pa.RecordBatch, kept: Collection[str], mask_values: Sequence[int]) -> Answered:
    features, prediction = prediction_log.features(rows), prediction_log.prediction(rows)
    found = {name: features.get(name, pa.nulls(len(rows))) for name in kept}
    if mask_values:
        pixels = masks.confusions(prediction, rows.column("label"), mask_values)
        # (All masks of a long window would be too much to keep.)
        return Answered(pa.nulls(len(rows)), {}, found, pixels)
    return Answered(rows.column("label"), prediction, found)


def lists(columns: Mapping[str, pa.Array], types: Mapping[str, pa.DataType]) -> pa.RecordBatch:
    """Columns as tf.Examples have them: a list of int64, float32 or bytes per row, null where there is no value.

    Args:
      columns: N values each: of one value or a list of values per row.
      types: of the values; as they are where none is named. A column that has another type is left out.
    """
    made: dict[str, pa.Array] = {}
    for name, column in columns.items():
        try:
            made[name] = _lists(column, types.get(name))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
            continue
    rows = len(next(iter(columns.values()))) if columns else 0
    return pa.RecordBatch.from_arrays([*made.values()], names=[*made]) if made else _without_columns(rows)


def _without_columns(rows: int) -> pa.RecordBatch:
    return (
        pa.RecordBatch.from_arrays([], names=[])
        if not rows
        else pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))
    )


def _lists(column: pa.Array, kind: pa.DataType | None) -> pa.Array:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type) or pa.types.is_fixed_size_list(column.type):
        counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
        values, valid = column.flatten(), column.is_valid().to_numpy(zero_copy_only=False)
        if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
            raise pa.ArrowInvalid("lists of lists")
    else:
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        counts, values = valid.astype(np.int64), column.drop_null()
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    # A null in place of where a list begins says that there is none.
    begins = pa.array(offsets, mask=np.append(~valid, False))
    return pa.ListArray.from_arrays(begins, values.cast(kind or _plain(values.type)))


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return pa.int64()
    return pa.float32() if pa.types.is_floating(kind) else pa.binary()


def _outputs(prediction: Mapping[str, pa.Array], classes: int) -> dict[str, pa.Array]:
    """Each output as one value per row: of several numbers, which is the largest, as text; else as it is.

    Of a mask the share of the pixels of each of so many classes.
    """
    made: dict[str, pa.Array] = {}
    for name, values in prediction.items():
        matrix = scores(values)
        if matrix is None:
            if classes and masks.is_mask(values):
                made |= {f"{name}.{number}": each for number, each in masks.shares(values, classes).items()}
            elif not pa.types.is_nested(values.type):
                made[name] = values
        elif len(matrix):
            made[name] = pa.array([f"class {number}" for number in matrix.argmax(axis=1)])
    return made


def scores(values: pa.Array) -> np.ndarray | None:
    """An output of as many numbers for every row as an array [N, K], K at least 2; None where it is no such thing."""
    kind = values.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return None
    if values.null_count or not pa.types.is_floating(kind.value_type):
        return None
    counts = pc.unique(pc.list_value_length(values)).to_pylist()
    if len(counts) != 1 or counts[0] < 2:
        return None
    return values.flatten().to_numpy(zero_copy_only=False).reshape(-1, counts[0])
