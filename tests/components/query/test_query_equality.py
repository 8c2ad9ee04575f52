"""The same table in every source gives the same examples as Parquet, byte for byte."""

from __future__ import annotations

import datetime
import decimal
import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from tests.components.query.query_support import answered, ingested, kept
from tests.components.query.servers import PASSWORD

ROWS = 60


def some(values: list[Any]) -> list[Any]:
    """As many as there are rows, one in seven missing."""
    return [None if row % 7 == 3 else values[row % len(values)] for row in range(ROWS)]


PLAIN = {
    "row": pa.array(range(ROWS)),
    "whole": pa.array(some([0, 1, -1, 2**31, 2**63 - 1, -(2**63)])),
    "real": pa.array(some([0.5, -0.0, 0.1, 1e300, 16777217.0, 5e-324])),
    "text": pa.array(some(["a", "é", "😀", 'say "no"', "line\nbreak", " spaced ", "x" * 500, "0x1F", "", "\\"])),
}
TYPED = PLAIN | {
    "small": pa.array(some([0, 127, -128]), pa.int16()),
    "flag": pa.array(some([True, False])),
    "day": pa.array(some([datetime.date(1970, 1, 1), datetime.date(1969, 12, 31), datetime.date(2026, 11, 30)])),
    # (Microseconds: the last one of a second, and half a second before 1970.)
    "moment": pa.array(some([1796000523999999, -500000]), pa.int64()).cast(pa.timestamp("us")),
    "cents": pa.array(some([decimal.Decimal("1.25"), decimal.Decimal("-12345678.90")]), pa.decimal128(10, 2)),
    "code": pa.array(some([decimal.Decimal(7), decimal.Decimal(-123456789)]), pa.decimal128(9, 0)),
    "raw": pa.array(some([b"\x00\xff", b"", b"abc"]), pa.binary()),
}
NAMES = ", ".join(f'"{name}"' for name in TYPED)
# What databases call these types.
DDL = {
    "row": "bigint", "whole": "bigint", "real": "double precision", "text": "text", "small": "smallint",
    "flag": "boolean", "day": "date", "moment": "timestamp", "cents": "numeric(10,2)", "code": "numeric(9,0)",
    "raw": "bytea",
}  # fmt: skip


def parquet(folder: Path, table: pa.Table) -> Path:
    """The table as Parquet, which the others are compared with."""
    folder.mkdir(exist_ok=True)
    pq.write_table(table, folder / "table.parquet")
    return folder / "table.parquet"


def test_databases_that_are_files(tmp_path: Path) -> None:
    table, plain = pa.table(TYPED), pa.table(PLAIN)
    with duckdb.connect(str(tmp_path / "taxi.duckdb")) as connection:
        connection.register("rows", table)
        connection.execute("CREATE TABLE trips AS FROM rows")
    answered(tmp_path / "duckdb", {"kind": "duckdb", "path": str(tmp_path / "taxi.duckdb")}, "SELECT * FROM trips")
    with sqlite3.connect(tmp_path / "taxi.sqlite") as database:
        database.execute('CREATE TABLE trips ("row", whole, real, text)')
        database.executemany(
            "INSERT INTO trips VALUES (?, ?, ?, ?)", [tuple(row.values()) for row in plain.to_pylist()]
        )
    database.close()
    answered(tmp_path / "sqlite", {"kind": "sqlite", "path": str(tmp_path / "taxi.sqlite")}, "SELECT * FROM trips")
    of_duckdb, of_sqlite, expected, expected_plain = ingested(
        tmp_path / "duckdb" / "table",
        tmp_path / "sqlite" / "table",
        parquet(tmp_path / "all", table),
        parquet(tmp_path / "plain", plain),
    )
    assert of_duckdb == expected
    assert of_sqlite == expected_plain
    assert expected != expected_plain


@pytest.mark.slow
def test_lakes(tmp_path: Path) -> None:
    import deltalake
    from pyiceberg.catalog import load_catalog

    table = pa.table(TYPED)
    sources: dict[str, dict[str, Any]] = {}
    deltalake.write_deltalake(str(tmp_path / "lake"), table)
    sources["delta"] = {"path": str(tmp_path / "lake")}
    uri, warehouse = f"sqlite:///{tmp_path}/catalog.db", f"file://{tmp_path}/iceberg"
    catalog = load_catalog("millrace", type="sql", uri=uri, warehouse=warehouse)
    catalog.create_namespace("city")
    # (Iceberg has no small integers, as DuckDB and Delta have.)
    widened = table.set_column(4, "small", table["small"].cast(pa.int32()))
    catalog.create_table("city.trips", schema=widened.schema).append(widened)
    sources["iceberg"] = {"catalog": "sql", "uri": uri, "warehouse": warehouse, "table": "city.trips"}
    for kind, source in sources.items():
        answered(tmp_path / kind, {"kind": kind, **source})
    *found, expected = ingested(*(tmp_path / kind / "table" for kind in sources), parquet(tmp_path / "all", table))
    for kind, made in zip(sources, found, strict=True):
        assert made == expected, kind


