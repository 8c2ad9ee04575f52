"""The local runner when something goes wrong: what becomes of the tasks, the record, the report and the exit code.

(kfp needs real annotations here.)
"""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler, dsl

from components.runtime.errors import InputError, TransientError
from components.runtime.launch import execution, executor_files
from components.runtime.launch.processes import ColdProcess, WarmProcess
from components.runtime.records import execution_record
from runners.commands import cli
from runners.compiled.ir import documents, read
from runners.history.lineage_graph import Graph
from runners.history.pages.run_report import render
from runners.history.pages.timeline import spans, timeline
from runners.history.records import list_runs, load_run
from runners.local import environments
from runners.local.recording import Recording
from runners.local.run import LocalRun
from tests.runners.command_line import command as call
from tests.runners.local.test_exit_handler import Silent, run, states
from tests.support import ROOT, processes, small_disk

SOON = 60
"""Seconds in which a run has ended that would go on for minutes: many more than it needs, on a busy machine too."""


@dsl.container_component
def write(seconds: float, text: dsl.OutputPath(str)):  # type: ignore[no-untyped-def,valid-type]
    """Runs where ingest does: waits, then writes."""
    program = """
        import json, pathlib, sys, time
        outputs = json.loads(pathlib.Path(sys.argv[2][1:]).read_text())["outputs"]
        print("asleep", flush=True)
        time.sleep(float(sys.argv[3]))
        file = pathlib.Path(outputs["parameters"]["text"]["outputFile"])
        file.parent.mkdir()
        file.write_text("written")
    """
    return dsl.ContainerSpec(
        image="millrace/ingest",
        command=["python", "-c", textwrap.dedent(program)],
        args=["--executor-input", "{{$}}", seconds],
    )


@pytest.fixture(scope="module")
def ir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A pipeline of two tasks, one after the other."""

    @dsl.pipeline(name="small")
    def graph(seconds: float = 0.0) -> None:
        first = write(seconds=0.0)
        write(seconds=seconds).after(first)

    file = tmp_path_factory.mktemp("ir") / "p.yaml"
    compiler.Compiler().compile(graph, str(file))
    return file.read_text()


def _start(root: Path, ir: str, seconds: float) -> subprocess.Popen[str]:
    program = (
        "import sys; from pathlib import Path; from tests.runners.local.test_exit_handler import run\n"
        "sys.exit(run(Path(sys.argv[1]), Path(sys.argv[2]).read_text(), seconds=float(sys.argv[3]))[0])"
    )
    file = root.with_name("p.yaml")
    file.write_text(ir)
    return subprocess.Popen(
        [sys.executable, "-c", program, str(root), str(file), str(seconds)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_for_the_second(root: Path, process: subprocess.Popen[str]) -> Path:
    """Returns the run's folder as soon as its second task works."""
    deadline = time.monotonic() + 60
    while not (logs := list(root.glob("runs/*/write-2.log"))) or "asleep" not in logs[0].read_text():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return logs[0].parent


