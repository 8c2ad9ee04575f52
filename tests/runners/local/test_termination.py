"""Ctrl-C and SIGTERM at any moment of a command and of a run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.runtime.launch import execution, workplace
from components.runtime.records import run_record
from runners.compiled.ir import documents, read
from runners.history.pages import run_report
from runners.history.records import list_runs, load_run
from runners.history.run_folders import OWNER_LOCK
from runners.local.recording import Recording
from runners.local.resolving import Resolver
from runners.local.run import LocalRun
from runners.local.termination import Interruptions
from tests.runners.local.test_exit_handler import Silent, run, states
from tests.runners.local.test_local_run import ir
from tests.support import ROOT

__all__ = ["ir"]

SIGNALS = [signal.SIGINT, signal.SIGTERM]


def _ended_by(sign: signal.Signals, program: str) -> tuple[int, str]:
    """Exit code and standard error of a program that sends itself a signal by `kill()`."""
    head = f"import os, sys\ndef kill():\n    os.kill(os.getpid(), {int(sign)})\n"
    ended = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(program)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("sign", SIGNALS)
def test_a_command_is_ended_with_one_line_while_it_is_imported(sign: signal.Signals) -> None:
    program = """
        import runpy
        class Finder:
            def find_spec(self, name, *_):
                if name == "runners.commands.cli":
                    kill()
        sys.meta_path.insert(0, Finder())
        runpy.run_module("runners.commands.main", run_name="__main__")
    """
    assert _ended_by(sign, program) == (130, "interrupted\n")


@pytest.mark.parametrize("sign", SIGNALS)
@pytest.mark.parametrize(
    "body",
    [
        "kill()",
        "import atexit; atexit.register(kill); sys.exit(0)",
        "import threading; threading._register_atexit(kill)",
        "try: kill()\n    except KeyboardInterrupt: kill()",
    ],
)
def test_a_command_is_ended_with_one_line_in_its_work_and_at_its_end(sign: signal.Signals, body: str) -> None:
    program = f"from runners.local.termination import command\ndef body():\n    {body}\ncommand(body)\n"
    assert _ended_by(sign, program) == (130, "interrupted\n")


def test_what_is_told_to_ignore_ctrl_c_does() -> None:
    program = """
        import signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        from runners.local.termination import command
        command(kill)
    """
    assert _ended_by(signal.SIGINT, program) == (0, "")


def test_an_interruption_waits_for_its_place_and_is_told_once() -> None:
    with Interruptions() as interruptions:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), interruptions.heeded():
            pytest.fail("it was there before")
        with interruptions.heeded():
            pass
        with pytest.raises(KeyboardInterrupt), interruptions.heeded():
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert interruptions.count == 3
        with pytest.raises(KeyboardInterrupt):
            interruptions.__exit__(None, None, None)
        interruptions.__enter__()
        interruptions._told = interruptions.count


def _interrupting(place: Any, name: str, times: int, after: bool, patch: pytest.MonkeyPatch) -> None:
    """Sends Ctrl-C before or after a call in the first thread, the given one of them."""
    original: Callable[..., Any] = getattr(place, name)
    calls: list[str] = []

    def call(*arguments: Any, **named: Any) -> Any:
        mine = threading.current_thread() is threading.main_thread()
        calls.extend([name] * mine)
        strikes = mine and len(calls) == times
        if strikes and not after:
            os.kill(os.getpid(), signal.SIGINT)
        value = original(*arguments, **named)
        if strikes and after:
            os.kill(os.getpid(), signal.SIGINT)
        return value

    patch.setattr(place, name, call)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("place", "name", "times"),
    [
        (Recording, "_begin_record", 1),
        (run_record, "write", 1),
        (run_record, "write", 2),
        (workplace, "sweep", 1),
        (execution, "find", 1),
        (Resolver, "task", 1),
        (Recording, "change", 1),
        (threading.Thread, "start", 1),
        (LocalRun, "_run_exit_tasks", 1),
        (Recording, "finish", 1),
    ],
)
def test_a_run_that_is_interrupted_anywhere_is_interrupted(
    place: Any, name: str, times: int, after: bool, tmp_path: Path, ir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = read(documents(ir)[0])
    late = name in ("_run_exit_tasks", "finish")
    made = LocalRun(tmp_path, pipeline, ir, {"seconds": 0.0}, Silent())
    _interrupting(place, name, times, after, monkeypatch)
    try:
        code = made.run()
    except KeyboardInterrupt:
        assert late, "the run was left half-way"
        code = 130
    assert code == 130
    record = json.loads((made.folder / "run.json").read_text())
    assert (record["state"], record["exit_code"]) == (("done", 0) if late else ("stopped", 130))
    assert not {"running", "waiting", "failed"} & set(states(record).values())
    if name in ("start", "change"):
        assert record["error"] == "stopped in write"
    assert load_run(tmp_path).state == record["state"]
    assert not list(tmp_path.glob("runs/*/.*"))
    assert not list(tmp_path.glob("artifacts/*/*/.*"))


def test_a_killed_run_without_a_record_is_swept(tmp_path: Path, ir: str) -> None:
    run(tmp_path, ir)
    (good,) = list_runs(tmp_path)
    names = ["before-its-lock", "before-its-record", "just-now", "of-argo"]
    for name in names:
        folder = good.folder.with_name(name)
        folder.mkdir()
        if name != "before-its-lock":
            (folder / OWNER_LOCK).touch()
            (folder / ".run.json.17.part").write_text("{")
        if name == "of-argo":
            (folder / "tasks").mkdir()
        if name != "just-now":
            os.utime(folder, (1, 1))
    run(tmp_path, ir)
    left = {folder.name for folder in (tmp_path / "runs").iterdir()} - {each.id for each in list_runs(tmp_path)}
    assert left == {"just-now"}
    assert (good.folder.parent / "of-argo").exists()


def test_a_report_that_is_interrupted_leaves_no_part_of_one(
    tmp_path: Path, ir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, ir)
    found = load_run(tmp_path)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    monkeypatch.setattr(shutil, "move", stop)
    with pytest.raises(KeyboardInterrupt):
        run_report.write(tmp_path, found.id)
    with pytest.raises(KeyboardInterrupt):
        run_record.write(found.folder, {"parameters": {}})
    assert not list(found.folder.glob(".*"))
