"""Taxi from a real PostgreSQL: trained and pushed, asked again for the same answer, and for another one."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.components.query import servers
from tests.components.query.servers import PASSWORD
from tests.e2e.conftest import Run, run
from tests.runners.cluster_support import call
from tests.support import ROOT, shared

SETTINGS = """
pipeline_name: taxi
ingest:
  query:
    source: {source}
    sql_file: trips.sql
    partition: {{column: id, parts: 2}}
    variable: TAXI_DATABASE
transform: {{module_file: {taxi}/preprocessing.py}}
train: {{module_file: {taxi}/model.py, train_steps: 100, eval_steps: 10}}
evaluate: {{eval_config_file: {taxi}/evaluation.pbtxt}}
"""


@pytest.fixture
def trips() -> Iterator[tuple[dict[str, Any], list[str], int]]:
    """A database with taxi trips, loaded by COPY, and the names of their columns."""
    rows = [row for file in sorted(shared("taxi").rglob("*.csv")) for row in csv.reader(file.open())]
    names = rows[0]
    kept = [row for row in rows if row != names]
    stream = io.StringIO()
    csv.writer(stream).writerows([number, *row] for number, row in enumerate(kept))
    texts = {"payment_type", "company"}
    floats = {name for place, name in enumerate(names) if any("." in row[place] for row in kept)} - texts
    kinds = {name: "text" if name in texts else "double precision" if name in floats else "bigint" for name in names}
    columns = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
    with servers.postgresql() as source:
        servers.psql(source, f"CREATE TABLE trips (id bigint PRIMARY KEY, {columns})")
        servers.psql(source, "COPY trips FROM stdin WITH (FORMAT csv)", rows=stream.getvalue())
        assert servers.psql(source, "SELECT count(*) FROM trips") == f"{len(kept)}\n"
        yield source, names, len(kept)


@pytest.mark.slow
def test_taxi_from_postgresql(
    trips: tuple[dict[str, Any], list[str], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, names, number = trips
    folder = tmp_path / "taxi"
    folder.mkdir()
    columns = ", ".join(names)
    (folder / "trips.sql").write_text(f"-- what the model takes\nSELECT {columns}, id FROM trips ORDER BY id;\n")
    (folder / "settings.yaml").write_text(SETTINGS.format(source=json.dumps(source), taxi=ROOT / "models" / "taxi"))
    missing = run(tmp_path / "none", str(folder))
    assert missing.exit_code == 65
    assert "no password supplied: put the right password into TAXI_DATABASE" in missing.output

    monkeypatch.setenv("TAXI_DATABASE", PASSWORD)
    first = run(tmp_path / "root", str(folder), timeout=600)
    assert first.exit_code == 0, first.output + first.errors
    assert first.states["push"] == "done"
    table = first.metadata("query", "table")
    assert (table["rows"], table["files"]) == (number, 2)
    assert table["source"] == "postgresql postgres at 127.0.0.1"
    assert table["query"].startswith("-- what the model takes\nSELECT ")
    assert table["snapshot"].startswith("snapshot ")
    assert first.metadata("ingest", "examples")["rows"] == number
    events = [json.loads(line) for line in (first.root / "lineage" / first.record["id"] / "query.jsonl").open()]
    assert events[-1]["job"]["facets"]["sql"]["query"] == table["query"]
    assert table["snapshot"] in json.dumps(events[-1]["outputs"])
    of_push = json.loads(call("--root", first.root, "lineage", "taxi@1", "--json").out)
    assert "query" in json.dumps(of_push)

    same = run(first.root, str(folder), timeout=600)
    assert same.exit_code == 0, same.output + same.errors
    assert same.states["query"] == "done"
    assert {same.states[task] for task in ("ingest", "statistics", "transform", "train")} == {"cached"}
    assert same.metadata("query", "table")["digest"] == table["digest"]

    servers.psql(source, "UPDATE trips SET fare = fare + 1 WHERE id = 17")
    other = run(first.root, str(folder), "--until", "ingest", timeout=600)
    assert other.exit_code == 0, other.output + other.errors
    assert other.states["ingest"] == "done"
    assert other.metadata("query", "table")["digest"] != table["digest"]
    assert_nowhere(first, PASSWORD)


def assert_nowhere(of: Run, secret: str) -> None:
    """No file of the pipeline root has a secret in it."""
    files = [path for path in of.root.rglob("*") if path.is_file()]
    assert len(files) > 50
    assert not [path for path in files if secret.encode() in path.read_bytes()]