@pytest.mark.parametrize("sign", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_task_is_interrupted_and_nothing_hints_at_memory(
    sign: signal.Signals, tmp_path: Path, ir: str
) -> None:
    root = tmp_path / "root"
    process = _start(root, ir, 300)
    folder = _wait_for_the_second(root, process)
    process.send_signal(sign)
    assert process.wait(SOON) == 130
    record = json.loads((folder / "run.json").read_text())
    assert states(record) == {"write": "done", "write-2": "stopped"}
    assert (record["state"], record["exit_code"], record["error"]) == ("stopped", 130, "stopped in write-2")
    assert record["tasks"][1]["error"] == ""
    assert 0 < record["tasks"][1]["seconds"] < record["seconds"]
    page = render(load_run(root))
    assert "memory" not in page.replace("peak memory", "")
    assert "The run was stopped" in page
    (ended,) = [each for each in Graph.read(root).executions.values() if each.task == "write-2"]
    assert (ended.state, ended.error) == ("stopped", "")
    assert not list(root.glob("artifacts/small/write-2/.*"))


def test_tasks_of_a_killed_runner_are_told_as_interrupted_and_skipped(tmp_path: Path, ir: str) -> None:
    root = tmp_path / "root"
    process = _start(root, ir, 300)
    _wait_for_the_second(root, process)
    process.kill()
    process.wait()
    (found,) = list_runs(root)
    assert (found.state, found.elapsed) == ("stopped", None)
    assert [task.state for task in found.tasks] == ["done", "stopped"]
    assert found.tasks[1].seconds is None
    assert re.findall(r">(stopped|[^<]+ s)</text>", timeline(spans(found)))[-1] == "stopped", "nobody knows how long"


def test_a_stage_that_somebody_else_killed_may_have_been_out_of_memory(tmp_path: Path, ir: str) -> None:
    root = tmp_path / "root"
    process = _start(root, ir, 300)
    folder = _wait_for_the_second(root, process)
    (stage,) = [pid for pid, words in processes().items() if "asleep" in words and str(root) in words]
    os.kill(stage, signal.SIGKILL)
    assert process.wait(SOON) == 137
    record = json.loads((folder / "run.json").read_text())
    assert states(record) == {"write": "done", "write-2": "failed"}
    assert record["error"] == "write-2: the stage was ended by SIGKILL; the machine may be out of memory"
    assert 0 < record["tasks"][1]["seconds"] < record["seconds"]


def test_a_second_interruption_ends_what_the_first_began(tmp_path: Path, ir: str) -> None:
    """In a run that would tell somebody how it ended, which takes its time, and once asked is enough."""
    program = """
        import sys, threading, time
        from pathlib import Path
        from runners.local import run as local
        from tests.runners.local.test_exit_handler import run
        def slow(self, *_):
            with self._interruptions.heeded():
                print("telling", file=sys.stderr, flush=True)
                time.sleep(600)
        local.LocalRun._run_exit_tasks = slow
        sys.exit(run(Path(sys.argv[1]), Path(sys.argv[2]).read_text(), seconds=300.0)[0])
    """
    (tmp_path / "p.yaml").write_text(ir)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "root"), str(tmp_path / "p.yaml")],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    folder = _wait_for_the_second(tmp_path / "root", process)
    process.send_signal(signal.SIGINT)
    assert process.stderr
    assert process.stderr.readline() == "telling\n"
    process.send_signal(signal.SIGINT)
    process.wait(SOON)
    assert json.loads((folder / "run.json").read_text())["state"] == "stopped"


