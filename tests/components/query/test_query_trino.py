"""A real Trino, with the catalogs `tpch` and `memory`, that somebody has started: MILLRACE_TRINO=HOST:PORT."""

from __future__ import annotations

import datetime
import decimal
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import trino

from tests.components.query.query_support import answered, ingested, kept, run_query
from tests.components.query.test_query_equality import DDL, TYPED, parquet

SERVER = os.environ.get("MILLRACE_TRINO", "")
pytestmark = pytest.mark.skipif(not SERVER, reason="needs a Trino, named by MILLRACE_TRINO=HOST:PORT")


@pytest.fixture
def source() -> dict[str, Any]:
    host, _, port = SERVER.partition(":")
    return {
        "kind": "trino", "host": host, "port": int(port), "scheme": "http", "user": "reader", "catalog": "memory",
        "schema": "default",
    }  # fmt: skip


def literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool | int):
        return str(value)
    kinds = {
        float: "DOUBLE", decimal.Decimal: "DECIMAL", datetime.date: "DATE", datetime.datetime: "TIMESTAMP", bytes: "X",
        str: "",
    }  # fmt: skip
    text = value.hex() if isinstance(value, bytes) else str(value).replace("'", "''")
    return f"{kinds[type(value)]}'{text}'" if isinstance(value, bytes) else f"{kinds[type(value)]} '{text}'"


def test_the_same_table(source: dict[str, Any], tmp_path: Path) -> None:
    table = pa.table(TYPED)
    own = {"double precision": "double", "bytea": "varbinary", "timestamp": "timestamp(6)", "text": "varchar"}
    rows = ", ".join("(" + ", ".join(map(literal, row.values())) + ")" for row in table.to_pylist())
    casts = ", ".join(
        f'CAST("{name}" AS {own.get(kind, kind.replace("numeric", "decimal"))}) AS "{name}"'
        for name, kind in DDL.items()
    )
    columns = ", ".join(f'"{name}"' for name in DDL)
    cursor = trino.dbapi.connect(host=source["host"], port=source["port"], user="reader").cursor()
    for statement in (
        "DROP TABLE IF EXISTS memory.default.same",
        f"CREATE TABLE memory.default.same AS SELECT {casts} FROM (VALUES {rows}) AS t ({columns})",
    ):
        cursor.execute(statement).fetchall()
    answered(tmp_path / "out", source, 'SELECT * FROM same ORDER BY "row"', secret=None)
    made, expected = ingested(tmp_path / "out" / "table", parquet(tmp_path / "all", table))
    assert made == expected


def test_many_rows_come_whole(source: dict[str, Any], tmp_path: Path) -> None:
    result = answered(tmp_path / "out", source, "SELECT orderkey FROM tpch.tiny.orders", secret=None)
    assert len(set(kept(result)["orderkey"].to_pylist())) == 15000
    assert result.metadata("table")["snapshot"].startswith("query 20")


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT * FROM nope", "Table 'memory.default.nope' does not exist"),
        ("SELECT 1 / (orderkey - orderkey) FROM tpch.tiny.orders", "Division by zero"),
        ("SELECT row(1, 2) AS pair, 1 AS a", "no features: 'pair' (row(integer, integer)): cast them in the query"),
        ("SELECT 1 AS a; SELECT 2", "mismatched input ';'"),
        ("SELECT 1 AS a WHERE false", "the answer has no rows"),
    ],
)
def test_what_cannot_be_answered(sql: str, told: str, source: dict[str, Any], tmp_path: Path) -> None:
    result = run_query(tmp_path / "out", source, sql, secret=None)
    assert result.exit_code == 65
    assert told in result.error
    assert list((tmp_path / "out").iterdir()) == []
