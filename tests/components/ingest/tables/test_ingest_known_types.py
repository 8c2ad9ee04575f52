"""With the schema of the data that a model was trained on, new data has its types, however little it has of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from components.ingest.tables.columns import without_zero_decimals
from tests.components.ingest.ingest_support import Ingested, ingested, run_ingest, write_files
from tests.components.ingest.tables.table_support import avro_bytes, parquet_bytes

SCHEMA = """# curated
feature { name: "fare" type: FLOAT presence { min_fraction: 1.0 } annotation { tag: "money" } }
feature { name: "zip" type: BYTES domain: "zips" }
feature { name: "hour" type: INT int_domain { min: 0 max: 23 } }
feature { name: "tips" type: FLOAT }
feature { name: "nothing" }
string_domain { name: "zips" value: "00501" }
default_environment: "SERVING"
"""
CSV = b"id,fare,zip,hour\n007,12,00501,\n008,,10001,\n"
TABLE = pa.table({"id": [7, 8], "fare": pa.array([12, None]), "zip": ["00501", "10001"], "hour": pa.array([None, 3])})


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    return write_files(tmp_path / "schema", {"schema.pbtxt": SCHEMA.encode()})


def read(folder: Path, name: str, content: bytes, schema: Path | None = None, **arguments: Any) -> Ingested:
    return ingested(
        folder / "out", write_files(folder / "data", {name: content}), splits={"all": 1}, schema=schema, **arguments
    )


def test_csv_has_the_types_of_the_schema_and_keeps_what_that_does_not_name(tmp_path: Path, schema: Path) -> None:
    alone = read(tmp_path / "alone", "a.csv", CSV)
    assert alone.metadata["columns"] == {"id": "int64", "fare": "int64", "zip": "int64", "hour": "missing"}
    known = read(tmp_path / "known", "a.csv", CSV, schema, text_columns=["tips"])
    assert known.metadata["columns"] == {"id": "bytes", "fare": "float32", "zip": "bytes", "hour": "int64"}
    assert known.rows() == [
        {"fare": [12.0], "hour": [], "id": [b"007"], "zip": [b"00501"]},
        {"fare": [], "hour": [], "id": [b"008"], "zip": [b"10001"]},
    ]


@pytest.mark.parametrize("name", ["a.parquet", "a.avro"])
def test_tables_widen_to_the_types_of_the_schema(tmp_path: Path, schema: Path, name: str) -> None:
    content = parquet_bytes(TABLE) if name.endswith("parquet") else avro_bytes(TABLE)
    known = read(tmp_path, name, content, schema)
    assert known.metadata["columns"] == {"id": "int64", "fare": "float32", "zip": "bytes", "hour": "int64"}
    assert [row["fare"] for row in known.rows()] == [[12.0], []]


def test_values_that_cannot_have_the_type_keep_theirs_for_validate_to_tell(tmp_path: Path, schema: Path) -> None:
    known = read(tmp_path / "csv", "a.csv", b"fare,hour\ncheap,1.5\n", schema)
    assert known.metadata["columns"] == {"fare": "bytes", "hour": "float32"}
    table = pa.table({"fare": ["cheap"], "zip": [501]})
    assert read(tmp_path / "table", "a.parquet", parquet_bytes(table), schema).metadata["columns"] == {
        "fare": "bytes", "zip": "int64",
    }  # fmt: skip


NAN = float("nan")
BIG = 2.0**53 + 2


@pytest.mark.parametrize("write", [parquet_bytes, avro_bytes])
def test_integers_with_gaps_are_integers_as_in_training(
    tmp_path: Path, schema: Path, write: Callable[[pa.Table], bytes]
) -> None:
    table = pa.table({"hour": [3.0, NAN, None, 17.0], "fare": [1.0, NAN, 2.5, 0.1], "tips": [1.0, 2.0, 3.0, NAN]})
    known = read(tmp_path, "a.parquet" if write is parquet_bytes else "a.avro", write(table), schema)
    assert known.metadata["columns"] == {"hour": "int64", "fare": "float32", "tips": "float32"}
    assert [row["hour"] for row in known.rows()] == [[3], [], [], [17]]


def test_integers_with_gaps_of_csv(tmp_path: Path, schema: Path) -> None:
    known = read(tmp_path / "point", "a.csv", b"id,hour,fare\n7.0,3.0,1.0\n8.0,,2.0\n9.0, 17. ,3.5\n", schema)
    assert known.metadata["columns"] == {"id": "bytes", "hour": "int64", "fare": "float32"}
    assert [row["id"] + row["hour"] for row in known.rows()] == [[b"7.0", 3], [b"8.0"], [b"9.0", 17]]
    cells = pa.array(["3,00", None, "3.0", "-3,"], pa.string())
    assert without_zero_decimals(cells, ",").to_pylist() == ["3", None, "3.0", "-3"]
    half = read(tmp_path / "half", "a.csv", b"hour\n3.0\n3.5\n", schema)
    assert half.metadata["columns"] == {"hour": "float32"}
    assert read(tmp_path / "text", "a.csv", b"hour\n3.0\nx.0\n", schema).rows()[0] == {"hour": [b"3.0"]}
    assert read(tmp_path / "alone", "a.csv", b"hour\n3.0\n").metadata["columns"] == {"hour": "float32"}


@pytest.mark.parametrize("write", [parquet_bytes, avro_bytes])
@pytest.mark.parametrize(
    ("values", "kind", "kept"),
    [
        ([123456789.0, 123456790.0, NAN], "int64", [[123456789], [123456790], []]),
        ([BIG, -(2.0**62), None], "int64", [[2**53 + 2], [-(2**62)], []]),
        ([123456789.5, 0.1, NAN], "bytes", [[b"123456789.5"], [b"0.1"], []]),
        ([2.0**63, 0.1, 1.0], "bytes", [[b"9.223372036854776e+18"], [b"0.1"], [b"1"]]),
        ([0.5, 1.0, float("inf")], "float32", [[0.5], [1.0], [float("inf")]]),
        ([[1.0, 123456789.0], [], [2.0]], "int64", [[1, 123456789], [], [2]]),
        ([[0.1, NAN], [], None], "bytes", [[b"0.1", b"nan"], [], []]),
    ],
)  # fmt: skip
def test_what_training_had_not_is_kept_to_the_last_digit(
    tmp_path: Path, schema: Path, write: Callable[[pa.Table], bytes], values: list[Any], kind: str, kept: list[Any]
) -> None:
    content = write(pa.table({"id": values, "fare": [1.0, 2.0, 3.0]}))
    name = "a.parquet" if write is parquet_bytes else "a.avro"
    known = read(tmp_path / "known", name, content, schema)
    assert known.metadata["columns"]["id"] == kind
    assert [row["id"] for row in known.rows()] == kept
    alone = read(tmp_path / "alone", name, content)
    assert alone.metadata["columns"]["id"] == "float32", "without a schema nothing has changed"


@pytest.mark.parametrize(
    ("values", "kind", "kept"),
    [
        ([2**64 - 1, None, 7], "bytes", [[b"18446744073709551615"], [], [b"7"]]),
        ([[2**63], [], [7]], "bytes", [[b"9223372036854775808"], [], [b"7"]]),
        ([2**63 - 1, None, 7], "int64", [[2**63 - 1], [], [7]]),
    ],
)
def test_ids_beyond_int64_are_kept_and_inputs_beyond_it_refused(
    tmp_path: Path, schema: Path, values: list[Any], kind: str, kept: list[Any]
) -> None:
    type = pa.list_(pa.uint64()) if isinstance(values[0], list) else pa.uint64()
    table = pa.table({"id": pa.array(values, type), "fare": [1.0, 2.0, 3.0]})
    known = read(tmp_path / "known", "a.parquet", parquet_bytes(table), schema)
    assert (known.metadata["columns"]["id"], [row["id"] for row in known.rows()]) == (kind, kept)
    as_hour = write_files(tmp_path / "data", {"a.parquet": parquet_bytes(table.rename_columns(["hour", "fare"]))})
    if kind == "bytes":
        found = run_ingest(tmp_path / "hour", as_hour, splits={"all": 1}, schema=schema)
        assert found.exit_code == 65
        assert re.search(r"column 'hour', rows 1 to 3: a value that does not fit into int64", found.stderr)


def test_decimals_that_training_had_not_and_files_of_several_types(tmp_path: Path, schema: Path) -> None:
    table = pa.table({"whole": [Decimal("12345678901.00"), None], "price": [Decimal("123456789.10"), None]})
    known = read(tmp_path / "decimals", "a.parquet", parquet_bytes(table), schema)
    assert [row["whole"] + row["price"] for row in known.rows()] == [[12345678901, b"123456789.10"], []]
    files = {
        "a.parquet": parquet_bytes(pa.table({"id": [2**60 + 1]})),
        "b.parquet": parquet_bytes(pa.table({"id": [NAN]})),
    }
    data = write_files(tmp_path / "data", files)
    found = ingested(tmp_path / "out", data, splits={"all": 1}, schema=schema)
    assert [row["id"] for row in found.rows()] == [[2**60 + 1], []]


def test_without_a_schema_text_columns_have_to_be_there(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", {"a.csv": CSV})
    result = run_ingest(tmp_path / "out", data, text_columns=["tips"])
    assert result.exit_code == 65
    assert "'tips'" in result.error


def test_what_is_no_schema_is_refused(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", {"a.csv": CSV})
    result = run_ingest(tmp_path / "out", data, schema=write_files(tmp_path / "schema", {"schema.pbtxt": b"feature {"}))
    assert result.exit_code == 65
    assert "schema.pbtxt: no schema can be read there" in result.error
