"""What `make bench` compares ingest with: a CSV file to tf.Examples in splits, written with Beam row by row.

Runs in the environment ml, as `python scripts/benchmarks/beam_csv.py FILE FOLDER`; prints rows and seconds as JSON,
the import of Beam and TensorFlow apart.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow as tf


class ColumnKinds(beam.CombineFn):
    """What each column holds: 0 nothing, 1 integers, 2 numbers, 3 text."""

    def create_accumulator(self) -> list[int]:
        """Nothing seen."""
        return []

    def add_input(self, mutable_accumulator: list[int], element: list[str]) -> list[int]:
        """Widens the kinds by one row."""
        return self.merge_accumulators([mutable_accumulator, [_kind(cell) for cell in element]])

    def merge_accumulators(self, accumulators: Iterable[list[int]]) -> list[int]:
        """The widest kind of each column."""
        return [max(kinds) for kinds in itertools.zip_longest(*accumulators, fillvalue=0)]

    def extract_output(self, accumulator: list[int]) -> list[int]:
        """The kinds."""
        return accumulator


def _kind(cell: str) -> int:
    if not cell:
        return 0
    for kind, parse in ((1, int), (2, float)):
        try:
            parse(cell)
        except ValueError:
            continue
        return kind
    return 3


def to_example(cells: list[str], names: list[str], kinds: list[int]) -> bytes:
    """One row as a serialised tf.Example."""
    example = tf.train.Example()
    for name, cell, kind in zip(names, cells, kinds, strict=True):
        feature = example.features.feature[name]
        if not cell:
            continue
        if kind == 1:
            feature.int64_list.value.append(int(cell))
        elif kind == 2:
            feature.float_list.value.append(float(cell))
        else:
            feature.bytes_list.value.append(cell.encode())
    return bytes(example.SerializeToString(deterministic=True))


def bucket(record: bytes, _: int) -> int:
    """Two thirds go to the first split, one third to the second."""
    return int(int.from_bytes(hashlib.sha256(record).digest()[:8]) % 3 == 2)


def convert(file: Path, folder: Path) -> dict[str, Any]:
    """Converts a file and returns what it took."""
    with file.open() as stream:
        names = next(csv.reader(stream))
        rows = sum(1 for _ in stream)
    begun = time.perf_counter()
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        cells = (
            pipeline
            | beam.io.ReadFromText(str(file), skip_header_lines=1)
            | beam.Map(lambda line: next(csv.reader([line])))
        )
        # A column's type is that of all its cells, so it takes a pass of its own.
        kinds = beam.pvalue.AsSingleton(cells | beam.CombineGlobally(ColumnKinds()))
        splits = cells | beam.Map(to_example, names, kinds) | beam.Partition(bucket, 2)
        for name, records in zip(("train", "eval"), splits, strict=True):
            prefix = str(folder / f"Split-{name}" / "data_tfrecord")
            # TFX's CsvExampleGen shuffles what it writes.
            shuffled = records | f"{name}Shuffle" >> beam.Reshuffle()
            _ = shuffled | name >> beam.io.WriteToTFRecord(prefix, file_name_suffix=".gz", num_shards=1)
    return {"rows": rows, "seconds": time.perf_counter() - begun}


if __name__ == "__main__":
    print(json.dumps(convert(Path(sys.argv[1]), Path(sys.argv[2]))))
