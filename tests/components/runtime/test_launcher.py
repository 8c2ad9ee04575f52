"""The launcher: keys, publication, what is left when an execution is killed or fails."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from components.runtime.launcher import RUN_PLACEHOLDER, Completed, Task, TaskFailed, find, launch, sweep
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
        container={"image": "millrace/s", "command": ["python", "-m", "x"], "args": ["{{$}}"]},
        parameters={"n": 1},
        inputs={},
        code="c",
    )
    return dataclasses.replace(task, **changes)


def _write(command: list[str], log: Path) -> Completed:
    outputs = json.loads(command[-1])["outputs"]
    Path(outputs["artifacts"]["text"]["artifacts"][0]["uri"]).write_text("done")
    good = Path(outputs["parameters"]["good"]["outputFile"])
    good.parent.mkdir(parents=True)
    good.write_text("true")
    return Completed(0, 0.1, 1000)


def _fail(command: list[str], log: Path) -> Completed:
    _write(command, log)
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
    def write_while_another_does(command: list[str], log: Path) -> Completed:
        launch(tmp_path, _task(run="other"), _write, tmp_path / "other.log")
        return _write(command, log)

    record = launch(tmp_path, _task(), write_while_another_does, tmp_path / "log")
    assert record["run"] == "other"
    assert len(list((tmp_path / "artifacts" / "p" / "t").iterdir())) == 1


def test_sweep_removes_what_a_killed_launcher_left_and_spares_a_living_one(tmp_path: Path) -> None:
    program = (
        "import sys, time, pathlib; sys.path.insert(0, sys.argv[2])\n"
        "from tests.components.runtime.launcher_child import hang\nhang(pathlib.Path(sys.argv[1]))\n"
    )
    child = ROOT / "tests" / "components" / "runtime" / "launcher_child.py"
    assert child.exists()
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

    def look(command: list[str], log: Path) -> Completed:
        given.append(json.loads(command[-1])["inputs"]["parameterValues"])
        return _write(command, log)

    parameters = {"run": RUN_PLACEHOLDER, "text": f"the run {RUN_PLACEHOLDER}"}
    launch(tmp_path, _task(parameters=parameters), look, tmp_path / "log")
    assert given == [{"run": "r1", "text": parameters["text"]}]
    assert _task(parameters=parameters).key == _task(parameters=parameters, run="r2").key
