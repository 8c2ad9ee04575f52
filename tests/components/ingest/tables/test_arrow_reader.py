"""Tests of the CSV reader that is left early: in a process of its own, which would end by a signal."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv

from components.ingest.tables.csv.arrow_reader import read_batches

_ROWS = b"1,2\n" * 100_000
_LEFT_EARLY = """
import io, sys, time
from pyarrow import csv
from components.ingest.tables.csv.arrow_reader import read_batches

class Slow(io.BytesIO):
    def read(self, size=-1, /):
        data = super().read(size)
        time.sleep(float(sys.argv[1]))
        return data

try:
    for _ in read_batches(Slow(sys.stdin.buffer.read()), read_options=csv.ReadOptions(block_size=1000)):
        if sys.argv[2] == "first":
            break
except ValueError as error:
    print(error)
"""


@pytest.mark.parametrize("delay", ["0.002", "0.05"])
@pytest.mark.parametrize(
    ("data", "until", "said"),
    [
        (b"a,b\n" + b"1,2\n" * 300 + b"1," + b"x" * 3000 + b"\n" + _ROWS, "end", "straddling object"),
        (b"a,b\n" + b"1,2\n" * 300 + b"1,2,3\n" + _ROWS, "end", "Expected 2 columns, got 3"),
        (b"a,b\n" + _ROWS, "first", ""),
    ],
    ids=["record larger than a block", "ragged row", "enough after one batch"],
)
def test_a_process_ends_well_though_arrow_reads_ahead(data: bytes, until: str, said: str, delay: str) -> None:
    arguments = [sys.executable, "-c", _LEFT_EARLY, delay, until]
    ended = subprocess.run(
        arguments, input=data, capture_output=True, timeout=60, check=False, cwd=Path(__file__).parents[4]
    )
    assert ended.returncode == 0, ended.stderr
    assert said in ended.stdout.decode()


def test_all_batches_come() -> None:
    batches = list(read_batches(io.BytesIO(b"a,b\n" + b"1,2\n" * 1000), read_options=csv.ReadOptions(block_size=400)))
    assert len(batches) > 1
    assert pa.Table.from_batches(batches).to_pydict() == {"a": [1] * 1000, "b": [2] * 1000}
