"""Records that are damaged or odd: they are left out, or read without what is wrong in them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from components.runtime.errors import InputError
from components.runtime.records import execution_record
from runners.commands import runs as history
from runners.history.comparison import compare_runs
from runners.history.pages import run_report
from runners.history.records import artifacts_of, list_runs, load_run
from tests.runners.cluster_support import call
from tests.runners.history.odd_records import ODD, places, with_value
from tests.runners.history.pipeline_roots import RootWriter


def test_half_written_and_odd_records_are_left_out(tmp_path: Path) -> None:
    for name, content in {
        "half": '{"id": "half", "pipel',
        "empty": "",
        "list": "[1]",
        "binary": "\xff\x00",
        "foreign": '{"hello": "world"}',
        "good": '{"id": "good", "state": "done", "tasks": [{"name": "a"}]}',
    }.items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_bytes(content.encode("latin-1"))
    (tmp_path / "runs" / "just-made").mkdir()

    [run] = list_runs(tmp_path)

    assert (run.id, run.state, run.started, run.elapsed) == ("good", "done", None, None)
    assert [task.state for task in run.tasks] == ["unknown"]
    with pytest.raises(InputError, match="not a readable run record"):
        load_run(tmp_path, "half")


def test_runs_tells_of_records_that_cannot_be_read(tmp_path: Path) -> None:
    for number in range(7):
        (tmp_path / "runs" / f"r{number}").mkdir(parents=True)
        (tmp_path / "runs" / f"r{number}" / "run.json").write_text("[1]")
    listed = call("--root", tmp_path, "--json", "runs")
    line = "not to be read, so not in the list: r0, r1, r2, r3, r4 and 2 more; their run.json is damaged"
    assert listed.document["warnings"] == [line]
    assert listed.err == f"warning: {line}\n"


def test_no_record_however_odd_blinds_the_commands(tmp_path: Path) -> None:
    writer = RootWriter(tmp_path)
    outputs = {"metrics": {"auc": 0.8}, "report": {"rows": 3}}
    made = writer.execution("r", "evaluate", parameters={"seed": 1}, outputs=outputs)
    writer.run("r", parameters={"seed": 1}, seconds=3.0)
    writer.run("other", parameters={}, seconds=3.0)
    failed = []
    for file in (tmp_path / "runs/r/run.json", tmp_path / execution_record.home(made) / execution_record.FILE):
        good = file.read_text()
        for path, odd in zip(places(json.loads(good)), itertools.cycle(ODD), strict=False):
            file.write_text(with_value(json.loads(good), path, odd))
            try:
                found = {each.id: each for each in list_runs(tmp_path)}
                for run in found.values():
                    history._row(run)
                    run_report.render(run)
                    compare_runs(run, found["other"])
                artifacts_of(tmp_path, "r")
            except Exception as error:
                failed.append(f"{file.name} {path} {odd[:20]}: {type(error).__name__} {error}")
        file.write_text(good)
    assert failed == []


@pytest.mark.parametrize("odd", ["NaN", "Infinity", '"lots"', "1" + "0" * 400])
def test_numbers_that_are_none_are_absent(tmp_path: Path, odd: str) -> None:
    task = '{"name": "a", "seconds": ODD, "start_up_seconds": ODD, "peak_memory_bytes": ODD, "rows": ODD}'
    (tmp_path / "runs" / "r").mkdir(parents=True)
    (tmp_path / "runs/r/run.json").write_text(
        f'{{"state": "done", "seconds": ODD, "exit_code": ODD, "tasks": [{task}]}}'.replace("ODD", odd)
    )
    run = load_run(tmp_path, "r")
    assert (run.seconds, run.exit_code) == (None, None)
    [made] = run.tasks
    assert (made.seconds, made.start_up_seconds, made.peak_memory_bytes, made.rows) == (None, None, None, None)


def test_a_run_is_called_as_its_folder(tmp_path: Path) -> None:
    (tmp_path / "runs" / "r").mkdir(parents=True)
    (tmp_path / "runs/r/run.json").write_text('{"id": "../../evil", "state": "done", "tasks": []}')
    [run] = list_runs(tmp_path)
    assert (run.id, run.folder) == ("r", tmp_path / "runs" / "r")


def test_a_run_that_goes_on_from_itself_ends(tmp_path: Path) -> None:
    for name, earlier in {"a": "b", "b": "a"}.items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text(json.dumps({"selection": {"earlier": earlier}}))
    assert artifacts_of(tmp_path, "a") == {}


def test_notes_of_a_workflow_that_are_none_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "runs" / "taxi-1" / "tasks").mkdir(parents=True)
    note = {"task": "ingest", "execution": "", "error": "", "code": 0}
    odd = {"a": note, "b": 5, "c": {"task": "train"}, "d": note | {"execution": 5}}
    for name, content in odd.items():
        (tmp_path / "runs/taxi-1/tasks" / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "runs/taxi-1/tasks/e.json").write_text("[" * 100_000)
    [run] = list_runs(tmp_path)
    assert [task.name for task in run.tasks] == ["ingest"]
