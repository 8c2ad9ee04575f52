"""In a kernel: what a cell shows of a run, a page and an error; the notebook of taxi from first cell to last."""

from __future__ import annotations

import html
import re
from pathlib import Path

import nbformat
import pytest

from runners.notebook import documents
from tests.runners.notebook.notebook_support import code, execute, texts, trips


def test_a_cell_shows_a_run_a_page_and_errors(tmp_path: Path) -> None:
    data, root = trips(tmp_path / "trips", 60), tmp_path / "root"
    cells = execute(
        code(
            f"from millrace import Pipeline\np = Pipeline('taxi', data={str(data)!r}, root={str(root)!r})\np",
            "p.run('ingest')",
            "p.run('ingst')",
            "p['ingest'].examples('train').head(2)",
            "p.run(train_steps=0)",
            "open(p.raw_data() + '/bad.csv', 'w').write('fare\\n1,2\\n')\np.run('ingest')",
            "import sys; [m for m in ('tensorflow', 'kfp', 'pipeline') if m in sys.modules]",
        ),
        tmp_path,
        errors=True,
    )
    pipeline, run, unknown, head, refused, failed, imported = cells
    assert "<table>" in texts(pipeline, "text/html")[0]
    # One picture of the run, written anew in its place; the page; the run itself.
    progress, page, result = texts(run, "text/html")
    assert re.search(r"ingest .*60 rows", re.sub("<[^>]+>", "", progress))
    assert "done up to ingest" in progress
    assert page.count("<iframe") == 1
    assert 'sandbox="allow-same-origin"' in page
    srcdoc = html.unescape(re.search(r'srcdoc="([^"]*)"', page)[1])  # type: ignore[index]
    assert srcdoc.startswith("<!doctype html>")
    assert "60 rows" in srcdoc
    assert "done (until ingest)" in result
    for cell, said in ((unknown, "no task 'ingst'"), (refused, "expected 1 or more"), (failed, "bad.csv")):
        error = cell.outputs[-1]
        assert error.output_type == "error"
        assert len(error.traceback) == 1
        assert said in error.traceback[0]
        assert "\n" not in error.traceback[0]
    assert "<table" in texts(head, "text/html")[0]
    assert texts(imported) == ["[]"]


@pytest.mark.slow
def test_the_notebook_of_taxi_goes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What draws for the tests is not what draws for people.
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = nbformat.read(documents.EXAMPLES / "taxi.ipynb", 4)
    cells = notebook.cells
    at = next(place for place, cell in enumerate(cells) if cell.source.startswith("# A folder, a file or a URI"))
    data = trips(tmp_path / "trips", 3000)
    cells[at].source = f"DATA = {str(data)!r}\nROOT = {str(tmp_path / 'root')!r}"
    checks = code(
        "{name: second[name].state for name in second.stages}",
        "answers = p['train'].model.predict(rows); bool(((answers > 0) & (answers < 1)).all() and answers.std() > 0)",
        "sorted(row.name for row in p.compare(first).tables.artifacts if row.differs)",
        "p['train'].model.predict({'far': 1})",
    )
    done = execute([*cells, *checks], tmp_path, errors=True)
    for cell in done[:-1]:
        for output in cell.get("outputs", []):
            assert output.output_type != "error", (cell.source, output.traceback)
    states, likely, compared, refused = done[-4:]
    assert "'transform': 'cached'" in texts(states)[0]
    assert "'transformed-statistics': 'cached'" in texts(states)[0]
    assert "'train': 'done'" in texts(states)[0]
    assert texts(likely)[-1] == "True"
    assert "train/model" in texts(compared)[0]
    assert "transform/transformed_examples" not in texts(compared)[0]
    assert "no column 'far' in the data, did you mean 'fare'?" in refused.outputs[-1].traceback[0]
    # The plot of the drift, and the pages of the stages.
    assert any("image/png" in output.get("data", {}) for cell in done for output in cell.get("outputs", []))
    assert sum("<iframe" in page for cell in done if cell.cell_type == "code" for page in texts(cell, "text/html")) >= 6