def test_a_bug_in_a_task_is_its_failure_with_a_trace_in_its_log(
    tmp_path: Path, ir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("of ours")

    monkeypatch.setattr(executor_files, "write_records", broken)
    code, record = run(tmp_path, ir)
    assert (code, record["state"], record["exit_code"]) == (1, "failed", 1)
    assert states(record) == {"write": "failed", "write-2": "skipped"}
    assert record["error"] == "write: KeyError: 'of ours'"
    log = (tmp_path / record["tasks"][0]["log"]).read_text()
    assert "Traceback" in log
    assert log.endswith("error: KeyError: 'of ours'\n")


def test_a_task_whose_beginning_fails_is_the_one_that_failed(
    tmp_path: Path, ir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: Any) -> None:
        raise PermissionError(13, "Permission denied", "/data/schema.pbtxt")

    monkeypatch.setattr(execution, "find", unreadable)
    code, record = run(tmp_path, ir)
    assert (code, states(record)) == (65, {"write": "failed", "write-2": "skipped"})
    assert record["error"] == (
        "write: /data/schema.pbtxt: Permission denied: give this user the right to it, or name another place"
    )


def test_a_run_whose_folder_is_removed_ends_with_one_line(
    tmp_path: Path, ir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove(root: Path, *_: Any) -> None:
        shutil.rmtree(root / "runs")

    monkeypatch.setattr(executor_files, "write_records", remove)
    pipeline = read(documents(ir)[0])
    made = LocalRun(tmp_path, pipeline, ir, {"seconds": 0.0}, Silent())
    assert made.run() == TransientError.exit_code
    assert made.record["error"] == f"{made.folder}: removed while the run worked in it; run again"
    assert not made.folder.exists()


def test_a_task_that_is_never_cached_has_no_libraries_imported_for_those_behind_it(tmp_path: Path) -> None:
    @dsl.container_component
    def look():  # type: ignore[no-untyped-def]
        """Runs where statistics does, which has a warm process."""
        return dsl.ContainerSpec(image="millrace/statistics", command=["python", "-m", "platform"])

    @dsl.pipeline(name="small")
    def graph() -> None:
        look().after(write(seconds=0.0).set_caching_options(False))

    file = tmp_path / "p.yaml"
    compiler.Compiler().compile(graph, str(file))
    found = []
    for _ in range(2):
        code, record = run(tmp_path / "root", file.read_text())
        warm = (tmp_path / "root" / "runs" / record["id"] / "warm-data.log").exists()
        found.append((code, states(record), warm))
    assert found == [
        (0, {"write": "done", "look": "done"}, True),
        (0, {"write": "done", "look": "cached"}, False),
    ]


def test_a_removed_artifact_is_made_again(tmp_path: Path, ir: str) -> None:
    _, first = run(tmp_path, ir)
    folder = tmp_path / first["tasks"][0]["execution"]
    (folder / "execution.json").write_text("")
    code, second = run(tmp_path, ir)
    assert (code, states(second)) == (0, {"write": "done", "write-2": "cached"})
    assert execution_record.usable(tmp_path, folder)["run"] == second["id"]


def test_a_root_that_was_moved_goes_on_where_it_was(tmp_path: Path, ir: str) -> None:
    run(tmp_path / "before", ir)
    (tmp_path / "before").rename(tmp_path / "ä ö")
    code, record = run(tmp_path / "ä ö", ir)
    assert (code, states(record)) == (0, {"write": "cached", "write-2": "cached"})
    (tmp_path / "link").symlink_to(tmp_path / "ä ö")
    assert states(run(tmp_path / "link", ir)[1]) == {"write": "cached", "write-2": "cached"}


def test_a_clock_that_was_set_back_shows_no_negative_time(
    tmp_path: Path, ir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Recording.begin

    def set_back(self: Recording, *arguments: Any) -> None:
        monkeypatch.setattr(self, "_started", self._started.replace(year=2099))
        self.record["started"] = self._started.isoformat()
        begin(self, *arguments)

    monkeypatch.setattr(Recording, "begin", set_back)
    _, record = run(tmp_path, ir)
    assert 0 < record["seconds"] < 60
    assert record["finished"] > record["started"]
    file = tmp_path / "runs" / record["id"] / "run.json"
    file.write_text(json.dumps(record | {"state": "running", "seconds": None, "finished": ""}))
    (file.parent / "owner.lock").unlink()
    assert load_run(tmp_path).elapsed is None


def test_a_warm_process_that_was_ended_says_by_what(tmp_path: Path) -> None:
    """The kernel ends a stage with the process that it was forked from, always by SIGKILL: that says nothing."""
    program = "import os, signal, time; os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)"
    (tmp_path / "suicide.py").write_text(program)
    variables = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    environment = dataclasses.replace(environments.of_stage("ingest"), preload=("json",), variables=variables)
    process = WarmProcess(environment, tmp_path / "warm.log")
    completed = process.run(["python", "-m", "suicide"], tmp_path / "log", lambda note: None)
    assert completed.exit_code == 128 + signal.SIGTERM
    process.close()
    after = process.run(["python", "-m", "suicide"], tmp_path / "log", lambda note: None)
    assert after.exit_code == 128 + signal.SIGKILL, "nothing is started once the run has ended"


def test_a_half_made_environment_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / ".venv" / "ml" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setattr(environments, "PROJECT", tmp_path)
    with pytest.raises(InputError, match=r"the environment 'ml' in .venv/ml is half made; run `make setup`"):
        environments.interpreter("ml")
    (python.parent.parent / ".made-from-0123").touch()
    assert environments.interpreter("ml") == python


def test_a_stage_prints_utf_8_whatever_the_terminal_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}.items():
        monkeypatch.setenv(name, value)
    cold = ColdProcess(environments.of_stage("ingest"))
    completed = cold.run(["python", "-c", "print('größe 中')"], tmp_path / "log", lambda note: None)
    assert (completed.exit_code, (tmp_path / "log").read_text(encoding="utf-8")) == (0, "größe 中\n")


# --- where nothing can be written


def _no_trace_of_a_run(root: Path) -> bool:
    return not list(root.glob("runs/*/*"))


@pytest.mark.parametrize("link", [False, True], ids=["file", "link that leads nowhere"])
def test_what_lies_in_the_way_is_named(tmp_path: Path, link: bool) -> None:
    (tmp_path / "root").mkdir()
    runs = tmp_path / "root" / "runs"
    if link:
        runs.symlink_to(tmp_path / "nowhere")
    else:
        runs.write_text("")
    result = _command(tmp_path / "root", "run")
    assert result.returncode == 65
    assert result.stderr.startswith(f"error: {runs}")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["run", "runs"])
def test_a_file_where_the_root_should_be_is_one_line(tmp_path: Path, command: str) -> None:
    (tmp_path / "root").write_text("")
    result = _command(tmp_path / "root", command)
    assert (result.returncode, result.stdout) == (65, "")
    assert result.stderr == f"error: --root {tmp_path / 'root'}: a file lies there; name a folder\n"


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ("", "--root is empty"),
        (" ", "--root is empty"),
        ("s3://bucket/x", "--root s3://bucket/x: runs on this machine keep"),
        ("gs:/bucket/x", "--root gs:/bucket/x: runs on this machine keep"),
        ("/proc/xyz", "/proc/xyz: no folder can be made there; name another one"),
    ],
)
def test_a_root_that_is_no_folder_of_this_machine_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], root: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    with pytest.raises(SystemExit) as ended:
        cli.main(["--root", root, "run", "digits", "--data", str(tmp_path / "data")])
    assert ended.value.code == 65
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]


