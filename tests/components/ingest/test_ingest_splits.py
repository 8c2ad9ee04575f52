"""The same record is always in the same split."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from components.ingest.splits import Splits
from components.runtime.data import examples
from components.runtime.errors import InputError
from tests.components.ingest.ingest_support import Ingested, ingested, tfrecord_bytes, write_files

HEADER = b"id,fare,name,empty\n"
LINES = [
    b"%d,%s,%s,\n" % (row, b"" if row % 3 else b"%.3f" % (row / 7), b"" if row % 5 == 0 else b'"n, %d"' % row)
    for row in range(400)
]
SPLITS = {"train": 7, "eval": 2, "test": 1}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    folder = tmp_path_factory.mktemp("reference")
    return ingested(folder / "out", write_files(folder / "data", {"a.csv": HEADER + b"".join(LINES)}), splits=SPLITS)


def counters(result: Ingested) -> dict[str, Counter[bytes]]:
    return {split: Counter(result.records(split)) for split in SPLITS}


@pytest.mark.parametrize("seed", range(3))
def test_order_and_files_do_not_matter(reference: Ingested, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    lines = chance.sample(LINES, len(LINES))
    # The first part of each has a fraction and a text, so that the types stay the same.
    cuts = sorted(chance.sample(range(1, len(lines)), 4))
    parts = [lines[start:end] for start, end in zip([0, *cuts], [*cuts, len(lines)], strict=True)]
    data = write_files(tmp_path / "data", {f"{chance.random()}.csv": HEADER + b"".join(part) for part in parts})
    result = ingested(tmp_path / "out", data, splits=dict(chance.sample(list(SPLITS.items()), 3)))
    assert counters(result) == counters(reference)


def test_the_order_of_the_columns_does_not_matter(reference: Ingested, tmp_path: Path) -> None:
    def turned(line: bytes) -> bytes:
        number, fare, rest = line.rstrip(b"\n").split(b",", 2)
        return b",".join([rest, fare, number]) + b"\n"

    content = b"name,empty,fare,id\n" + b"".join(map(turned, LINES))
    result = ingested(tmp_path / "out", write_files(tmp_path / "data", {"a.csv": content}), splits=SPLITS)
    assert counters(result) == counters(reference)


@pytest.mark.parametrize("compress", [True, False])
def test_the_format_does_not_matter(reference: Ingested, tmp_path: Path, compress: bool) -> None:
    records = [record for split in SPLITS for record in reference.records(split)]
    random.Random(1).shuffle(records)
    content = tfrecord_bytes(records, compress=compress)
    result = ingested(tmp_path / "out", write_files(tmp_path / "data", {"records": content}), splits=SPLITS)
    assert result.metadata["format"] == "tfrecord"
    assert counters(result) == counters(reference)


def test_naming_missing_features_or_not_does_not_matter(reference: Ingested, tmp_path: Path) -> None:
    records = []
    for split in SPLITS:
        for record in reference.records(split):
            values = {name: value for name, value in examples.decode(record).items() if value}
            floats = {name: np.array(value, np.float32) for name, value in values.items() if name == "fare"}
            records.append(examples.encode(values | floats))
    data = write_files(tmp_path / "data", {"x.tfrecord": tfrecord_bytes(records)})
    result = ingested(tmp_path / "out", data, splits=SPLITS)
    for split in SPLITS:
        assert {row["id"][0] for row in result.rows(split)} == {row["id"][0] for row in reference.rows(split)}
        assert all("empty" not in row for row in result.rows(split)), "records are kept as they are"


def test_shares_are_those_of_the_buckets() -> None:
    splits = Splits.parse(SPLITS)
    found = splits.of([b"%d" % number for number in range(20_000)])
    shares = dict(zip(splits.names, np.bincount(found) / 20_000, strict=True))
    assert shares == pytest.approx({"train": 0.7, "eval": 0.2, "test": 0.1}, abs=0.01)


def test_splits_stay_as_they_are_from_version_to_version() -> None:
    # A change here moves records between train and eval: every comparison with older models would be wrong.
    splits = Splits.parse({"train": 2, "eval": 1})
    assert splits.of([b"%d" % number for number in range(12)]).tolist() == [0, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 1]


def test_equal_records_are_in_one_split(tmp_path: Path) -> None:
    content = b"a,b\n" + b"".join(b"%d,x\n" % (row % 20) for row in range(400))
    result = ingested(tmp_path / "out", write_files(tmp_path / "data", {"a.csv": content}))
    train, evaluation = ({row["a"][0] for row in result.rows(split)} for split in ("train", "eval"))
    assert train | evaluation == set(range(20))
    assert not train & evaluation


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, "splits is empty"),
        ({"train": 0, "eval": 1}, "gives 'train' 0"),
        ({"train": -1}, "gives 'train' -1"),
        ({"train": 1.5}, "gives 'train' 1.5"),
        ({"train": "2"}, "gives 'train' '2'"),
        ({"train": True}, "gives 'train' True"),
        ({"train": None}, "gives 'train' None"),
        ({"train": float("nan")}, "gives 'train' nan"),
        ({"train": float("inf")}, "gives 'train' inf"),
        ({"train": 10**6}, "from 1 to 999999"),
        ({"": 1}, "named ''"),
        ({"a/b": 1}, "named 'a/b'"),
        ({"..": 1}, "named '..'"),
        ({"a b": 1}, "named 'a b'"),
    ],
)
def test_malformed_splits(counts: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as error:
        Splits.parse(counts)
    assert message in str(error.value)


def test_integers_as_kfp_hands_them_over() -> None:
    assert Splits.parse({"b": 1.0, "a": 2.0}).buckets.tolist() == [0, 0, 1]
