"""The launcher's command line, as a container calls it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from components.runtime.errors import InputError
from components.runtime.launch.command import message
from tests.support import ROOT

DATASET = {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}
WRITE = """
import json, os, pathlib, sys
given = json.loads(sys.argv[1])
for output in given["outputs"]["artifacts"].values():
    pathlib.Path(output["artifacts"][0]["uri"]).write_text("content")
for output in given["outputs"]["parameters"].values():
    pathlib.Path(output["outputFile"]).parent.mkdir(exist_ok=True)
    pathlib.Path(output["outputFile"]).write_text("true")
print("progress: started")
print(json.dumps(given["inputs"]))
print("to standard error", file=sys.stderr)
"""


def _spec(program: str = WRITE, **changes: Any) -> dict[str, Any]:
    return {
        "pipeline": "p",
        "task": "t",
        "stage": "s",
        "component": {
            "inputDefinitions": {"parameters": {"n": {"parameterType": "NUMBER_INTEGER"}}},
            "outputDefinitions": {"artifacts": {"text": DATASET}, "parameters": {"good": {"parameterType": "BOOLEAN"}}},
        },
        "container": {"image": "i:1", "command": [sys.executable, "-c", program], "args": ["{{$}}"]},
        "parameters": {"n": {"constant": 1}},
        "artifacts": {},
        "cacheable": True,
    } | changes


def _command(folder: Path, spec: dict[str, Any] | str, *arguments: str) -> list[str]:
    root = folder / "root"
    root.mkdir(exist_ok=True)
    text = spec if isinstance(spec, str) else json.dumps(spec)
    return [
        *(sys.executable, "-m", "components.runtime.launch", "--root", str(root), "--run", "r-1", "--task", text),
        *arguments,
        *("--outputs", str(folder / "outputs")),
    ]


def _launch(folder: Path, spec: dict[str, Any] | str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(folder, spec, *arguments), cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


def _error(process: subprocess.CompletedProcess[str]) -> str:
    lines = process.stderr.splitlines()
    assert lines
    assert lines[-1].startswith("error: "), process.stderr
    return lines[-1].removeprefix("error: ")


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "root").glob("artifacts/p/t/*"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--started", "2026-11-30T02:00:07Z"], "2026-11-30T02:00:07Z"),
        (["--started", "2026-11-30T02:00:07Z", "--scheduled", "2026-11-30T02:00:00Z"], "2026-11-30T02:00:00Z"),
    ],
)
def test_a_task_is_told_when_the_run_was_scheduled(tmp_path: Path, arguments: list[str], told: str) -> None:
    component = _spec()["component"] | {"inputDefinitions": {"parameters": {"time": {"parameterType": "STRING"}}}}
    parameters = {"time": {"constant": "{{$.pipeline_job_schedule_time_utc}}"}}
    process = _launch(tmp_path, _spec(component=component, parameters=parameters), *arguments)
    assert process.returncode == 0, process.stderr
    [execution] = (tmp_path / "root").glob("artifacts/p/t/*/execution.json")
    assert json.loads(execution.read_text())["parameters"] == {"time": told}


def test_a_task_runs_and_leaves_what_later_tasks_need(tmp_path: Path) -> None:
    process = _launch(tmp_path, _spec())
    assert process.returncode == 0, process.stderr
    outputs = tmp_path / "outputs"
    assert (outputs / "good").read_text() == "true"
    home = (outputs / "millrace-execution").read_text()
    assert home.startswith("artifacts/p/t/")
    record = json.loads((tmp_path / "root" / home / "execution.json").read_text())
    assert record["run"] == "r-1"
    assert record["peak_memory_bytes"] > 1_000_000
    assert record["outputs"]["text"]["uri"] == f"{home}/text"
    assert (tmp_path / "root" / home / "text").read_text() == "content"
    # What the stage prints is the container's log and the run's.
    log = (tmp_path / "root" / "runs" / "r-1" / "t.log").read_text()
    for text in (process.stdout, log):
        assert '{"parameterValues": {"n": 1}, "artifacts": {}}' in text
        assert "to standard error" in text
    assert (tmp_path / "root" / "lineage" / "r-1" / "t.jsonl").exists()


def test_a_later_task_gets_artifacts_and_values_by_the_path(tmp_path: Path) -> None:
    assert _launch(tmp_path, _spec()).returncode == 0
    home = (tmp_path / "outputs" / "millrace-execution").read_text()
    later = _spec(
        task="later",
        component={
            "inputDefinitions": {
                "parameters": {
                    "good": {"parameterType": "BOOLEAN"},
                    "words": {"parameterType": "LIST"},
                    "share": {"parameterType": "NUMBER_DOUBLE"},
                    "text": {"parameterType": "STRING"},
                }
            }
        },
        parameters={
            "good": {"task": "t", "output": "good"},
            "words": {"parameter": "words"},
            "share": {"parameter": "share"},
            "text": {"constant": "of {{$.inputs.parameters['pipelinechannel--word']}}"},
            "pipelinechannel--word": {"parameter": "word"},
        },
        artifacts={"input": {"task": "t", "output": "text"}},
    )
    given = ("--parameter", 'words=["a=b", 1]', "--parameter", "share=2", "--parameter", "word=it's {{$}}")
    process = _launch(tmp_path, later, *given, "--execution", f"t={home}")
    assert process.returncode == 0, process.stderr
    inputs = json.loads(next(line for line in process.stdout.splitlines() if line.startswith("{")))
    values = {"good": True, "words": ["a=b", 1], "share": 2.0, "text": "of it's {{$}}"}
    assert inputs["parameterValues"] == values
    (artifact,) = inputs["artifacts"]["input"]["artifacts"]
    assert artifact["uri"] == str(tmp_path / "root" / home / "text")
    assert artifact["metadata"]["digest"].startswith("sha256:")


def test_a_later_task_finds_an_earlier_one_by_its_note(tmp_path: Path) -> None:
    """Where nothing is handed from pod to pod, as in Airflow."""
    later = _spec(
        task="later",
        component={"inputDefinitions": {"parameters": {"good": {"parameterType": "BOOLEAN"}}}},
        parameters={"good": {"task": "t", "output": "good"}},
        artifacts={"input": {"task": "t", "output": "text"}},
    )
    too_early = _launch(tmp_path, later, "--earlier", "t")
    assert too_early.returncode == 65
    assert _error(too_early).startswith("the task 't' of the run r-1 has left no note of its execution below ")
    assert _launch(tmp_path, _spec()).returncode == 0
    process = _launch(tmp_path, later, "--earlier", "t")
    assert process.returncode == 0, process.stderr
    inputs = json.loads(next(line for line in process.stdout.splitlines() if line.startswith("{")))
    home = (tmp_path / "root" / "artifacts" / "p" / "t").iterdir()
    assert inputs["parameterValues"] == {"good": True}
    assert inputs["artifacts"]["input"]["artifacts"][0]["uri"] == str(next(home) / "text")


def test_an_execution_with_the_same_input_stands_in(tmp_path: Path) -> None:
    assert _launch(tmp_path, _spec()).returncode == 0
    before = (tmp_path / "outputs" / "millrace-execution").read_text()
    process = _launch(tmp_path, _spec())
    assert process.returncode == 0
    assert "progress: taken from the cache: the execution of run r-1" in process.stdout
    assert (tmp_path / "outputs" / "millrace-execution").read_text() == before
    assert "to standard error" in _launch(tmp_path, _spec(cacheable=False)).stdout
    assert len(_left(tmp_path)) == 2


def test_an_image_by_digest_is_the_code(tmp_path: Path) -> None:
    spec = _spec()
    spec["container"]["image"] = "i@sha256:1"
    assert _launch(tmp_path, spec).returncode == 0
    home = (tmp_path / "outputs" / "millrace-execution").read_text()
    assert json.loads((tmp_path / "root" / home / "execution.json").read_text())["code"] == "i@sha256:1"


@pytest.mark.parametrize("code", [65, 75, 3])
def test_the_stages_exit_code_is_the_containers(code: int, tmp_path: Path) -> None:
    program = f"import sys; print('error: data.csv:3: ragged', file=sys.stderr); sys.exit({code})"
    process = _launch(tmp_path, _spec(program))
    assert process.returncode == code
    assert _error(process) == "data.csv:3: ragged"
    assert _left(tmp_path) == []
    assert not (tmp_path / "outputs").exists()


def test_a_stage_that_is_killed_says_so(tmp_path: Path) -> None:
    process = _launch(tmp_path, _spec("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    assert process.returncode == 137
    assert _error(process) == "the stage was ended by SIGKILL; the machine may be out of memory"


def test_a_helper_that_outlives_its_stage_does_not_hold_the_task(tmp_path: Path) -> None:
    program = "import subprocess\nsubprocess.Popen(['sleep', '50'])\n" + WRITE
    begun = time.monotonic()
    assert _launch(tmp_path, _spec(program)).returncode == 0
    assert time.monotonic() - begun < 30


def test_ending_the_container_ends_the_stage_and_leaves_nothing(tmp_path: Path) -> None:
    program = "import os, pathlib, time; pathlib.Path(os.environ['MARK']).write_text(str(os.getpid())); time.sleep(60)"
    mark = tmp_path / "mark"
    process = subprocess.Popen(
        _command(tmp_path, _spec(program)), cwd=ROOT, env=os.environ | {"MARK": str(mark)}, stderr=subprocess.DEVNULL
    )
    while not (mark.exists() and mark.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    # Whoever takes over the children of the dead may take a moment to bury them.
    deadline = time.monotonic() + 10
    while Path("/proc", mark.read_text()).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path("/proc", mark.read_text()).exists()
    assert _left(tmp_path) == []


# The launcher with a place for its message that a test may write to.
LAUNCHER = """
import os, pathlib, runpy
from components.runtime.stage import pod
pod.TERMINATION_LOG = pathlib.Path(os.environ["MESSAGE"])
runpy.run_module("components.runtime.launch", run_name="__main__", alter_sys=True)
"""


def _in_a_pod(folder: Path, program: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = _command(folder, _spec(program), *arguments)
    command[1:3] = ["-c", LAUNCHER]
    (folder / "message").touch()
    # As Argo starts containers.
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"MESSAGE": str(folder / "message")}, stderr=subprocess.DEVNULL, umask=0
    )


def _note(folder: Path) -> dict[str, Any]:
    note: dict[str, Any] = json.loads((folder / "root" / "runs" / "r-1" / "tasks" / "t.json").read_text())
    return note


def test_the_pods_message_is_the_one_line(tmp_path: Path) -> None:
    program = "import sys; print('x' * 5000); print('error: data.csv:3: ragged', file=sys.stderr); sys.exit(65)"
    assert _in_a_pod(tmp_path, program).wait(60) == 65
    assert (tmp_path / "message").read_text() == "error: data.csv:3: ragged"
    assert _note(tmp_path) == {"task": "t", "execution": "", "error": "data.csv:3: ragged", "code": 65}


def test_the_message_tells_outputs_where_that_is_asked_for(tmp_path: Path) -> None:
    asked = ("--message", "t/good", "--message", "t/text")
    for _ in ("made", "from the cache"):
        assert _in_a_pod(tmp_path, WRITE, *asked).wait(60) == 0
        told = json.loads((tmp_path / "message").read_text())
        assert (told.keys(), told["t/good"]) == ({"t/good", "t/text"}, True)
        assert told["t/text"]["digest"].startswith("sha256:")
    assert _in_a_pod(tmp_path, WRITE, "--message", "t/none").wait(60) == 65
    assert (tmp_path / "message").read_text() == "error: --message t/none: the container's tasks have no such output"


def test_what_no_message_holds_is_refused() -> None:
    with pytest.raises(InputError, match=r"t/long are longer than the 4096 bytes that Kubernetes hands on"):
        message(["t/long"], {"t": {"output_parameters": {"long": "x" * 5000}}})


def test_an_end_from_outside_is_noted_as_that(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    process = _in_a_pod(tmp_path, f"import pathlib, time; pathlib.Path({str(mark)!r}).touch(); time.sleep(60)")
    while not mark.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    note = _note(tmp_path)
    assert note["code"] == 130
    assert note["error"].startswith("ended from outside (SIGTERM)")
    assert (tmp_path / "message").read_text() == f"error: {note['error']}"


def test_only_the_volumes_group_may_change_what_is_on_it(tmp_path: Path) -> None:
    assert _in_a_pod(tmp_path, WRITE).wait(60) == 0
    modes = {path: path.stat().st_mode & 0o777 for path in (tmp_path / "root").rglob("*")}
    assert modes
    for path, mode in modes.items():
        assert mode & 0o022 == 0o020, (path, oct(mode))


@pytest.mark.parametrize(
    ("spec", "arguments", "message"),
    [
        ("{", (), r"--task is not JSON"),
        ("{}", (), r"--task is not a task's specification: KeyError('component')"),
        (_spec(), ("--parameter", "n"), "--parameter n: expected NAME=VALUE"),
        (_spec(parameters={"n": {"parameter": "count"}}), (), "the workflow's parameter 'count' is missing"),
        (
            _spec(parameters={"n": {"parameter": "count"}}),
            ("--parameter", "count=many"),
            "parameter 'count' is 'many', expected a value of type int",
        ),
        (_spec(parameters={"n": {"task": "a", "output": "b"}}), (), "the execution of the task 'a' is missing"),
        (_spec(), ("--execution", "a=artifacts/p/a/1"), "the execution of the task 'a' is not at "),
        (
            _spec(container={"image": "i", "command": ["no-such-command"], "args": []}),
            (),
            "the image has no command 'no-such-command'",
        ),
    ],
)
def test_wrong_arguments_are_one_line(
    spec: dict[str, Any] | str, arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    process = _launch(tmp_path, spec, *arguments)
    assert process.returncode == 65, process.stderr
    assert _error(process).startswith(message)
    assert len(process.stderr.splitlines()) == 1
    assert _left(tmp_path) == []


def test_a_volume_that_is_not_there_is_named(tmp_path: Path) -> None:
    command = _command(tmp_path, _spec())
    command[command.index("--root") + 1] = str(tmp_path / "other")
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 65
    assert "no such folder; mount the volume of the pipeline root there" in process.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_volume_is_a_passing_fault(tmp_path: Path) -> None:
    log = tmp_path / "root" / "runs" / "r-1" / "t.log"
    log.parent.mkdir(parents=True)
    log.symlink_to("/dev/full")
    process = _launch(tmp_path, _spec())
    assert process.returncode == 75
    assert "No space left on device" in _error(process)
    assert _left(tmp_path) == []
