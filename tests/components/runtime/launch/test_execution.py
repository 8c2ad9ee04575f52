"""The launcher: keys, publication, what is left when an execution is killed or fails."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components.runtime.errors import InputError
from components.runtime.launch import execution, workplace
from components.runtime.launch.execution import Completed, Interrupted, TaskFailed, find, launch
from components.runtime.launch.executor_files import RUN_PLACEHOLDER
from components.runtime.launch.task import Task
from components.runtime.launch.workplace import sweep
from components.runtime.lineage import record as lineage
from components.runtime.records import execution_record
from tests.support import ROOT

COMPONENT: dict[str, Any] = {
    "outputDefinitions": {
        "artifacts": {"text": {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}},
        "parameters": {"good": {"parameterType": "BOOLEAN"}},
    }
}


def _task(**changes: Any) -> Task:
    task = Task(
        pipeline="p",
        name="t",
        stage="s",
        run="r1",
        component=COMPONENT,
        container={"image": "millrace/s", "command": ["python", "-m", "x"], "args": ["--executor-input", "{{$}}"]},
        parameters={"n": 1},
        inputs={},
        code="c",
    )
    return dataclasses.replace(task, **changes)


def _write(command: list[str], log: Path, folder: Path) -> Completed:
    outputs = _executor_input(command)["outputs"]
    Path(outputs["artifacts"]["text"]["artifacts"][0]["uri"]).write_text("done")
    good = Path(outputs["parameters"]["good"]["outputFile"])
    good.parent.mkdir(parents=True)
    good.write_text("true")
    return Completed(0, 0.1, 1000)


def _executor_input(command: list[str]) -> dict[str, Any]:
    given: dict[str, Any] = json.loads(Path(command[-1].removeprefix("@")).read_text())
    return given


def _fail(command: list[str], log: Path, folder: Path) -> Completed:
    _write(command, log, folder)
    log.write_text("working\nerror: data.csv:3: ragged\n")
    return Completed(65, 0.1, 1000)


def test_an_execution_is_published_recorded_and_found_again(tmp_path: Path) -> None:
    task = _task()
    assert find(tmp_path, task) is None
    record = launch(tmp_path, task, _write, tmp_path / "log")
    assert record["output_parameters"] == {"good": True}
    assert Path(record["outputs"]["text"]["uri"]).read_text() == "done"
    assert record["outputs"]["text"]["metadata"]["digest"].startswith("sha256:")
    assert find(tmp_path, task) == record
    assert [path.name for path in (tmp_path / "artifacts" / "p" / "t").iterdir()] == [task.key]


def test_an_address_with_credentials_leaves_no_trace(tmp_path: Path) -> None:
    task = _task(parameters={"data": "s3://key:se/cret@bucket/trips"})
    with pytest.raises(InputError, match="the parameter data: an address with a password") as refusal:
        launch(tmp_path, task, _write, tmp_path / "log")
    assert "cret" not in str(refusal.value)
    assert list(tmp_path.rglob("*")) == []


def test_a_failed_execution_leaves_its_error_and_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(TaskFailed, match=r"^data.csv:3: ragged$") as failure:
        launch(tmp_path, _task(), _fail, tmp_path / "log")
    assert failure.value.exit_code == 65
    assert list((tmp_path / "artifacts" / "p" / "t").iterdir()) == []


def test_a_stage_that_says_nothing_or_is_killed_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(TaskFailed, match="exit code 3 and said nothing"):
        launch(tmp_path, _task(), lambda *_: Completed(3, 0, 0), tmp_path / "log")
    with pytest.raises(TaskFailed, match="SIGKILL; the machine may be out of memory"):
        launch(tmp_path, _task(), lambda *_: Completed(137, 0, 0), tmp_path / "log")
    with pytest.raises(TaskFailed, match=r"SIGTERM$"):
        launch(tmp_path, _task(), lambda *_: Completed(143, 0, 0), tmp_path / "log")
    with pytest.raises(TaskFailed, match="exit code 255"):
        launch(tmp_path, _task(), lambda *_: Completed(255, 0, 0), tmp_path / "log")


@pytest.mark.parametrize("content", [b"", b"\0" * 300, b'{"outputs": {', b"[]", b'{"outputs": {}, "inputs": {"a": 1}}'])
def test_a_record_that_a_power_cut_damaged_is_none_and_the_execution_is_made_again(
    tmp_path: Path, content: bytes
) -> None:
    home = tmp_path / "artifacts" / "p" / "t" / _task().key
    launch(tmp_path, _task(), _write, tmp_path / "log")
    (home / "execution.json").write_bytes(content)
    assert find(tmp_path, _task()) is None
    record = launch(tmp_path, _task(run="r2"), _write, tmp_path / "again.log")
    assert record["run"] == "r2"
    assert find(tmp_path, _task()) == record
    assert "made again: of the execution that was there, its execution.json" in (tmp_path / "again.log").read_text()
    assert [path.name for path in home.parent.iterdir()] == [home.name]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("d")], ids=["removed", "cut short"])
def test_an_execution_without_its_artifacts_is_made_again(tmp_path: Path, damage: Callable[[Path], Any]) -> None:
    def write(command: list[str], log: Path, folder: Path) -> Completed:
        completed = _write(command, log, folder)
        output = {"text": {"artifacts": [{"uri": "x", "metadata": {"bytes": 4}}]}}
        Path(_executor_input(command)["outputs"]["outputFile"]).write_text(json.dumps({"artifacts": output}))
        return completed

    first = launch(tmp_path, _task(), write, tmp_path / "log")
    damage(Path(first["outputs"]["text"]["uri"]))
    assert find(tmp_path, _task()) is None
    again = launch(tmp_path, _task(), write, tmp_path / "log")
    assert Path(again["outputs"]["text"]["uri"]).read_text() == "done"
    assert find(tmp_path, _task()) == again


def test_a_root_that_was_moved_is_the_same_and_nothing_on_disk_names_its_place(tmp_path: Path) -> None:
    root = tmp_path / "here, größe"
    given = launch(root, _task(name="before"), _write, tmp_path / "log")["outputs"]["text"]
    task = _task(inputs={"a": given})
    record = launch(root, task, _write, tmp_path / "log")
    for file in root.rglob("*.json*"):
        assert str(root) not in file.read_text()
        assert json.dumps(str(root))[1:-1] not in file.read_text()
    root.rename(tmp_path / "there")
    found = find(tmp_path / "there", task)
    assert found
    assert Path(found["outputs"]["text"]["uri"]) == tmp_path / "there" / execution_record.home(record) / "text"
    assert Path(found["inputs"]["a"]["uri"]).is_relative_to(tmp_path / "there")
    assert Path(found["outputs"]["text"]["uri"]).read_text() == "done"


def test_records_of_earlier_versions_name_the_place_of_then(tmp_path: Path) -> None:
    record = launch(tmp_path, _task(), _write, tmp_path / "log")
    file = tmp_path / execution_record.home(record) / "execution.json"
    uri = f"/elsewhere/root/{execution_record.home(record)}/text"
    outside = {"uri": "/data/raw", "type": "system.Dataset", "metadata": {"digest": "sha256:1"}}
    file.write_text(json.dumps(record | {"outputs": {"text": {"uri": uri, "metadata": {}}}, "inputs": {"a": outside}}))
    found = execution_record.usable(tmp_path, execution_record.home(record))
    assert Path(found["outputs"]["text"]["uri"]).read_text() == "done"
    assert found["inputs"]["a"]["uri"] == "/data/raw"


def test_metadata_of_thousands_of_columns_reach_the_stage(tmp_path: Path) -> None:
    """As a real process: Linux takes no argument beyond 128 KiB."""
    columns = {f"column_number_{number:04}": "float64" for number in range(5000)}
    given = {"uri": "/a", "type": "system.Dataset", "metadata": {"digest": "sha256:1", "columns": columns}}
    program = (
        "import json, pathlib, sys; given = json.loads(pathlib.Path(sys.argv[2][1:]).read_text())\n"
        "out = given['outputs']; n = len(given['inputs']['artifacts']['a']['artifacts'][0]['metadata']['columns'])\n"
        "pathlib.Path(out['artifacts']['text']['artifacts'][0]['uri']).write_text(str(n))\n"
        "good = pathlib.Path(out['parameters']['good']['outputFile']); good.parent.mkdir(); good.write_text('true')\n"
    )
    container = {
        "image": "i",
        "command": [sys.executable, "-c", program],
        "args": ["--executor-input", "{{$}}"],
    }
    assert len(json.dumps(columns)) > 128 << 10

    def run(command: list[str], log: Path, folder: Path) -> Completed:
        return Completed(subprocess.run(command, check=False).returncode, 0.0, 0)

    record = launch(tmp_path, _task(inputs={"a": given}, container=container), run, tmp_path / "log")
    assert Path(record["outputs"]["text"]["uri"]).read_text() == "5000"


def test_a_clock_that_is_set_back_makes_no_time_negative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        hours = 0

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            Clock.hours -= 5
            return datetime.now(tz) + timedelta(hours=Clock.hours)

    monkeypatch.setattr(execution, "datetime", Clock)
    record = launch(tmp_path, _task(), _write, tmp_path / "log")
    assert 0 <= record["seconds"] < 60
    between = datetime.fromisoformat(record["finished"]) - datetime.fromisoformat(record["started"])
    assert between.total_seconds() == pytest.approx(record["seconds"], abs=1e-5)


def test_a_stage_that_was_ended_with_its_run_has_not_failed(tmp_path: Path) -> None:
    def interrupt(command: list[str], log: Path, folder: Path) -> Completed:
        raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        launch(tmp_path, _task(), interrupt, tmp_path / "log")
    lineage.flush()
    events = [json.loads(line) for line in (tmp_path / "lineage" / "r1" / "t.jsonl").read_text().splitlines()]
    assert [event["eventType"] for event in events] == ["START", "ABORT"]
    assert "errorMessage" not in events[-1]["run"]["facets"]


def test_a_sweep_between_a_folder_and_its_lock_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[str] = []
    lock = workplace.fcntl.flock

    def sweep_first(stream: Any, how: int) -> None:
        if not swept and how == workplace.fcntl.LOCK_EX:
            swept.append(stream.name)
            sweep(tmp_path)
            assert not Path(stream.name).exists()
        lock(stream, how)

    monkeypatch.setattr(workplace.fcntl, "flock", sweep_first)
    record = launch(tmp_path, _task(), _write, tmp_path / "log")
    assert swept
    assert Path(record["outputs"]["text"]["uri"]).read_text() == "done"


def test_sweep_removes_a_folder_whose_owner_had_no_time_to_lock_it(tmp_path: Path) -> None:
    (tmp_path / "artifacts" / "p" / "t" / ".killed").mkdir(parents=True)
    sweep(tmp_path)
    assert list((tmp_path / "artifacts" / "p" / "t").iterdir()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"parameters": {"n": 2}},
        {"code": "other"},
        {"inputs": {"a": {"uri": "/a", "type": "system.Dataset", "metadata": {"digest": "sha256:1"}}}},
        {"container": {"image": "millrace/s@sha256:1", "command": ["python"]}},
        {"cacheable": False},
    ],
)
def test_what_changes_the_key(changes: dict[str, Any]) -> None:
    assert _task(**changes).key != _task().key


def test_an_inputs_place_and_the_run_do_not_change_the_key() -> None:
    def artifact(uri: str) -> dict[str, Any]:
        return {"a": {"uri": uri, "type": "system.Dataset", "metadata": {"digest": "sha256:1"}}}

    assert _task(inputs=artifact("/a")).key == _task(inputs=artifact("/b"), run="r2").key
    assert _task(cacheable=False).key != _task(cacheable=False, run="r2").key


def test_raw_data_that_cannot_be_looked_at_is_always_read_again(tmp_path: Path) -> None:
    task = _task(parameters={"data": "gs://bucket/trips"})
    launch(tmp_path, task, _write, tmp_path / "log")
    assert find(tmp_path, task) is None
    assert task.key != dataclasses.replace(task, run="r2").key


def test_the_loser_of_two_equal_executions_takes_the_winners_artifacts(tmp_path: Path) -> None:
    def write_while_another_does(command: list[str], log: Path, folder: Path) -> Completed:
        launch(tmp_path, _task(run="other"), _write, tmp_path / "other.log")
        return _write(command, log, folder)

    record = launch(tmp_path, _task(), write_while_another_does, tmp_path / "log")
    assert record["run"] == "other"
    assert len(list((tmp_path / "artifacts" / "p" / "t").iterdir())) == 1


def test_sweep_removes_what_a_killed_launcher_left_and_spares_a_living_one(tmp_path: Path) -> None:
    program = (
        "import sys, time, pathlib; sys.path.insert(0, sys.argv[2])\n"
        "from tests.components.runtime.launch.launcher_child import hang\nhang(pathlib.Path(sys.argv[1]))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(ROOT)])
    try:
        while not list(tmp_path.glob("artifacts/p/t/.*/half")):
            assert process.poll() is None
            time.sleep(0.02)
        sweep(tmp_path)
        assert list(tmp_path.glob("artifacts/p/t/.*/half"))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert find(tmp_path, _task()) is None
    sweep(tmp_path)
    assert list((tmp_path / "artifacts" / "p" / "t").iterdir()) == []


def test_the_placeholder_of_the_run_becomes_its_name_and_is_not_part_of_the_key(tmp_path: Path) -> None:
    given: list[Any] = []

    def look(command: list[str], log: Path, folder: Path) -> Completed:
        given.append(_executor_input(command)["inputs"]["parameterValues"])
        return _write(command, log, folder)

    parameters = {"run": RUN_PLACEHOLDER, "run_id": "{{$.pipeline_job_uuid}}", "text": f"the run {RUN_PLACEHOLDER}"}
    record = launch(tmp_path, _task(parameters=parameters), look, tmp_path / "log")
    assert given == [{"run": "r1", "run_id": "r1", "text": parameters["text"]}] == [record["parameters"]]
    assert _task(parameters=parameters).key == _task(parameters=parameters, run="r2").key
