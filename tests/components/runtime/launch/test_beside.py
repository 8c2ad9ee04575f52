"""The container of a stage beside the launcher; Argo's side of it is played by processes."""

from __future__ import annotations

import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.runtime.errors import TransientError
from components.runtime.launch import beside
from components.runtime.launch.beside import Beside

# What Argo's executor does: waits for the file, runs the command, keeps what it prints, leaves its exit code.
EXECUTOR = """
import pathlib, subprocess, sys, time
folder, command = pathlib.Path(sys.argv[2]), sys.argv[3:]
while not (folder / "before").exists():
    time.sleep(0.02)
ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
for name, printed in (("stdout", ended.stdout), ("combined", ended.stdout + ended.stderr)):
    with open(folder / name, "ab") as stream:
        stream.write(printed)
code = ended.returncode
(folder / "exitcode.part").write_text(str(code))
(folder / "exitcode.part").rename(folder / "exitcode")
"""


class Pod:
    """A pod's folders, and the processes of its other container."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        for name, value in {
            "INPUTS": folder / "stage" / "inputs",
            "OUTPUTS": folder / "stage" / "outputs",
            "_ARGO": folder / "argo",
            "_POLL_SECONDS": 0.02,
        }.items():
            monkeypatch.setattr(beside, name, value)
        for name in ("stage", "workplace", "data", "argo/stage"):
            (folder / name).mkdir(parents=True)
        (folder / "data" / "rows").write_text("1\n2\n")
        # By this name the launcher knows it.
        (folder / "argoexec").symlink_to(sys.executable)
        self.beside = Beside({"rows": {"uri": str(folder / "data")}})
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        (self.folder / "emissary").write_text(EXECUTOR)
        words = [str(self.folder / "argoexec"), "emissary", "-", str(self.folder / "argo" / "stage"), *command]
        process = subprocess.Popen(words, executable=sys.executable, cwd=self.folder)
        self.processes.append(process)
        return process

    def run(self) -> Any:
        return self.beside.run([], self.folder / "log", self.folder / "workplace")


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    made = Pod(tmp_path, monkeypatch)
    # Those of other tests that run beside this one are none of its pod.
    every = Beside._executors
    monkeypatch.setattr(
        Beside, "_executors", lambda self: (one for one in every(self) if one in {p.pid for p in made.processes})
    )
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


def test_it_begins_when_its_inputs_are_there_and_its_code_is_taken(pod: Pod, capfd: pytest.CaptureFixture[str]) -> None:
    (pod.folder / "workplace").chmod(0o777)
    stage = "echo reads; echo no rows >&2; cat %s/stage/inputs/rows/rows > %s/stage/outputs/made; exit 3"
    pod.start("sh", "-c", "umask 0; " + stage % (pod.folder, pod.folder))
    completed = pod.run()
    assert (completed.exit_code, completed.start_up_seconds, completed.peak_memory_bytes) == (3, None, None)
    made = pod.folder / "workplace" / "made"
    assert made.read_text() == "1\n2\n"
    assert not made.stat().st_mode & stat.S_IWOTH
    # In the task's log on the volume, and in that of the launcher's container.
    assert (pod.folder / "log").read_text() == "reads\nno rows\n"
    assert capfd.readouterr().out == "progress: lets the container stage begin\nreads\nno rows\n"
    pod.beside.close()


def test_it_never_begins_where_the_cache_has_the_answer(pod: Pod) -> None:
    process = pod.start("touch", str(pod.folder / "begun"))
    time.sleep(0.2)
    pod.beside.close()
    assert process.wait(10) == -9
    assert not (pod.folder / "begun").exists()


def test_one_that_starts_late_is_waited_for(pod: Pod) -> None:
    threading.Timer(0.3, pod.start, ("true",)).start()
    assert pod.run().exit_code == 0


def test_one_that_was_lost_is_noticed_at_once(pod: Pod) -> None:
    process = pod.start("sleep", "60")
    threading.Timer(0.5, process.kill).start()
    threading.Timer(0.6, process.wait).start()
    begun = time.monotonic()
    with pytest.raises(TransientError, match="the container stage of the pod was lost"):
        pod.run()
    pod.beside.close()
    assert time.monotonic() - begun < 20


def test_one_that_does_not_start_is_not_waited_for_forever(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "_START_SECONDS", 0.1)
    with pytest.raises(TransientError, match=r"did not start within .*its image may not be there"):
        pod.run()
