"""Data sets as ingest and schema leave them, from rows of Python; and a model's files for one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from components.runtime.data import examples, tfrecord
from runners.scaffold.model import files, planning, reading, task
from runners.scaffold.model.profile import DataSet, Plan
from tests.support import ROOT

RUFF = ROOT / ".venv" / "tools" / "bin" / "ruff"


def data_set(
    folder: Path, columns: Mapping[str, Sequence[Any]], units: Mapping[str, str] = MappingProxyType({}), **ingest: Any
) -> DataSet:
    """Rows in two splits, one row of three in eval, and a schema that says of each column what it is.

    Args:
      folder: to write to.
      columns: values by name, of one length; None where one is missing, a list where there are several.
      units: see `reading.profile`.
      ingest: settings.
    """
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    counts = {}
    for split, chosen in (("eval", rows[::3]), ("train", [row for number, row in enumerate(rows) if number % 3])):
        (folder / "examples" / f"Split-{split}").mkdir(parents=True)
        records = [examples.encode(row) for row in chosen]
        tfrecord.write(folder / "examples" / f"Split-{split}" / "data.gz", records)
        counts[split] = len(chosen)
    schema = "".join(_feature(name, values) for name, values in columns.items())
    (folder / "schema.pbtxt").write_text(schema, encoding="utf-8")
    return reading.profile(folder / "examples", folder, counts, columns, "data.csv", ingest, units)


def plan(data: DataSet, *labels: str, kept: Sequence[str] = (), left_out: Sequence[str] = ()) -> Plan:
    """The plan of a model of that name."""
    return planning.plan(ROOT / "models" / "churn", data, task.infer(data, labels), kept=kept, left_out=left_out)


def write(folder: Path, made: Mapping[str, str]) -> Path:
    """The files, written."""
    files.write(folder, dict(made))
    return folder


def ruff(*command: str) -> None:
    """Holds files to the project's style."""
    config = ("--config", str(ROOT / "pyproject.toml"))
    done = subprocess.run([str(RUFF), *command[:1], *config, *command[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _feature(name: str, values: Sequence[Any]) -> str:
    present = [value for value in values if value is not None]
    first = present[0][0] if present and isinstance(present[0], list) else present[0] if present else ""
    kind = {int: "INT", float: "FLOAT"}.get(type(first), "BYTES")
    whole = len(present) == len(values) and not isinstance(present[0], list)
    shape = "  shape {\n    dim {\n      size: 1\n    }\n  }\n" if whole else ""
    fraction = "    min_fraction: 1.0\n" if whole else ""
    return (
        f"feature {{\n  name: {json.dumps(name, ensure_ascii=False)}\n  type: {kind}\n"
        f"  presence {{\n{fraction}    min_count: 1\n  }}\n{shape}}}\n"
    )
