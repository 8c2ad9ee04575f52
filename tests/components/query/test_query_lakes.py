"""Delta and Iceberg tables by version, with and without a query."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog

from components.query.answers import WHOLE_LAKE, Asked
from components.query.faults import fault
from components.runtime.errors import InputError
from tests.components.query.query_support import answered, kept, run_query

FIRST = pa.table({"id": range(5), "fare": [1.0, 2.0, 3.0, 4.0, 5.0], "odd": [{"a": 1}] * 5})
MORE = pa.table({"id": range(5, 8), "fare": [6.0, 7.0, 8.0], "odd": [{"a": 2}] * 3})
# (It names the table twice.)
JOIN = "SELECT a.id, b.fare FROM lake AS a JOIN lake AS b ON a.id + 1 = b.id ORDER BY a.id"


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """A table of each kind, with five rows and then eight; of each the source, and its first state."""
    folder = tmp_path_factory.mktemp("lakes")
    deltalake.write_deltalake(str(folder / "delta"), FIRST)
    deltalake.write_deltalake(str(folder / "delta"), MORE, mode="append")
    where = {"uri": f"sqlite:///{folder}/catalog.db", "warehouse": f"file://{folder}/iceberg"}
    catalog = load_catalog("millrace", type="sql", **where)
    catalog.create_namespace("city")
    table = catalog.create_table("city.trips", schema=FIRST.schema)
    table.append(FIRST)
    table.append(MORE)
    first = str(table.snapshots()[0].snapshot_id)
    iceberg = {"kind": "iceberg", "catalog": "sql", "table": "city.trips", **where}
    by_file = {"kind": "iceberg", "path": table.metadata_location}
    return {
        "delta": {"source": {"kind": "delta", "path": str(folder / "delta")}, "first": {"version": 0}},
        "iceberg": {"source": iceberg, "first": {"snapshot": first}},
        "iceberg's file": {"source": by_file, "first": {"snapshot": first}},
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["delta", "iceberg", "iceberg's file"])
def test_versions(kind: str, lakes: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    source, first = lakes[kind]["source"], lakes[kind]["first"]
    newest = answered(tmp_path / "newest", source, "SELECT id, fare FROM lake ORDER BY id", secret=None)
    older = answered(tmp_path / "older", source | first, JOIN, secret=None)
    assert kept(newest)["id"].to_pylist() == list(range(8))
    assert kept(older).to_pydict() == {"id": [0, 1, 2, 3], "fare": [2.0, 3.0, 4.0, 5.0]}
    (key, number), state = next(iter(first.items())), older.metadata("table")["snapshot"]
    assert state.startswith(f"{key} {number} of 20")
    assert newest.metadata("table")["snapshot"] != state


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "changed", "sql", "told"),
    [
        ("delta", {"version": 9}, "SELECT id FROM lake", "9"),
        ("delta", {"path": "/no/such/lake"}, "SELECT id FROM lake", "/no/such/lake"),
        ("delta", {}, "", "column 'odd' is of type struct<a: int64>"),
        ("delta", {}, "SELECT nope FROM lake", 'Referenced column "nope" not found'),
        ("delta", {}, "SELECT id FROM trips", "Table with name trips does not exist"),
        ("iceberg", {"snapshot": "12"}, "", "no such snapshot; the newest it has: "),
        ("iceberg", {"snapshot": "newest"}, "", "give the number of a snapshot, in quotes"),
        ("iceberg", {"table": "city.nope"}, "", "city.nope"),
        ("iceberg", {}, "", "column 'odd' is of type struct<a: int64>"),
    ],
)
def test_what_cannot_be_read(
    kind: str, changed: dict[str, Any], sql: str, told: str, lakes: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    result = run_query(tmp_path / "out", lakes[kind]["source"] | changed, sql, secret=None)
    assert result.exit_code == 65, result.stderr
    assert told in result.error
    assert "Traceback" not in result.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_a_delta_table_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("nope", "empty"):
        result = run_query(tmp_path / "out", {"kind": "delta", "path": str(tmp_path / name)}, secret=None)
        assert result.exit_code == 65
        assert result.stderr.splitlines() == [
            f"error: delta {tmp_path}/{name}: there is no Delta table, which has a folder _delta_log: "
            "mend source.path in ingest.query"
        ]


def test_a_catalog_of_iceberg_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    file = tmp_path / "catalog.db"
    source = {"kind": "iceberg", "catalog": "sql", "table": "city.trips", "warehouse": f"file://{tmp_path}"}
    source["uri"] = f"sqlite:///{file}"
    missing = run_query(tmp_path / "out", source, secret=None)
    assert missing.exit_code == 65
    assert missing.stderr.endswith(": no such file: mend source.uri in ingest.query\n")
    assert not file.exists()
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE trips (id)")
    before = file.read_bytes()
    other = run_query(tmp_path / "out", source, secret=None)
    assert other.exit_code == 65, other.stderr
    assert "no such table: iceberg_tables" in other.error
    assert file.read_bytes() == before


def test_storage_without_credentials(tmp_path: Path) -> None:
    asked = Asked({"kind": "delta", "path": "s3://bucket/lake"}, WHOLE_LAKE)
    text = "Kernel error -> Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token"
    told = fault(asked, text)
    assert isinstance(told, InputError)
    assert str(told).startswith("delta s3://bucket/lake: no credentials of the cloud: set AWS_ACCESS_KEY_ID")
    # (Nothing but loopback is asked.)
    variables = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9"}
    result = run_query(tmp_path / "out", asked.source, secret=None, variables=variables)
    assert result.exit_code in (65, 75)
    assert len(result.stderr.splitlines()) == 1
    assert "x1b" not in result.stderr
