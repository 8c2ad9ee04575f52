"""BigQuery by Google's own clients, against its protocols on loopback; what a real BigQuery says nobody has tried."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tests.components.query.bigquery_server import PROJECT, bigquery
from tests.components.query.query_support import answered, kept, kept_bytes, run_query
from tests.components.query.test_query_equality import TYPED

SOURCE = {"kind": "bigquery", "project": PROJECT, "streams": 3}


@pytest.mark.slow
def test_rows_come_as_arrow_in_streams_at_once(tmp_path: Path) -> None:
    # (BigQuery has one type of whole numbers.)
    table = pa.table(TYPED | {"small": TYPED["small"].cast(pa.int64())})
    with bigquery(table) as (server, variables):
        sql = 'SELECT * FROM trips ORDER BY "row"'
        result = answered(tmp_path / "out", SOURCE, sql, secret=None, variables=variables)
        (job,) = server.tables
        assert kept(result).equals(table)
        assert result.metadata("table")["files"] == 3
        assert result.metadata("table")["snapshot"] == f"job {job} at 2026-11-30T00:53:21+00:00"
        again = answered(tmp_path / "again", SOURCE, sql, secret=None, variables=variables)
        assert kept_bytes(again) == kept_bytes(result)


@pytest.mark.slow
def test_what_bigquery_refuses(tmp_path: Path) -> None:
    with bigquery(pa.table({"a": range(100)})) as (_, variables):
        for sql, told in (
            ("SELECT * FROM nope", "Table with name nope does not exist"),
            ("SELECT 1 AS a; SELECT 2 AS b", "the query is no single SELECT but SCRIPT"),
            ("SELECT a FROM trips WHERE a < 0", "the answer has no rows"),
        ):
            result = run_query(tmp_path / "out", SOURCE, sql, secret=None, variables=variables)
            assert result.exit_code == 65, result.stderr
            assert told in result.error
            assert list((tmp_path / "out").iterdir()) == []


def test_no_credentials_are_one_line(tmp_path: Path) -> None:
    key = {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "nope.json")}
    result = run_query(tmp_path / "out", SOURCE, "SELECT 1 AS a", secret=None, variables=key)
    assert result.exit_code == 65
    assert "nope.json was not found" in result.error
    assert len(result.stderr.splitlines()) == 1
