"""What `make bench` compares ingest with: a CSV file to tf.Examples in splits, written with Beam row by row.

Runs in the environment ml, as `python scripts/beam_csv.py FILE FOLDER`; prints rows and seconds as JSON, the import of
Beam and TensorFlow apart.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow as tf


def to_example(line: str, names: list[str]) -> bytes:
    """One line as a serialised tf.Example: integers, numbers or text by what each cell looks like."""
    example = tf.train.Example()
    for name, cell in zip(names, next(csv.reader([line])), strict=True):
        feature = example.features.feature[name]
        if not cell:
            continue
        try:
            feature.int64_list.value.append(int(cell))
        except ValueError:
            try:
                feature.float_list.value.append(float(cell))
            except ValueError:
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
        splits = (
            pipeline
            | beam.io.ReadFromText(str(file), skip_header_lines=1)
            | beam.Map(to_example, names)
            | beam.Partition(bucket, 2)
        )
        for name, records in zip(("train", "eval"), splits, strict=True):
            prefix = str(folder / f"Split-{name}" / "data_tfrecord")
            _ = records | name >> beam.io.WriteToTFRecord(prefix, file_name_suffix=".gz", num_shards=1)
    return {"rows": rows, "seconds": time.perf_counter() - begun}


if __name__ == "__main__":
    print(json.dumps(convert(Path(sys.argv[1]), Path(sys.argv[2]))))