@pytest.mark.slow
def test_postgresql(postgresql: dict[str, Any], tmp_path: Path) -> None:
    import adbc_driver_postgresql.dbapi as adbc

    table = pa.table(TYPED)
    ddl = ", ".join(f'"{name}" {kind}' for name, kind in DDL.items())
    login = " ".join(f"{key}={postgresql[key]}" for key in ("host", "port", "user"))
    quoted = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
    with adbc.connect(f"{login} dbname=postgres password='{quoted}'", autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute(f"CREATE TABLE same ({ddl})")
        # (Arrow's decimals go in as texts.)
        texts = table
        for name in ("cents", "code"):
            texts = texts.set_column(texts.column_names.index(name), name, texts[name].cast(pa.string()))
        cursor.adbc_ingest("loaded", texts, temporary=True)
        casts = ", ".join(f'"{name}"::{kind}' for name, kind in DDL.items())
        cursor.execute(f"INSERT INTO same SELECT {casts} FROM loaded")
        cursor.close()
    whole = answered(tmp_path / "whole", postgresql, f"SELECT {NAMES} FROM same")
    parts = answered(
        tmp_path / "parts", postgresql, f"SELECT {NAMES} FROM same", partition={"column": "row", "parts": 3}
    )
    assert kept(parts).equals(kept(whole))
    assert [len(list((tmp_path / name / "table").iterdir())) for name in ("whole", "parts")] == [1, 3]
    assert parts.metadata("table")["files"] == 3
    expected, one, three = ingested(
        parquet(tmp_path / "all", table), tmp_path / "whole" / "table", tmp_path / "parts" / "table"
    )
    assert one == three == expected


@pytest.mark.slow
def test_mariadb(mariadb: dict[str, Any], tmp_path: Path) -> None:
    import pymysql

    # (SQL has no literal of the negative zero.)
    table = pa.table(TYPED | {"real": pa.array(some([0.5, 0.0, 0.1, 1e300, 16777217.0, 5e-324]))})
    own = {"double precision": "double", "bytea": "blob", "timestamp": "datetime(6)", "text": "longtext"}
    ddl = ", ".join(f"`{name}` {own.get(kind, kind)}" for name, kind in DDL.items())
    login = {key: mariadb[key] for key in ("host", "port", "user", "database")}
    with pymysql.connect(password=PASSWORD, charset="utf8mb4", autocommit=True, **login) as connection:
        cursor = connection.cursor()
        cursor.execute(f"CREATE TABLE same ({ddl}) CHARACTER SET utf8mb4")
        places = ", ".join(["%s"] * len(TYPED))
        cursor.executemany(f"INSERT INTO same VALUES ({places})", [tuple(row.values()) for row in table.to_pylist()])
    answered(tmp_path / "out", mariadb, "SELECT * FROM same")
    made, expected = ingested(tmp_path / "out" / "table", parquet(tmp_path / "all", table))
    assert made == expected


@pytest.mark.parametrize("kind", ["numeric", "numeric(38,3)", "numeric(18,0)", "numeric(19,0)"])
def test_postgresqls_numbers_have_the_digits_that_were_declared(
    kind: str, postgresql: dict[str, Any], tmp_path: Path
) -> None:
    result = answered(
        tmp_path / "out", postgresql, f"SELECT 12::{kind} AS a, 'NaN'::numeric AS b, NULL::numeric(4,2) AS c -- no more"
    )
    types = {
        "numeric": pa.float64(),
        "numeric(38,3)": pa.decimal128(38, 3),
        "numeric(18,0)": pa.decimal128(18, 0),
        "numeric(19,0)": pa.decimal128(19, 0),
    }
    assert kept(result).schema.types == [types[kind], pa.float64(), pa.decimal128(4, 2)]
    assert kept(result).to_pylist()[0]["a"] == 12
