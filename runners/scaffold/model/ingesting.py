"""Has the pipeline's own stages read the data, up to the schema, before there is a model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from components.runtime.errors import StageError
from components.runtime.records import execution_record
from components.runtime.stage.artifacts import local_path
from runners.compiled.ir import documents, read
from runners.compiled.pipelines import compiled
from runners.local import environments
from runners.local.run import LocalRun
from runners.local.selection import Selection
from runners.settings.model import Settings, own_name
from runners.terminal.display import make_display

_LAST = "schema"


@dataclass(frozen=True)
class Ingested:
    """What the stages made.

    Attributes:
      examples: folder of the artifact of ingest.
      schema: that of the inferred schema.
      rows: of each split.
      columns: those of a table, in its order, with what ingest says of their type.
    """

    examples: Path
    schema: Path
    rows: Mapping[str, int]
    columns: Mapping[str, str]


def ingested(root: Path, folder: Path, place: str, ingest: Mapping[str, Any], console: Console) -> Ingested:
    """Runs the pipeline of a model that is not yet written up to the schema.

    Args:
      root: the pipeline root.
      folder: that the model will have.
      place: of the raw data: a folder, a file or a URI.
      ingest: settings of ingest that are not the default.
      console: that the progress is shown on.

    Raises:
      StageError: the data cannot be read; why, as ingest says it.
    """
    pipeline = own_name(folder)
    settings = Settings.model_validate({"pipeline_name": pipeline, "folder": folder, "ingest": dict(ingest)})
    ir = compiled(settings)
    graph = read(documents(ir)[0])
    given = {"data": place if "://" in place else os.path.abspath(place)}
    arguments = graph.values(given | {"serving_directory": str(root / "serving" / folder.name)})
    selection = Selection(_LAST)
    environments.prepare(graph.tasks[name].stage for name in selection.tasks(graph))
    run = LocalRun(
        root=root,
        pipeline=graph,
        ir=ir,
        arguments=arguments,
        display=make_display(console),
        selection=selection,
        model=folder,
    )
    if code := run.run():
        # What a person gave as the label, ingest knows by the name of its setting.
        error = StageError(run.record["error"].replace("which leave_out_without names", "which --label names"))
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
    schema = local_path(records[_LAST]["outputs"]["schema"]["uri"])
    return Ingested(local_path(made["uri"]), schema, rows, made["metadata"].get("columns", {}))
