"""Snowflake's driver against a stand-in on loopback; what a real Snowflake says nobody has tried."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tests.components.query.query_support import VARIABLE, answered, kept, run_query
from tests.components.query.snowflake_server import snowflake

WHOLE = {"name": "ID", "type": "fixed", "precision": 38, "scale": 0, "nullable": True}
CENTS = {"name": "FARE", "type": "fixed", "precision": 10, "scale": 2, "nullable": True}
TEXT = {"name": "COMPANY", "type": "text", "length": 100, "byteLength": 400, "nullable": True}


def field(name: str, kind: pa.DataType, said: dict[str, object]) -> pa.Field:
    metadata = {"logicalType": str(said["type"]).upper(), "scale": str(said.get("scale", 0)), "precision": "38"}
    return pa.field(name, kind, metadata=metadata)


TABLE = pa.Table.from_arrays(
    [pa.array([1, None, 2**40]), pa.array([125, 250, None], pa.int32()), pa.array(["a", "é", None])],
    schema=pa.schema(
        [field("ID", pa.int64(), WHOLE), field("FARE", pa.int32(), CENTS), field("COMPANY", pa.string(), TEXT)]
    ),
)


def test_rows_come_as_arrow(tmp_path: Path) -> None:
    with snowflake(TABLE, [WHOLE, CENTS, TEXT]) as (source, asked):
        result = answered(tmp_path / "out", source, "SELECT * FROM trips")
        assert "SELECT * FROM trips" in asked
    assert kept(result).to_pydict() == {"ID": [1, None, 2**40], "FARE": [1.25, 2.5, None], "COMPANY": ["a", "é", None]}
    assert kept(result).schema.types == [pa.int64(), pa.float64(), pa.string()]
    assert result.metadata("table")["snapshot"] == "query 01b2-query at 2026-11-30 01:02:03 Z"


def test_a_wrong_password_is_one_line(tmp_path: Path) -> None:
    with snowflake(TABLE, [WHOLE, CENTS, TEXT]) as (source, _):
        result = run_query(tmp_path / "out", source, "SELECT * FROM trips", secret="wr0ng-secret")
    assert result.exit_code == 65, result.stderr
    assert f"put the right password into {VARIABLE}" in result.error
    assert "wr0ng-secret" not in result.stderr
