"""Reads the data as a run does, with the pipeline's own stages up to the schema, and looks at a sample of the rows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from components.runtime.data import examples, tfrecord
from components.runtime.data.tfmd import SCHEMA_FILE
from components.runtime.errors import StageError
from components.runtime.records import execution_record
from components.runtime.stage.artifacts import local_path
from runners import PROJECT
from runners.compiled.ir import documents, read
from runners.compiled.pipelines import compiled
from runners.local import environments
from runners.local.run import LocalRun
from runners.local.selection import Selection
from runners.scaffold.model import csv_form, looks
from runners.scaffold.model.profile import BYTES, FLOAT, INTEGER, TEXT, Column, DataSet
from runners.settings.model import Settings, own_name
from runners.terminal.display import make_display

SAMPLE = 20_000
"""Rows that are looked at; statistics and schema are of all rows."""

_LAST = "schema"


def read_data(root: Path, folder: Path, place: str, labels: Sequence[str], console: Console) -> DataSet:
    """Runs the pipeline of a model that is not yet written up to the schema, and profiles what came of it.

    What it makes is in the cache when the model is run.

    Args:
      root: the pipeline root.
      folder: that the model will have.
      place: of the raw data: a folder, a file or a URI.
      labels: columns without which rows are left out.
      console: that the progress is shown on.

    Raises:
      StageError: the data cannot be read; why, as ingest says it.
    """
    ingest = csv_form.settings(place) | ({"leave_out_without": list(labels)} if labels else {})
    found = _run(root, folder, place, ingest, console)
    if spelt := sorted({value for column in found.columns.values() for value in looks.spelt_missing(column)}):
        console.print(f"read again: {', '.join(map(repr, spelt))} stands where a number is missing", highlight=False)
        found = _run(root, folder, place, ingest | {"null_values": spelt}, console)
    return found


def _run(root: Path, folder: Path, place: str, ingest: Mapping[str, Any], console: Console) -> DataSet:
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
    return profile(local_path(made["uri"]), schema, rows, made["metadata"].get("columns", {}), place_of(place), ingest)


def place_of(place: str) -> str:
    """The raw data's place as settings have it: a run may be started from another folder."""
    if "://" in place:
        return place
    path = Path(os.path.abspath(place))
    return str(path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path)


def profile(
    examples_folder: Path,
    schema: Path,
    rows: Mapping[str, int],
    columns_in_order: Iterable[str],
    place: str,
    ingest: Mapping[str, Any],
) -> DataSet:
    """What a sample of the rows of all splits says of each column.

    Args:
      examples_folder: the artifact of ingest.
      schema: the inferred one's folder.
      rows: of each split.
      columns_in_order: those of the data.
      place: of the raw data, as settings have it.
      ingest: settings of ingest that are not the default.
    """
    sample = list(_sample([examples_folder / f"Split-{split}" for split in rows], sum(rows.values())))
    names = dict.fromkeys([*columns_in_order, *sorted({name for record in sample for name in record})])
    found = {name: [record.get(name, []) for record in sample] for name in names}
    columns = {name: _column(name, values) for name, values in found.items()}
    records = {
        name: tuple(_value(values[0], columns[name].kind) if values else None for values in rows_of)
        for name, rows_of in found.items()
    }
    text = (schema / SCHEMA_FILE).read_text(encoding="utf-8")
    return DataSet(place, columns, rows, len(sample), records, text, ingest)


def _sample(folders: Iterable[Path], rows: int) -> Iterator[dict[str, list[Any]]]:
    """Rows at equal distances, at most `SAMPLE` of them: files are often sorted."""
    step = max(1, -(-rows // SAMPLE))
    number = 0
    for file in (file for folder in folders for file in sorted(folder.iterdir())):
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


def _kind(values: list[Any]) -> str:
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


def _value(value: Any, kind: str) -> Any:
    """As Python has it; None for NaN."""
    if kind == TEXT:
        return value.decode("utf-8")
    return None if value != value else value
