"""The notebook of a model: which file it is, and what a new one says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.runtime.stage.artifacts import write_whole
from runners import PROJECT
from runners.compiled.tasks import TaskSpec
from runners.settings.model import Settings

EXAMPLES = PROJECT / "docs" / "notebooks"
"""Notebooks of the models that come with the project."""

Cell = tuple[str, str]
"""`markdown` or `code`, and the text."""


def place(settings: Settings, here: Path) -> Path:
    """Where the notebook of a model lies: beside the model, or, of one of this checkout, in the folder `here`."""
    return (settings.folder if settings.is_elsewhere else here) / f"{settings.folder.name}.ipynb"


def write(file: Path, settings: Settings, tasks: Mapping[str, TaskSpec]) -> None:
    """Writes a notebook for a model where there is none: that of our own which is about it, or one of its stages.

    Args:
      file: where it goes.
      settings: of the model.
      tasks: of its pipeline, by name.
    """
    example = EXAMPLES / f"{settings.folder.name}.ipynb"
    if not settings.is_elsewhere and example.is_file():
        write_whole(file, example.read_text(encoding="utf-8"))
        return
    model = str(settings.folder) if settings.is_elsewhere else settings.folder.name
    write_whole(file, document(cells(model, settings, tasks)))


def document(cells: list[Cell]) -> str:
    """Cells as a file of Jupyter's, https://nbformat.readthedocs.io/en/latest/format_description.html."""
    made = []
    for number, (kind, text) in enumerate(cells, 1):
        cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}}
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        made.append(cell | {"source": text.splitlines(keepends=True)})
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    whole = {
        "cells": made,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def cells(model: str, settings: Settings, tasks: Mapping[str, TaskSpec]) -> list[Cell]:
    """What a new notebook says, by the stages that the model's pipeline has."""
    return list(_cells(model, settings, tasks))


def _cells(model: str, settings: Settings, tasks: Mapping[str, TaskSpec]) -> Iterator[Cell]:
    def first(stage: str) -> str:
        return next((name for name, task in tasks.items() if task.stage == stage), "")

    described = f"\n\n{settings.description}" if settings.description else ""
    yield "markdown", f"# {settings.folder.name}{described}"
    yield "code", f"from millrace import Pipeline\n\np = Pipeline({model!r})\np"
    if name := first("ingest"):
        yield "markdown", "## The data"
        yield "code", f"p.run({name!r})"
        yield "code", f"p[{name!r}].examples().head()"
    for stage in ("statistics", "schema", "validate"):
        if name := first(stage):
            yield "code", f"p.run({name!r})"
    if name := first("transform"):
        yield "markdown", "## The features"
        yield "code", f"p.run({name!r})"
        yield "code", f"p[{name!r}].examples().head()"
    yield "markdown", "## The model\n\nEdit its files and run again: what has not changed is not done again."
    yield "code", "run = p.run()\nrun"
    if name := first("train"):
        if rows := first("ingest"):
            yield "code", f"rows = p[{rows!r}].examples().head(10)\np[{name!r}].model.predict(rows)"
        yield "code", f"p[{name!r}].model.lineage()"
    yield (
        "markdown",
        "## Two runs side by side\n\n`p.runs` has all of them; without a name, the newest and the one before.",
    )
    yield "code", "p.compare()"