def test_a_root_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with small_disk(tmp_path / "root", "1m", "ro") as root:
        result = _command(root, "run")
    assert (result.returncode, result.stdout) == (65, "")
    assert result.stderr.startswith(f"error: {root}")
    assert result.stderr.endswith(": Read-only file system: name a place that can be written\n")


def test_a_disk_that_is_full_at_the_very_first_write_is_a_passing_fault(tmp_path: Path) -> None:
    with small_disk(tmp_path / "root", "8k") as root:
        (root / "full").write_bytes(b"x" * 8192)
        result = _command(root, "run")
        assert _no_trace_of_a_run(root)
    assert (result.returncode, result.stdout) == (TransientError.exit_code, "")
    assert "No space left on device: free some space, then run again" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_root_whose_path_is_not_utf_8_is_one_line(tmp_path: Path) -> None:
    result = _command(tmp_path / os.fsdecode(b"\xff"), "run")
    assert result.returncode == 65
    assert result.stderr == (
        f"error: --root {tmp_path}/\\xff: TensorFlow and Arrow open no path that is not UTF-8; name another folder\n"
    )


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({"PYTHONIOENCODING": "ascii"}, marks=pytest.mark.slow),
        {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"},
    ],
)
def test_a_terminal_that_is_not_utf_8_shows_what_it_can(tmp_path: Path, variables: dict[str, str]) -> None:
    (tmp_path / "größe").mkdir()
    (tmp_path / "größe" / "trips.csv").write_text("größe,tips\n" + "1,2\n" * 60)
    data = ("taxi", "--data", str(tmp_path / "größe"), "--until", "ingest", "--param", "train_steps=1")
    done = _command(tmp_path / "root", "run", *data, **variables)
    assert done.returncode == 65, "equal rows are all in one split"
    assert "> ingest" in done.stdout
    assert "x ingest" in done.stdout
    assert "Traceback" not in done.stderr
    assert done.stdout.isascii()
    tree = _command(tmp_path / "root", "runs", **variables)
    assert (tree.returncode, tree.stdout.isascii()) == (0, True)


def _command(root: Path, command: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    given = arguments or (("taxi", "--data", str(ROOT)) if command == "run" else ())
    # Python asks for its encoding once, when it begins.
    return call("--root", str(root), command, *given, anew=bool(variables), timeout=120, **variables)
