"""TFDV's statistics of rows, computed batch by batch, file by file.

A Beam pipeline for large data is in `components.statistics.on_beam`: workers count files as it is done here. TFDV's own
moves batches between workers; on one machine the plain loop is several times faster than it is by the FnApiRunner, and
what it adds up in which order is the runner's choice, so that the same data would give other bytes.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.runtime.data import tfdv, tfrecord
from components.runtime.data.example_rows import decode_batch
from components.runtime.data.records import batches
from components.runtime.errors import InputError

Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList

SKETCH_SIZE = 16384
"""Top values and counts of distinct values are exact up to this many distinct values of a feature."""

_HISTOGRAM_VALUES = 1000
"""Values that the histogram of a feature has, as in TFX, where the schema compares it with nothing."""


class ComparedCounts:
    """Counts by value, with a histogram of all that the sketch holds where the schema compares the feature.

    TFDV computes a distance from the histograms alone, as if there were no values but theirs. With as many for every
    feature, the statistics of wide data would be gigabytes. Goes before TFDV's TopKUniquesSketchStatsGenerator.
    """

    def __init__(self, schema: schema_pb2.Schema | None, histogram_values: int = _HISTOGRAM_VALUES) -> None:
        super().__init__(  # type: ignore[call-arg]
            schema=schema,
            num_top_values=20,
            num_rank_histogram_buckets=histogram_values,
            num_misragries_buckets=SKETCH_SIZE,
            num_kmv_buckets=SKETCH_SIZE,
            length_counter_sampling_rate=0,
        )
        self._compared = {
            feature.name
            for feature in (schema.feature if schema else ())
            if feature.HasField("drift_comparator") or feature.HasField("skew_comparator")
        }
        self._of_compared = type(self)(None, SKETCH_SIZE) if self._compared else None

    def extract_output(self, accumulator: Mapping[Any, Any]) -> statistics_pb2.DatasetFeatureStatistics:
        """The counts of each feature, by its path."""
        of_all: Callable[[Mapping[Any, Any]], statistics_pb2.DatasetFeatureStatistics] = super().extract_output  # type: ignore[misc]
        if self._of_compared is None:
            return of_all(accumulator)
        compared = {path: sketch for path, sketch in accumulator.items() if ".".join(path.steps()) in self._compared}
        result = of_all({path: each for path, each in accumulator.items() if path not in compared})
        result.features.extend(self._of_compared.extract_output(compared).features)
        return result


class Counts(ComparedCounts, tfdv.TopKUniquesSketchStatsGenerator):
    """Those of this process."""


def generators(
    schema: schema_pb2.Schema | None = None,
    basic: type[Any] = tfdv.BasicStatsGenerator,
    counts: type[Any] = Counts,
    quantiles: int = 10,
) -> list[Any]:
    """TFDV's default generators, with sketches that bound the memory of features with many or large values.

    Args:
      schema: says which numbers are categories, which are then counted by value, which bytes are images, and which
        features are compared by drift or skew: the histograms of those have all values that the sketches count.
      basic: TFDV's BasicStatsGenerator.
      counts: ComparedCounts with TFDV's generator. Tests hold those of the whole library to these.
      quantiles: of numbers, in their histogram of buckets with as many values each.
    """
    schema = _without_bounded_floats(schema) if schema else None
    return [
        basic(
            schema=schema,
            num_values_histogram_buckets=10,
            num_histogram_buckets=10,
            num_quantiles_histogram_buckets=quantiles,
            epsilon=0.01,
        ),
        counts(schema),
    ]


def _without_bounded_floats(schema: schema_pb2.Schema) -> schema_pb2.Schema:
    """A copy in which floats with bounds are no categories: TFDV checks the bounds of integer categories only."""
    result = schema_pb2.Schema()
    result.CopyFrom(schema)
    for feature in result.feature:
        if feature.HasField("float_domain") and {field.name for field, _ in feature.float_domain.ListFields()} & {
            *("min", "max", "disallow_nan", "disallow_inf")
        }:
            feature.float_domain.is_categorical = False
    return result


class Collector:
    """Statistics of rows that come batch by batch."""

    def __init__(self, schema: schema_pb2.Schema | None = None, quantiles: int = 10) -> None:
        """Has no rows yet; arguments as for `generators`."""
        self._parts = generators(schema, quantiles=quantiles)
        self._states = [part.create_accumulator() for part in self._parts]

    def add(self, rows: pa.RecordBatch) -> None:
        """Counts rows: columns of lists of int64, float32 or bytes, null where a row has no value."""
        with np.errstate(invalid="ignore"):
            pairs = zip(self._parts, self._states, strict=True)
            self._states = [part.add_input(state, rows) for part, state in pairs]

    def packed(self) -> bytes:
        """What has been counted, for `merge` in another process."""
        with tfdv.copies.in_place():
            return pickle.dumps(self._states, pickle.HIGHEST_PROTOCOL)

    def merge(self, packed: bytes) -> None:
        """Counts rows that another collector has counted; in the same order it gives the same bytes.

        Raises:
          TypeError: a feature is of another type there.
        """
        with tfdv.copies.in_place():
            others = pickle.loads(packed)
        with np.errstate(invalid="ignore"):
            triples = zip(self._parts, self._states, others, strict=True)
            self._states = [part.merge_accumulators([state, other]) for part, state, other in triples]

    def result(self) -> Statistics:
        """One dataset, its features sorted by path."""
        with np.errstate(invalid="ignore"):
            return tidy(tfdv.extract_statistics_output(self._states, self._parts))


def compute(
    files: Sequence[Path], on_rows: Callable[[int], None], schema: schema_pb2.Schema | None = None
) -> Statistics:
    """Statistics of a split, in this process; arguments and errors as those of `collect` and `merged`."""
    return merged(files, (collect(file, on_rows, schema).packed() for file in files), schema)


def collect(file: Path, on_rows: Callable[[int], None], schema: schema_pb2.Schema | None = None) -> Collector:
    """Counts the records of a file, in one pass.

    Args:
      file: gzip TFRecords of tf.Example.
      on_rows: told how many rows there are in each batch, when it has been counted.
      schema: as for `generators`.

    Raises:
      InputError: the file is damaged, or holds something else than tf.Examples whose features keep their type.
    """
    decoder = tfdv.ExamplesToRecordBatchDecoder()
    collected = Collector(schema)
    for batch in batches([file]):
        try:
            decoded = decode_batch(batch)
            if decoded is None:
                decoded = decoder.DecodeBatch(batch)
            collected.add(decoded)
        except (RuntimeError, TypeError) as error:
            raise find_fault([file], error) from error
        on_rows(len(batch))
    return collected


def merged(files: Sequence[Path], collected: Iterable[bytes], schema: schema_pb2.Schema | None = None) -> Statistics:
    """Statistics of a split of several files.

    Args:
      files: of the split.
      collected: what `Collector.packed` gave for each.
      schema: as for `generators`.

    Returns:
      One dataset, its features sorted by path.

    Raises:
      InputError: a feature does not keep its type from file to file.
    """
    total = Collector(schema)
    try:
        for packed in collected:
            total.merge(packed)
    except TypeError as error:
        raise find_fault(files, error) from error
    return total.result()


def tidy(statistics: Statistics) -> Statistics:
    """Sorts features by path, so that the same data gives the same bytes."""
    result = Statistics()
    for dataset in statistics.datasets:
        copy = result.datasets.add()
        copy.CopyFrom(dataset)
        del copy.features[:]
        copy.features.extend(sorted(dataset.features, key=lambda feature: list(feature.path.step)))
    return result


def find_fault(files: Sequence[Path], error: Exception) -> Exception:
    """Reads again, record by record, to say which one TFDV could not take; returns `error` where there is none."""
    decoder = tfdv.ExamplesToRecordBatchDecoder()
    kinds: dict[str, tuple[pa.DataType, str]] = {}
    for file in files:
        for number, record in enumerate(tfrecord.read(file), start=1):
            where = f"{file}, record {number}"
            try:
                decoded = decoder.DecodeBatch([record])
            except RuntimeError:
                return InputError(f"{where}: not a tf.Example; give tf.Examples, or make the examples again")
            for field in decoded.schema:
                if pa.types.is_null(field.type):
                    continue
                kind, first = kinds.setdefault(field.name, (field.type, where))
                if kind != field.type:
                    return InputError(
                        f"{where}: feature {field.name!r} is {_kind(field.type)}, but {_kind(kind)} in {first}; "
                        "give it one type in all rows"
                    )
    return error


def _kind(kind: pa.DataType) -> str:
    value = kind.value_type
    if pa.types.is_integer(value):
        return "an integer"
    return "a float" if pa.types.is_floating(value) else "text or bytes"
