"""Ingest of Parquet and Avro: the same tf.Examples as CSV gives, and types that CSV does not have."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import csv as arrow_csv

from tests.components.ingest.ingest_support import Ingested, ingested, write_files
from tests.components.ingest.tables.table_support import (
    avro_bytes,
    avro_of,
    avro_records,
    parquet_bytes,
    parquet_of,
    write,
)
from tests.support import shared

MOMENT = datetime.datetime(1969, 12, 31, 23, 59, 59, 999_000, datetime.UTC)
EARLY = datetime.datetime(2013, 5, 6, 7, 8, 9, 987_654, datetime.UTC)
SECONDS = int(datetime.datetime(2013, 5, 6, 7, 8, 9, tzinfo=datetime.UTC).timestamp())
ID = uuid.UUID("12345678-1234-5678-1234-567812345678")
ALL = {"all": 1}


def values(result: Ingested) -> list[list[Any]]:
    return [row["x"] for row in result.rows()]


@pytest.fixture(scope="module")
def taxi() -> pa.Table:
    options = arrow_csv.ConvertOptions(null_values=[""], strings_can_be_null=True)
    return arrow_csv.read_csv(shared("taxi/data.csv"), convert_options=options)


@pytest.fixture(scope="module")
def taxi_csv(tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    return ingested(tmp_path_factory.mktemp("csv") / "out", shared("taxi/data.csv"))


@pytest.mark.parametrize("format", ["parquet", "avro"])
def test_real_trips_give_the_same_examples_in_the_same_splits_as_csv(
    format: str, taxi: pa.Table, taxi_csv: Ingested, tmp_path: Path
) -> None:
    content = parquet_bytes(taxi, row_group_size=1000) if format == "parquet" else avro_bytes(taxi)
    result = ingested(tmp_path / "out", write(tmp_path / f"taxi.{format}", content))
    for split in ("train", "eval"):
        assert result.records(split) == taxi_csv.records(split)
    assert result.metadata["columns"] == taxi_csv.metadata["columns"]
    assert result.metadata["format"] == format
    assert result.metadata["input_bytes"] == len(content)
    assert result.metadata["rows"] == 9911
    again = ingested(tmp_path / "again", tmp_path / f"taxi.{format}")
    assert again.files() == result.files()
    assert again.metadata["content"] == result.metadata["content"]


@pytest.mark.parametrize("format", ["parquet", "avro"])
def test_processes_change_nothing(format: str, tmp_path: Path) -> None:
    rows = 8_000
    table = pa.table(
        {"number": list(range(rows)), "text": [f"some words of row {row * 7919 % 10007:0>150}" for row in range(rows)]}
    )
    content = parquet_bytes(table, use_dictionary=False, compression="none") if format == "parquet" else b""
    content = content or avro_bytes(table, codec="null")
    assert len(content) > 1 << 20
    result = ingested(tmp_path / "out", write(tmp_path / "data", content), splits=ALL)
    assert result.metadata["format"] == format, "told by its first bytes"
    assert [row["number"] for row in result.rows()] == [[row] for row in range(rows)]
    assert result.rows()[-1]["text"] == [f"some words of row {(rows - 1) * 7919 % 10007:0>150}".encode()]


@pytest.mark.parametrize(
    ("given", "expected", "kind"),
    [
        (pa.array([True, None, False]), [[1], [], [0]], "int64"),
        (pa.array([1, -2, None], pa.int8()), [[1], [-2], []], "int64"),
        (pa.array([2**63 - 1], pa.uint64()), [[2**63 - 1]], "int64"),
        (pa.array([1.5, None], pa.float16()), [[1.5], []], "float32"),
        (pa.array([0.1, float("nan")], pa.float64())[:1], [[0.10000000149011612]], "float32"),
        (pa.array([1e300, -1e300]), [[float("inf")], [float("-inf")]], "float32"),
        (pa.array(["", "é", None]), [[b""], ["é".encode()], []], "bytes"),
        (pa.array(["a"], pa.large_string()), [[b"a"]], "bytes"),
        (pa.array([b"\xff\0"], pa.binary()), [[b"\xff\0"]], "bytes"),
        (pa.array([b"ab"], pa.binary(2)), [[b"ab"]], "bytes"),
        (pa.array(["a", "b", "a", None]).dictionary_encode(), [[b"a"], [b"b"], [b"a"], []], "bytes"),
        (pa.array([3, 4, 3]).dictionary_encode(), [[3], [4], [3]], "int64"),
        (
            pa.array([datetime.date(1970, 1, 3), datetime.date(1969, 12, 31)]),
            [[2], [-1]],
            "int64, days since 1970-01-01",
        ),
        (pa.array([EARLY, MOMENT, None], pa.timestamp("us")), [[SECONDS], [-1], []], "int64, seconds since 1970-01-01"),
        (pa.array([EARLY], pa.timestamp("ns", "Europe/Vienna")), [[SECONDS]], "int64, seconds since 1970-01-01"),
        (pa.array([datetime.time(1, 1, 1, 5)], pa.time64("us")), [[3661]], "int64, seconds since midnight"),
        (pa.array([datetime.time(1, 1, 1)], pa.time32("ms")), [[3661]], "int64, seconds since midnight"),
        (pa.array([Decimal("1.25"), None]), [[1.25], []], "float32"),
        (pa.array([Decimal(12)], pa.decimal128(10, 0)), [[12]], "int64"),
        (pa.array([ID.bytes], pa.uuid()), [[str(ID).encode()]], "bytes"),
        (pa.array([[1, 300, -1], [], None, [5]]), [[1, 300, -1], [], [], [5]], "int64"),
        (pa.array([[0.5, 2.0], None]), [[0.5, 2.0], []], "float32"),
        (pa.array([["a", "", "bcd" * 99], []]), [[b"a", b"", b"bcd" * 99], []], "bytes"),
        (pa.array([[1, 2], [3, 4]], pa.list_(pa.int16(), 2)), [[1, 2], [3, 4]], "int64"),
        (pa.array([[True], [False, True]]), [[1], [0, 1]], "int64"),
        (pa.array([None, None]), [[], []], "missing"),
    ],
)
def test_types_of_parquet(given: pa.Array, expected: list[list[Any]], kind: str, tmp_path: Path) -> None:
    result = ingested(tmp_path / "out", write(tmp_path / "a.parquet", parquet_of(given)), splits=ALL)
    assert values(result) == expected
    assert result.metadata["columns"] == {"x": kind}


def logical(kind: str, meaning: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": meaning, **more}


@pytest.mark.parametrize(
    ("schema", "given", "expected", "kind"),
    [
        (["null", "boolean"], [True, None], [[1], []], "int64"),
        ("int", [-7], [[-7]], "int64"),
        (["long", "null"], [2**63 - 1, None], [[2**63 - 1], []], "int64"),
        ("float", [0.1], [[0.10000000149011612]], "float32"),
        (["null", "int", "double"], [1, 2.5, None, 3], [[1.0], [2.5], [], [3.0]], "float32"),
        (["null", "string"], ["", "é", None], [[b""], ["é".encode()], []], "bytes"),
        ("bytes", [b"\xff\0"], [[b"\xff\0"]], "bytes"),
        (["string", "bytes"], ["a", b"b"], [[b"a"], [b"b"]], "bytes"),
        ("null", [None], [[]], "missing"),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, ["B", "A"], [[b"B"], [b"A"]], "bytes"),
        ({"type": "fixed", "name": "F", "size": 2}, [b"ab"], [[b"ab"]], "bytes"),
        (logical("int", "date"), [datetime.date(1970, 1, 3)], [[2]], "int64"),
        (["null", logical("long", "timestamp-millis")], [EARLY, MOMENT, None], [[SECONDS], [-1], []], "int64"),
        (logical("long", "timestamp-micros"), [EARLY], [[SECONDS]], "int64"),
        (logical("long", "local-timestamp-micros"), [EARLY.replace(tzinfo=None)], [[SECONDS]], "int64"),
        (logical("int", "time-millis"), [datetime.time(1, 1, 1, 5000)], [[3661]], "int64"),
        (logical("long", "time-micros"), [datetime.time(1, 1, 1)], [[3661]], "int64"),
        (logical("bytes", "decimal", precision=6, scale=2), [Decimal("-1.25")], [[-1.25]], "float32"),
        (logical("bytes", "decimal", precision=6), [Decimal(12)], [[12]], "int64"),
        (logical("fixed", "decimal", name="D", size=8, precision=9, scale=1), [Decimal("2.5")], [[2.5]], "float32"),
        (logical("string", "uuid"), [ID], [[str(ID).encode()]], "bytes"),
        (logical("string", "something of ours"), ["a"], [[b"a"]], "bytes"),
        ({"type": "array", "items": "long"}, [[1, 300, -1], []], [[1, 300, -1], []], "int64"),
        (["null", {"type": "array", "items": "double"}], [[0.5], None], [[0.5], []], "float32"),
        ({"type": "array", "items": "string"}, [["a", ""]], [[b"a", b""]], "bytes"),
        ({"type": "array", "items": logical("int", "date")}, [[datetime.date(1970, 1, 3)]], [[2]], "int64"),
    ],
)
def test_types_of_avro(schema: Any, given: list[Any], expected: list[list[Any]], kind: str, tmp_path: Path) -> None:
    result = ingested(tmp_path / "out", write(tmp_path / "a.avro", avro_of(schema, given)), splits=ALL)
    assert values(result) == expected
    assert result.metadata["columns"]["x"].partition(", ")[0] == kind


def test_a_named_type_of_avro_is_used_twice(tmp_path: Path) -> None:
    enum = {"type": "enum", "name": "Color", "symbols": ["RED", "BLUE"]}
    fields = [{"name": "x", "type": enum}, {"name": "y", "type": ["null", "org.example.Color"]}]
    schema = {"type": "record", "name": "Row", "namespace": "org.example", "fields": fields}
    content = avro_records(schema, [{"x": "RED", "y": "BLUE"}, {"x": "BLUE", "y": None}])
    result = ingested(tmp_path / "out", write(tmp_path / "a.avro", content), splits=ALL)
    assert result.rows() == [{"x": [b"RED"], "y": [b"BLUE"]}, {"x": [b"BLUE"], "y": []}]


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz"])
def test_codecs_of_avro(codec: str, tmp_path: Path) -> None:
    content = avro_of("long", list(range(5000)), codec=codec, sync_interval=1000)
    result = ingested(tmp_path / "out", write(tmp_path / "a.avro", content), splits=ALL)
    assert values(result) == [[number] for number in range(5000)]


@pytest.mark.parametrize("codec", ["snappy", "zstandard"])
def test_codecs_for_which_fastavro_would_need_other_libraries(codec: str, tmp_path: Path) -> None:
    # Compressed here as the specification says, since fastavro cannot.
    import zlib

    plain = avro_of("long", list(range(2000)), codec="null", sync_interval=1 << 20)
    sync = b"0123456789abcdef"
    head, body = plain.split(sync)[:2]
    # The block's count and size are two bytes and three.
    count, data = body[:2], body[4:] if body[3] < 0x80 else body[5:]
    packed = pa.compress(data, {"snappy": "snappy", "zstandard": "zstd"}[codec], asbytes=True)
    if codec == "snappy":
        packed += zlib.crc32(data).to_bytes(4, "big")
    size, number = b"", len(packed) << 1
    while number > 0x7F:
        size, number = size + bytes([number & 0x7F | 0x80]), number >> 7
    name = codec.encode()
    head = head.replace(b"\x14avro.codec\x08null", b"\x14avro.codec" + bytes([len(name) << 1]) + name)
    content = head + sync + count + size + bytes([number]) + packed + sync
    result = ingested(tmp_path / "out", write(tmp_path / "a.avro", content), splits=ALL)
    assert values(result) == [[number] for number in range(2000)]
    if codec == "snappy":
        from tests.components.ingest.ingest_support import run_ingest

        broken = content.replace(packed[-4:] + sync, b"abcd" + sync)
        failed = run_ingest(tmp_path / "broken", write(tmp_path / "b.avro", broken), splits=ALL)
        assert failed.exit_code == 65
        assert "the checksum of a snappy block does not hold" in failed.error


@pytest.mark.parametrize(
    ("first", "second", "expected", "kind"),
    [
        (parquet_of([1, 2], pa.int32()), parquet_of([3], pa.int64()), [[1], [2], [3]], "int64"),
        (parquet_of([1]), parquet_of([2.5]), [[1.0], [2.5]], "float32"),
        (parquet_of([None]), parquet_of(["a"]), [[], [b"a"]], "bytes"),
        (parquet_of([True]), parquet_of([7]), [[1], [7]], "int64"),
        (parquet_of(["a"]), parquet_of(pa.array(["b"]).dictionary_encode()), [[b"a"], [b"b"]], "bytes"),
        (parquet_of([5, None]), parquet_of([[1, 2]]), [[5], [], [1, 2]], "int64"),
        (parquet_of([[1]]), parquet_of([[0.5, 2]]), [[1.0], [0.5, 2.0]], "float32"),
    ],
)
def test_types_of_several_files_are_widened(
    first: bytes, second: bytes, expected: list[list[Any]], kind: str, tmp_path: Path
) -> None:
    data = write_files(tmp_path / "data", {"a.parquet": first, "b.parquet": second})
    result = ingested(tmp_path / "out", data, splits=ALL)
    assert values(result) == expected
    assert result.metadata["columns"] == {"x": kind}


def test_files_of_avro_are_widened_and_columns_are_found_by_name(tmp_path: Path) -> None:
    one = avro_bytes(pa.table({"a": [1], "b": ["x"]}))
    other = avro_bytes(pa.table({"b": ["y"], "a": [2.5]}))
    result = ingested(tmp_path / "out", write_files(tmp_path / "data", {"1.avro": one, "2.avro": other}), splits=ALL)
    assert result.rows() == [{"a": [1.0], "b": [b"x"]}, {"a": [2.5], "b": [b"y"]}]


def test_existing_splits_and_spans(tmp_path: Path) -> None:
    files = {
        f"{span}/{split}/part-0.snappy.parquet": parquet_of([span * 10 + place])
        for span in (9, 10)
        for place, split in enumerate(("train", "eval"))
    }
    data = write_files(tmp_path / "data", files | {"10/train/_SUCCESS": b""})
    patterns = {"train": "{SPAN}/train/*", "eval": "{SPAN}/eval/*"}
    result = ingested(tmp_path / "out", data, patterns=patterns)
    assert result.metadata["spans"] == [10]
    assert (result.rows("train"), result.rows("eval")) == ([{"x": [100]}], [{"x": [101]}])
