"""Odd values, drawn by chance: CSV, Parquet and Avro of the same table give the same records in the same splits."""

from __future__ import annotations

import csv
import io
import math
import random
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from components.runtime.data import examples
from tests.components.ingest.ingest_support import ingested, write_files
from tests.components.ingest.tables.table_support import avro_bytes, parquet_bytes

INTEGERS = [0, 1, -1, 127, 128, 2**31, -(2**31) - 1, 2**63 - 1, -(2**63), 16384]
FLOATS = [0.0, -0.0, 0.1, 1e-45, 5e-324, 1.17549435e-38, 3.4028236e38, 1e300, math.inf, -math.inf, math.nan, 16777217.0]
TEXTS = [
    "a",
    "é",
    "😀👩\u200d👩\u200d👧",
    'say "no"',
    "a,b",
    "line\nbreak",
    "crlf\r\nx",
    " spaced ",
    "x" * 5000,
    "0x1F",
    "1_0",
    "-",
    "'",
]
TYPES = {"i": pa.int64(), "f": pa.float64(), "t": pa.string()}


def cell(kind: str, chance: random.Random) -> Any:
    if chance.random() < 0.2:
        return None
    if kind == "i":
        return chance.choice([*INTEGERS, chance.getrandbits(40)])
    if kind == "f":
        drawn: float = struct.unpack("<d", chance.randbytes(8))[0]
        return chance.choice([*FLOATS, chance.gauss(0, 1e6), drawn if math.isfinite(drawn) else 0.5])
    return chance.choice([*TEXTS, "".join(chance.choice('ab ,"\n;\té') for _ in range(chance.randrange(1, 12))) + "z"])


def as_csv(table: pa.Table) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.column_names)
    for row in table.to_pylist():
        writer.writerow(
            ["" if value is None else repr(value) if isinstance(value, float) else value for value in row.values()]
        )
    return stream.getvalue().encode()


@pytest.mark.parametrize("seed", range(6))
def test_the_same_table(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    rows = chance.choice([40, 300])
    kinds = {f"{kind}{number} é": kind for number, kind in enumerate(chance.choices("ift", k=chance.randrange(2, 9)))}
    columns = {}
    for name, kind in kinds.items():
        values = [cell(kind, chance) for _ in range(rows)]
        # A column of CSV is what its cells are.
        values[0] = {"i": 7, "f": 0.5, "t": "text"}[kind]
        columns[name] = pa.array(values, TYPES[kind], from_pandas=False)
    table = pa.table(columns | {"nothing": pa.nulls(rows), "row": pa.array(range(rows))})
    files = {
        "csv": as_csv(table),
        "parquet": parquet_bytes(
            table, row_group_size=chance.randrange(1, rows), compression=chance.choice(["gzip", "zstd"])
        ),
        "avro": avro_bytes(
            table, sync_interval=chance.randrange(100, 5000), codec=chance.choice(["null", "deflate", "xz"])
        ),
    }
    results = {}
    for format, content in files.items():
        data = write_files(tmp_path / format, {f"a.{format}": content})
        results[format] = ingested(tmp_path / f"{format}-out", data)
    for split in ("train", "eval"):
        expected = results["csv"].records(split)
        for format in ("parquet", "avro"):
            found = results[format].records(split)
            differing = [
                (examples.decode(a), examples.decode(b)) for a, b in zip(expected, found, strict=False) if a != b
            ]
            assert not differing, (format, differing[0])
            assert len(found) == len(expected)
    assert results["parquet"].metadata["columns"] == results["csv"].metadata["columns"]
