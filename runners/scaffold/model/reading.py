"""Reads the data as a run does, with the pipeline's own stages up to the schema, and looks at a sample of the rows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from components.runtime.data import examples, tfrecord
from components.runtime.data.tfmd import SCHEMA_FILE
from components.runtime.errors import StageError
from components.runtime.records import execution_record
from components.runtime.stage.artifacts import local_path
from runners.compiled.ir import documents, read
from runners.compiled.pipelines import compiled
from runners.local import environments
from runners.local.run import LocalRun
from runners.local.selection import Selection
from runners.scaffold.model.profile import BYTES, FLOAT, INTEGER, TEXT, Column, DataSet, Kind
from runners.settings.model import Settings
from runners.terminal.display import make_display

SAMPLE = 20_000
"""Rows that are looked at; statistics and schema are of all rows."""

_LAST = "schema"


def read_data(
    root: Path, folder: Path, pipeline: str, place: str, ingest: Mapping[str, Any], console: Console
) -> DataSet:
    """What is in the data; see `ingested`."""
    made = ingested(root, folder, pipeline, place, ingest, console)
    return profile(made.examples, made.schema, made.rows, place, ingest)


@dataclass(frozen=True)
class Ingested:
    """What the pipeline's stages up to the schema made.

    Attributes:
      examples: folder of the artifact of ingest.
      schema: that of the inferred schema.
      rows: of each split.
    """

    examples: Path
    schema: Path
    rows: Mapping[str, int]


def ingested(
    root: Path, folder: Path, pipeline: str, place: str, ingest: Mapping[str, Any], console: Console
) -> Ingested:
    """Runs the pipeline of a model that is not yet written up to the schema.

    What it makes is in the cache when the model is run.

    Args:
      root: the pipeline root.
      folder: that the model will have.
      pipeline: its name.
      place: of the raw data: a folder, a file or a URI.
      ingest: settings of ingest that are not the default.
      console: that the progress is shown on.

    Raises:
      InputError: the data cannot be read; why, as ingest says it.
    """
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
        error = StageError(run.record["error"])
        error.exit_code = code
        raise error
    records = {
        task["name"]: execution_record.usable(root, task["execution"])
        for task in run.record["tasks"]
        if task["execution"]
    }
    made = records["ingest"]["outputs"]["examples"]
    rows = {split: made["metadata"][f"rows_{split}"] for split in made["metadata"]["splits"]}
    schema = local_path(records[_LAST]["outputs"]["schema"]["uri"])
    return Ingested(local_path(made["uri"]), schema, rows)


def profile(
    examples_folder: Path, schema: Path, rows: Mapping[str, int], place: str, ingest: Mapping[str, Any]
) -> DataSet:
    """What a sample of the training rows says of each column.

    Args:
      examples_folder: the artifact of ingest.
      schema: the inferred one's folder.
      rows: of each split.
      place: of the raw data, as settings have it.
      ingest: settings of ingest that are not the default.
    """
    sample = list(_sample(examples_folder / "Split-train", rows["train"]))
    names = sorted({name for record in sample for name in record})
    found = {name: [record.get(name, []) for record in sample] for name in names}
    columns = {name: _column(name, values) for name, values in found.items()}
    records = {
        name: tuple(_value(values[0], columns[name].kind) if values else None for values in rows_of)
        for name, rows_of in found.items()
    }
    text = (schema / SCHEMA_FILE).read_text(encoding="utf-8")
    return DataSet(place, columns, rows, len(sample), records, text, ingest)


def _sample(folder: Path, rows: int) -> Iterator[dict[str, list[Any]]]:
    """Rows at equal distances, at most `SAMPLE` of them: files are often sorted."""
    step = max(1, -(-rows // SAMPLE))
    number = 0
    for file in sorted(folder.iterdir()):
        for record in tfrecord.read(file):
            if number % step == 0:
                yield examples.decode(record)
            number += 1


def _column(name: str, rows: list[list[Any]]) -> Column:
    flat = [value for values in rows for value in values]
    kind = _kind(flat)
    values = tuple(_value(value, kind) for value in flat)
    present = tuple(value for value in values if value is not None)
    # NaN is how Parquet and TFRecords may say that a value is missing.
    missing = sum(not values for values in rows) + len(values) - len(present)
    several = any(len(values) > 1 for values in rows)
    return Column(name, kind, len(rows), missing, present, dict(Counter(present).most_common()), several)


def _kind(values: list[Any]) -> Kind:
    if all(isinstance(value, int) for value in values) and values:
        return INTEGER
    if all(isinstance(value, float) for value in values) and values:
        return FLOAT
    try:
        for value in values:
            value.decode("utf-8")
    except UnicodeDecodeError:
        return BYTES
    return TEXT


def _value(value: Any, kind: Kind) -> Any:
    """As Python has it; None for NaN."""
    if kind == TEXT:
        return value.decode("utf-8")
    return None if value != value else value
