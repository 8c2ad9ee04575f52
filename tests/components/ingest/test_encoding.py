"""Encoding in processes of their own: the same bytes in the same order, and what happens when one is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pyarrow as pa
import pytest

from components.ingest.encoding import Part, encode, encode_all
from components.ingest.splits import Splits
from components.runtime.data import examples
from components.runtime.errors import InputError, TransientError

NAMES = ("eval", "train")
BUCKETS = Splits.parse({"train": 2, "eval": 1})


def parts(count: int = 12) -> Iterator[Part]:
    for number in range(count):
        rows = pa.RecordBatch.from_pydict({"n": list(range(100 * number, 100 * number + 100)), "t": ["x"] * 100})
        yield Part("a.csv", None, rows)


def test_processes_give_the_same_bytes_in_the_same_order() -> None:
    inline = [encode(part, NAMES, BUCKETS) for part in parts()]
    with encode_all(parts(), NAMES, BUCKETS, processes=3) as encoded:
        assert list(encoded) == inline
    assert sum(sum(batch.rows) for batch in inline) == 1200


def test_records_that_are_no_examples_are_named_from_a_process_too() -> None:
    good = examples.encode({"n": [1]})
    broken = [Part("b.gz", "train", [good] * 3), Part("b.gz", "train", [good, b"\xff\xff"], 4)]
    with (
        pytest.raises(InputError, match=r"b\.gz: record 5 is not a tf\.Example"),
        encode_all(iter(broken), NAMES, None, processes=2) as encoded,
    ):
        list(encoded)


def test_whole_files_go_to_their_split() -> None:
    record = examples.encode({"n": [1]})
    result = encode(Part("b.gz", "train", [record, record]), NAMES, None)
    assert result.rows == (0, 2)
    assert result.framed[0] == b""


def test_a_killed_process_is_a_passing_fault() -> None:
    def deadly() -> Iterator[Part]:
        yield from parts(2)
        for child in _children():
            os.kill(child, signal.SIGKILL)
        yield from parts(50)

    with (
        pytest.raises(TransientError, match="encodes records was killed"),
        encode_all(deadly(), NAMES, BUCKETS, processes=2) as encoded,
    ):
        list(encoded)


def _children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as stream:
        return [int(pid) for pid in stream.read().split()]
