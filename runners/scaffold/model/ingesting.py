"""Has the pipeline's own stages read the data, up to the schema, before there is a model."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from components.runtime.errors import EXIT_INTERRUPTED, InputError, StageError
from components.runtime.records import execution_record, run_record
from components.runtime.stage.artifacts import local_path
from runners.compiled.pipelines import compiled
from runners.local import request
from runners.local.run import LocalRun
from runners.local.selection import Selection
from runners.scaffold.model import ingest_options
from runners.settings.model import Settings, own_name
from runners.terminal.display import make_display

_LAST = "schema"
_FORGOTTEN = (0, InputError.exit_code, EXIT_INTERRUPTED)
"""Exit codes of runs whose logs tell nothing that was not told."""


@dataclass(frozen=True)
class Ingested:
    """What the stages made.

    Attributes:
      examples: folder of the artifact of ingest.
      schema: that of the inferred schema.
      rows: of each split.
      columns: those of a table, in its order, with what ingest says of their type.
      left_out: how many rows have no label.
    """

    examples: Path
    schema: Path
    rows: Mapping[str, int]
    columns: Mapping[str, str]
    left_out: int = 0


def ingested(root: Path, folder: Path, place: str, ingest: Mapping[str, Any], console: Console) -> Ingested:
    """Runs the pipeline of a model that is not yet written up to the schema.

    Of the run its executions stay, which are in the cache when the model is run; it is none of the model's runs.

    Args:
      root: the pipeline root.
      folder: that the model will have.
      place: of the raw data: a folder, a file or a URI.
      ingest: settings of ingest that are not the default.
      console: that the progress is shown on.

    Raises:
      StageError: the data cannot be read; why, as ingest says it.
    """
    settings = Settings.model_validate({"pipeline_name": own_name(folder), "folder": folder, "ingest": dict(ingest)})
    run = request.prepare(
        root,
        settings,
        compiled(settings),
        lambda _known: {"data": place},
        lambda _name: "--data ",
        make_display(console),
        selection=Selection(_LAST),
        # What hinders nothing is told when the model is run.
        warn=lambda _line: None,
    )
    run.record["title"] = f"reading {place}"
    try:
        code = run.run()
    finally:
        _forget(run)
    if code:
        error = StageError(ingest_options.in_options(run.record["error"]))
        error.exit_code = code
        raise error
    console.print()
    records = {
        task["name"]: execution_record.usable(root, task["execution"])
        for task in run.record["tasks"]
        if task["execution"]
    }
    made = records["ingest"]["outputs"]["examples"]
    rows = {split: made["metadata"][f"rows_{split}"] for split in made["metadata"]["splits"]}
    left_out = made["metadata"].get("rows_left_out", 0)
    schema = local_path(records[_LAST]["outputs"]["schema"]["uri"])
    return Ingested(local_path(made["uri"]), schema, rows, made["metadata"].get("columns", {}), left_out)


def _forget(run: LocalRun) -> None:
    """Takes a run out of the history; what failed without having told why keeps its logs."""
    if run.record["exit_code"] in _FORGOTTEN:
        shutil.rmtree(run.folder, ignore_errors=True)
    else:
        # Of a root that cannot be written, nothing is there.
        with contextlib.suppress(OSError):
            (run.folder / run_record.FILE).unlink()
