"""The notebook of a model: where it lies and what a new one says."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest

from millrace import Pipeline
from runners.notebook import documents
from runners.settings.model import load


def test_a_new_notebook_names_the_stages_of_its_model(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "settings.yaml").write_text("description: Of my own\n")
    settings = load(str(tmp_path / "mine"))
    tasks = Pipeline(tmp_path / "mine")._pipeline()[1].tasks
    file = documents.place(settings, tmp_path)
    assert file == tmp_path / "mine" / "mine.ipynb"
    documents.write(file, settings, {name: task for name, task in tasks.items() if name != "transform"})
    notebook = nbformat.read(file, 4)
    nbformat.validate(notebook)
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    for source in sources:
        ast.parse(source)
    assert f"p = Pipeline({str(tmp_path / 'mine')!r})" in sources[0]
    assert "p.run('statistics')" in sources
    assert not any("transform" in source for source in sources)
    assert notebook.cells[0].source == "# mine\n\nOf my own"


def test_of_the_projects_models_it_lies_here_and_is_our_own_where_there_is_one(tmp_path: Path) -> None:
    for model in ("taxi", "digits"):
        file = documents.place(load(model), tmp_path)
        assert file == tmp_path / f"{model}.ipynb"
        documents.write(file, load(model), {})
        nbformat.validate(nbformat.read(file, 4))
    assert (tmp_path / "taxi.ipynb").read_text() == (documents.EXAMPLES / "taxi.ipynb").read_text()


@pytest.mark.parametrize("file", sorted(documents.EXAMPLES.glob("*.ipynb")), ids=lambda file: file.name)
def test_ours_are_kept_without_outputs(file: Path) -> None:
    notebook = nbformat.read(file, 4)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
