"""The warm process: real forks of a real process."""

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

from tests.support import ROOT


class Warm:
    """A warm process and its end of the conversation."""

    def __init__(self, folder: Path, preload: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "components.runtime.launch.warm", *preload],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def ask(self, number: int, module: str, *arguments: str, log: Path) -> None:
        assert self._process.stdin
        self._process.stdin.write(
            json.dumps({"id": number, "argv": ["-m", module, *arguments], "log": str(log)}).encode() + b"\n"
        )
        self._process.stdin.flush()

    def event(self) -> dict[str, Any]:
        assert self._process.stdout
        event: dict[str, Any] = json.loads(self._process.stdout.readline())
        return event

    def close(self) -> None:
        self._process.communicate(timeout=10)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(timeout=10)


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    (tmp_path / "heavy.py").write_text("import os\nIMPORTED_BY = os.getpid()\n")
    (tmp_path / "job.py").write_text(
        "import os, sys, time\nimport heavy\n"
        "print('imported here', heavy.IMPORTED_BY == os.getpid(), sys.argv[1:], flush=True)\n"
        "if sys.argv[1] == 'sleep':\n    time.sleep(60)\n"
        "if sys.argv[1] == 'raise':\n    raise ValueError('broken')\n"
        "sys.exit(int(sys.argv[1]))\n"
    )
    return tmp_path


def test_stages_are_forked_with_the_libraries_imported(modules: Path) -> None:
    warm = Warm(modules, ["heavy"])
    log = modules / "log"
    warm.ask(1, "job", "7", log=log)
    assert warm.event()["id"] == 1
    ended = warm.event()
    assert os.waitstatus_to_exitcode(ended["status"]) == 7
    assert ended["max_rss"] > 1_000_000
    assert log.read_text() == "imported here False ['7']\n"
    warm.close()


def test_no_garbage_is_looked_for_among_what_was_imported(modules: Path) -> None:
    (modules / "heavy.py").write_text("import gc\nCOLLECTED = gc.isenabled()\n")
    (modules / "job.py").write_text(
        "import gc, heavy\nprint(heavy.COLLECTED, gc.isenabled(), gc.get_freeze_count() > 1000)\n"
    )
    warm = Warm(modules, ["heavy"])
    warm.ask(1, "job", log=modules / "log")
    assert warm.event()["id"] == 1
    assert os.waitstatus_to_exitcode(warm.event()["status"]) == 0
    assert (modules / "log").read_text() == "False True True\n"
    warm.close()


def test_one_failing_stage_leaves_the_next_alone(modules: Path) -> None:
    warm = Warm(modules, ["heavy", "no_such_module"])
    warm.ask(1, "job", "raise", log=modules / "first")
    warm.event()
    assert os.waitstatus_to_exitcode(warm.event()["status"]) == 1
    assert "ValueError: broken" in (modules / "first").read_text()
    warm.ask(2, "job", "0", log=modules / "second")
    warm.event()
    assert os.waitstatus_to_exitcode(warm.event()["status"]) == 0
    warm.close()


def test_stages_end_with_the_warm_process_however_it_ends(modules: Path) -> None:
    warm = Warm(modules, ["heavy"])
    warm.ask(1, "job", "sleep", log=modules / "log")
    pid = warm.event()["pid"]
    while not (modules / "log").exists() or "imported" not in (modules / "log").read_text():
        time.sleep(0.02)
    warm.kill()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and _alive(pid):
        time.sleep(0.05)
    assert not _alive(pid)


def test_a_killed_stage_is_reported(modules: Path) -> None:
    warm = Warm(modules, ["heavy"])
    warm.ask(1, "job", "sleep", log=modules / "log")
    os.kill(warm.event()["pid"], signal.SIGKILL)
    assert os.waitstatus_to_exitcode(warm.event()["status"]) == -signal.SIGKILL
    warm.close()


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
