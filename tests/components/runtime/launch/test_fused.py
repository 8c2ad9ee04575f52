"""Several tasks in one container, one after the other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.runtime.close_workflow import record
from components.runtime.launch.fused import ENVIRONMENTS_VARIABLE
from components.runtime.records import final_status
from runners.compiled.fusing import fuse
from runners.compiled.ir import documents
from runners.compiled.op_functions import bare_name
from runners.compiled.pipelines import compile_pipeline
from runners.settings.model import load
from scripts.data import taxi_trips
from tests.support import ROOT

DATASET = {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}
WRITE = """
import json, pathlib, sys
given = json.loads(sys.argv[1])
for output in given["outputs"]["artifacts"].values():
    pathlib.Path(output["artifacts"][0]["uri"]).write_text("content of " + sys.argv[2])
print("progress: started")
print("inputs of", sys.argv[2], sorted(given["inputs"]["artifacts"]))
"""
FAIL = "import sys; print('error: this is not to be had', file=sys.stderr); sys.exit(65)"
WAIT = "import time; print('waiting', flush=True); time.sleep(60)"


def spec(name: str, program: str = WRITE, **artifacts: str) -> dict[str, Any]:
    """A task that reads `text` of others."""
    return {
        "pipeline": "p",
        "task": name,
        "stage": name,
        "component": {"outputDefinitions": {"artifacts": {"text": DATASET}}},
        "container": {"image": "i:1", "command": ["python", "-c", program], "args": ["{{$}}", name]},
        "parameters": {},
        "artifacts": {argument: {"task": task, "output": "text"} for argument, task in artifacts.items()},
        "cacheable": True,
        "environment": {"name": "client", "preload": []},
    }


def command(folder: Path, *specs: dict[str, Any], run: str = "r-1") -> list[str]:
    (folder / "root").mkdir(exist_ok=True)
    given = [part for each in specs for part in ("--task", json.dumps(each))]
    place = ["--root", str(folder / "root"), "--run", run, "--outputs", str(folder / "outputs")]
    return [sys.executable, "-m", "components.runtime.launch", *place, *given]


def launch(folder: Path, *specs: dict[str, Any], run: str = "r-1") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *specs, run=run), cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


def notes(folder: Path, run: str = "r-1") -> dict[str, dict[str, Any]]:
    return {note["task"]: note for note in final_status.notes(folder / "root", run)}


def test_each_is_a_task_of_its_own(tmp_path: Path) -> None:
    process = launch(tmp_path, spec("first"), spec("second", a="first"), spec("third", a="first", b="second"))
    assert process.returncode == 0, process.stderr
    root, outputs = tmp_path / "root", tmp_path / "outputs"
    for name in ("first", "second", "third"):
        home = (outputs / f"{name}-millrace-execution").read_text()
        assert home.startswith(f"artifacts/p/{name}/")
        assert (root / home / "text").read_text() == f"content of {name}"
        assert json.loads((root / home / "execution.json").read_text())["run"] == "r-1"
        assert notes(tmp_path)[name]["execution"] == home
        log = (root / "runs" / "r-1" / f"{name}.log").read_text()
        assert [line for line in log.splitlines() if line.startswith("inputs of")] == [
            f"inputs of {name} {sorted({'second': ['a'], 'third': ['a', 'b']}.get(name, []))}"
        ]
        assert (root / "lineage" / "r-1" / f"{name}.jsonl").exists()
    # The container's log has all of them, in order.
    said = [line for line in process.stdout.splitlines() if line.startswith(("progress: task", "inputs of"))]
    assert [line.split()[2] for line in said] == ["first", "first", "second", "second", "third", "third"]


def test_what_an_earlier_run_made_is_taken(tmp_path: Path) -> None:
    specs = [spec("first"), spec("second", a="first")]
    assert launch(tmp_path, *specs).returncode == 0
    again = launch(tmp_path, *specs, run="r-2")
    assert again.stdout.count("taken from the cache: the execution of run r-1") == 2
    assert "inputs of" not in again.stdout
    # Only what changed works again.
    changed = launch(tmp_path, specs[0], spec("second", WRITE + "print('other')", a="first"), run="r-3")
    assert changed.stdout.count("taken from the cache") == 1
    assert "inputs of second" in changed.stdout
    told = json.loads((tmp_path / "outputs" / "millrace-tasks").read_text())
    assert [(each["task"], each["state"]) for each in told] == [("first", "cached"), ("second", "done")]


def test_a_fault_names_its_task_and_keeps_what_was_done(tmp_path: Path) -> None:
    process = launch(tmp_path, spec("first"), spec("second", FAIL), spec("third"))
    assert process.returncode == 65
    assert process.stderr.splitlines()[-1] == "error: second: this is not to be had"
    left = notes(tmp_path)
    assert (left["second"]["error"], left["second"]["code"]) == ("this is not to be had", 65)
    assert left["first"]["execution"]
    assert "third" not in left
    outputs = {file.name: file.read_text() for file in (tmp_path / "outputs").iterdir()}
    told = json.loads(outputs.pop("millrace-tasks"))
    assert [(each["task"], each["state"]) for each in told] == [("first", "done"), ("second", "failed")]
    assert all(each["started"] < each["ended"] for each in told)
    assert list(outputs) == ["first-millrace-execution"]


def test_a_container_that_is_ended_says_in_which_task(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(tmp_path, spec("first"), spec("second", WAIT)), cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    for line in process.stdout:
        if line == "waiting\n":
            break
    # Python drops what a signal raises while the launcher still comes back from starting the stage (at-fork callbacks).
    time.sleep(0.5)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.stdout.read()
    assert process.wait(30) == 128 + signal.SIGTERM
    assert time.monotonic() - begun < 25
    left = notes(tmp_path)
    assert left["second"]["code"] == 130
    assert left["first"]["code"] == 0
    assert not list((tmp_path / "root").glob("artifacts/p/second/*"))


def test_a_lost_pod_is_told_of_the_task_that_it_was_at(tmp_path: Path) -> None:
    """Argo knows the pod alone."""
    assert launch(tmp_path, spec("first")).returncode == 0
    plan = {
        "pipeline": "p",
        "parameters": {},
        "tasks": [
            {"name": name, "stage": name, "after": [], "condition": "", "pod": "first-to-third"}
            for name in ("first", "second", "third")
        ],
    }
    failures = json.dumps(
        [{"displayName": "first-to-third", "message": "OOMKilled (exit code 137)", "phase": "Failed"}]
    )
    status = final_status.of_workflow(tmp_path / "root", "r-1", "Failed", failures, {})
    attempts = {"first-to-third": ["its pod was lost: deleted", "second: the disk is full"]}
    tasks = record(tmp_path / "root", "r-1", plan, "2026-11-29T10:00:00Z", status, {}, attempts)["tasks"]
    assert [task["state"] for task in tasks] == ["done", "failed", "skipped"]
    assert "OOMKilled" in tasks[1]["error"]
    told = [task["failed_attempts"] for task in tasks]
    assert told == [["its pod was lost: deleted"], ["the disk is full"], []]


def test_a_specification_without_an_environment_is_one_line(tmp_path: Path) -> None:
    without = spec("second")
    del without["environment"]
    process = launch(tmp_path, spec("first"), without)
    assert process.returncode == 65
    assert "of several, each says in which environment it runs" in process.stderr


# --- where a KFP backend runs it


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, Any]]:
    """Arguments of the container that the compiled pipeline has, and the executor input that a backend would give."""
    folder = tmp_path_factory.mktemp("kfp")
    (folder / "data").mkdir()
    taxi_trips.write(folder / "data" / "trips.csv", 1500, 1)
    group = ["ingest", "statistics", "schema", "validate"]
    ir, _ = documents(fuse(compile_pipeline(load("taxi")), [group], bare_name))
    name = "ingest-to-validate"
    component, task = ir["components"][f"comp-{name}"], ir["root"]["dag"]["tasks"][name]
    values = {
        parameter: binding["runtimeValue"]["constant"] if "runtimeValue" in binding else str(folder / "data")
        for parameter, binding in task["inputs"]["parameters"].items()
    }
    made = component["outputDefinitions"]
    executor_input = {
        "inputs": {"parameterValues": values},
        "outputs": {
            "artifacts": {
                output: {
                    "artifacts": [{"name": output, "uri": str(folder / "out" / output), "type": kind["artifactType"]}]
                }
                for output, kind in made["artifacts"].items()
            },
            "parameters": {each: {"outputFile": str(folder / "parameters" / each)} for each in made["parameters"]},
            "outputFile": str(folder / "executor_output.json"),
        },
    }
    return list(ir["deploymentSpec"]["executors"][f"exec-{name}"]["container"]["args"]), executor_input


def as_on_kubeflow(arguments: list[str], executor_input: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    filled = [json.dumps(executor_input) if each == "{{$}}" else each for each in arguments]
    return subprocess.run(
        [sys.executable, "-m", "components.runtime.launch.fused_executor", *filled],
        cwd=ROOT,
        env={**os.environ, ENVIRONMENTS_VARIABLE: str(ROOT / ".venv")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.slow
def test_a_backend_gets_the_outputs_of_all(given: tuple[list[str], dict[str, Any]]) -> None:
    arguments, executor_input = given
    process = as_on_kubeflow(arguments, executor_input)
    assert process.returncode == 0, process.stderr
    outputs = executor_input["outputs"]
    made = json.loads(Path(outputs["outputFile"]).read_text())
    assert made["artifacts"].keys() == outputs["artifacts"].keys()
    assert made["parameterValues"] == {"validate_valid": True}
    assert Path(outputs["parameters"]["validate_valid"]["outputFile"]).read_text() == "true"
    for name, entry in outputs["artifacts"].items():
        assert Path(entry["artifacts"][0]["uri"]).exists(), name
        assert made["artifacts"][name]["artifacts"][0]["metadata"]["digest"], name
    anomalies = Path(outputs["artifacts"]["validate_anomalies"]["artifacts"][0]["uri"])
    assert json.loads((anomalies / "verdict.json").read_text())["valid"] is True
    assert [line for line in process.stdout.splitlines() if line.startswith("progress: task")] == [
        f"progress: task {name}" for name in ("ingest", "statistics", "schema", "validate")
    ]


def test_a_backend_is_told_which_stage_failed(given: tuple[list[str], dict[str, Any]], tmp_path: Path) -> None:
    arguments, executor_input = given
    values = executor_input["inputs"]["parameterValues"] | {"ingest_data": str(tmp_path / "nothing")}
    process = as_on_kubeflow(arguments, executor_input | {"inputs": {"parameterValues": values}})
    assert process.returncode == 65
    error = process.stderr.splitlines()[-1]
    assert error.startswith("error: ingest: ")
    assert str(tmp_path / "nothing") in error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda given: given.pop("outputs"), "is not KFP's executor input: KeyError('outputs')"),
        (lambda given: given["outputs"].pop("outputFile"), "is not KFP's executor input: KeyError('outputFile')"),
        (lambda given: given["outputs"]["artifacts"].pop("validate_report"), "KeyError('validate_report')"),
        (
            lambda given: given["inputs"]["parameterValues"].pop("ingest_data"),
            "ingest: the parameter 'data' is missing",
        ),
        (lambda given: given.update(inputs=[]), "is not KFP's executor input: AttributeError"),
    ],
)
def test_what_is_no_executor_input_is_one_line_before_any_work(
    given: tuple[list[str], dict[str, Any]], change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    arguments, executor_input = given
    changed = json.loads(json.dumps(executor_input))
    change(changed)
    process = as_on_kubeflow(arguments, changed)
    assert process.returncode == 65
    assert "Traceback" not in process.stderr
    assert message in process.stderr.splitlines()[-1]
    assert "progress: task" not in process.stdout
