"""The folder for a stage's temporary files: whatever ends the stage, nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

# A stage that has made a file, says so, and does what it is told.
STAGE = """
import os, sys, tempfile
from components.runtime.launch import worker_forks
from components.runtime.stage import scratch
with scratch.scratch():
    open(tempfile.mkdtemp() + "/file", "w").close()
    print("made", flush=True)
    {does}
"""
WAITS = "sys.stdin.read()"


def begun(folder: Path, does: str) -> subprocess.Popen[str]:
    variables = os.environ | {"TMPDIR": str(folder)}
    process = subprocess.Popen(
        [sys.executable, "-c", STAGE.format(does=does)],
        cwd=ROOT,
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "made\n"
    return process


@pytest.mark.parametrize("does", ["pass", "sys.exit(65)", "worker_forks.end(75)"])
def test_a_stage_that_ends_takes_its_files_with_it(tmp_path: Path, does: str) -> None:
    with begun(tmp_path, does):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_stage_left_the_next_one_removes_and_nothing_of_a_living_one(tmp_path: Path) -> None:
    with begun(tmp_path, WAITS) as killed:
        killed.send_signal(signal.SIGKILL)
    [left] = tmp_path.iterdir()
    with begun(tmp_path, WAITS) as living:
        assert not left.exists()
        [its] = tmp_path.iterdir()
        with begun(tmp_path, "pass"):
            pass
        assert list(tmp_path.iterdir()) == [its]
        assert [file.name for file in its.rglob("file")] == ["file"]
        living.communicate("")
    assert list(tmp_path.iterdir()) == []


def test_what_a_stage_has_forked_keeps_its_files_until_it_ends(tmp_path: Path) -> None:
    forks = "if os.fork(): os._exit(0)\n    sys.stdin.read()"
    with begun(tmp_path, forks) as stage:
        stage.wait()
        [its] = tmp_path.iterdir()
        with begun(tmp_path, "pass"):
            pass
        assert list(its.rglob("file"))
        stage.communicate("")
    with begun(tmp_path, "pass"):
        pass
    assert list(tmp_path.iterdir()) == []
