"""Real trips for notebooks, few enough for a test; and notebooks that are executed as JupyterLab does it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.support import ROOT, shared


def trips(folder: Path, rows: int = 400) -> Path:
    """A folder with so many of the real trips."""
    folder.mkdir(parents=True, exist_ok=True)
    with (shared("taxi") / "data.csv").open() as lines:
        (folder / "trips.csv").write_text("".join(line for _, line in zip(range(rows + 1), lines, strict=False)))
    return folder


def execute(cells: list[Any], folder: Path, *, errors: bool = False) -> list[Any]:
    """The cells with their outputs, executed in a kernel of this environment; errors are outputs where asked."""
    # Of a kernel that tests start: where it finds Jupyter's files, and the code.
    os.environ |= {"PYTHONPATH": str(ROOT), "JUPYTER_PREFER_ENV_PATH": "1"}
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(
        notebook,
        timeout=900,
        kernel_name="python3",
        allow_errors=errors,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    return list(notebook.cells)


def code(*sources: str) -> list[Any]:
    return [nbformat.v4.new_code_cell(source) for source in sources]


def texts(cell: Any, kind: str = "text/plain") -> list[str]:
    """What a cell shows, as text or HTML; of a stream what was printed."""
    return [output.get("data", {}).get(kind, output.get("text", "")) for output in cell.outputs]
