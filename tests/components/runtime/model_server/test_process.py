"""A server as a process: programs that end, wait, and stay, in place of one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from components.runtime.errors import TransientError
from components.runtime.model_server.process import ServerError, started
from components.runtime.model_server.programs import TENSORFLOW, Program


def program(folder: Path, script: str) -> Program:
    file = folder / "server"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return Program(TENSORFLOW, (str(file),))


def test_its_last_words_are_told(tmp_path: Path) -> None:
    script = "for line in 1 2 3 4 5 6; do echo line $line; done; exit 9"
    made = program(tmp_path, script)
    with (
        started(made, "m", tmp_path, tmp_path / "log", dict(os.environ)) as server,
        pytest.raises(ServerError) as caught,
    ):
        server.wait_until_ready(20)
    assert str(caught.value) == "TensorFlow Serving ended with 9: line 2 / line 3 / line 4 / line 5 / line 6"


def test_it_is_not_waited_for_forever_and_ended(tmp_path: Path) -> None:
    with started(program(tmp_path, "exec sleep 100"), "m", tmp_path, tmp_path / "log", dict(os.environ)) as server:
        with pytest.raises(ServerError, match="was not ready after 0 s: it said nothing"):
            server.wait_until_ready(0.1)
        assert (server.peak_memory() or 0) > 0
    assert server.process.returncode == -15
    assert server.peak_memory() is None


def test_one_that_does_not_end_is_killed_with_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.runtime.model_server.process._STOP_SECONDS", 0.3)
    script = f"trap '' TERM; sleep 100 & echo $! > {tmp_path}/child; echo up > {tmp_path}/up; wait; sleep 100"
    with started(program(tmp_path, script), "m", tmp_path, tmp_path / "log", dict(os.environ)) as server:
        while not (tmp_path / "up").exists():
            time.sleep(0.02)
    assert server.process.returncode == -9
    child = Path("/proc") / (tmp_path / "child").read_text().strip() / "stat"
    assert not child.exists() or child.read_text().split()[2] == "Z"


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    gone = Program(TENSORFLOW, (str(tmp_path / "gone"),))
    with (
        pytest.raises(TransientError, match="gone cannot be started: No such file"),
        started(gone, "m", tmp_path, tmp_path / "log", {}),
    ):
        pass
