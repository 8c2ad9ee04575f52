"""Runs the stage query as a runner does, and reads what it kept."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet as pq

from tests import forked
from tests.components.query.servers import PASSWORD
from tests.support import ROOT, StageResult, executor_input

VARIABLE = "TAXI_DATABASE"


def run_query(
    folder: Path,
    source: Mapping[str, Any],
    sql: str = "",
    *,
    sql_file: str = "",
    partition: Mapping[str, Any] | None = None,
    secret: str | None = PASSWORD,
    variables: Mapping[str, str] | None = None,
) -> StageResult:
    """Runs the stage.

    Args:
      folder: gets the output.
      source: and what follows: see the parameters of the stage.
      sql: the query.
      sql_file: has it instead.
      partition: of the answer.
      secret: what its variable of the environment holds; None for no such variable.
      variables: more of the environment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder.with_name(f"{folder.name}.executor_input.json")
    parameters = {
        "source": dict(source),
        "sql": sql,
        "sql_file": sql_file,
        "partition": dict(partition or {}),
        "variable": VARIABLE,
    }
    file.write_text(json.dumps(executor_input(folder, parameters=parameters, outputs=["table"])))
    out, err = (folder.with_name(f"{folder.name}.{name}") for name in ("stdout", "stderr"))
    environment = dict(os.environ) | dict(variables or {}) | ({VARIABLE: secret} if secret is not None else {})
    code = forked.stage("query", ["--executor-input", f"@{file}"], out, err, environment)
    return StageResult(code, out.read_text(), err.read_text(), folder)


def answered(folder: Path, source: Mapping[str, Any], sql: str = "", **arguments: Any) -> StageResult:
    """Runs the stage, which must end well."""
    result = run_query(folder, source, sql, **arguments)
    assert result.exit_code == 0, result.stderr
    return result


def kept(result: StageResult) -> pa.Table:
    """The rows that were kept, in their order."""
    return pa.concat_tables([pq.read_table(file) for file in sorted((result.folder / "table").glob("*.parquet"))])


def kept_bytes(result: StageResult) -> list[bytes]:
    return [file.read_bytes() for file in sorted((result.folder / "table").iterdir())]


def ingested(*places: Path) -> list[dict[str, bytes]]:
    """What ingest makes of tables that were kept, and of Parquet: the content of its files, by their paths."""
    python = ROOT / ".venv" / "client" / "bin" / "python"
    command = [str(python), "-m", "tests.components.query.ingest_tables", *map(str, places)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = []
    for place in places:
        root = place.with_name(f"{place.name}-ingested") / "examples"
        found.append({str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.gz"))})
        assert found[-1]
    return found
