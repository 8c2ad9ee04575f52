"""What a stage does in a pod of Kubeflow Pipelines besides its work: its message, its rights, further attempts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import ROOT

# Its places and waits are the test's; all else is as in a pod. An attempt anew starts this program again.
PROGRAM = """
import os, pathlib, sys
from components.runtime.errors import InputError, TransientError
from components.runtime.stage import executor, pod
folder = pathlib.Path(os.environ["FOLDER"])
pod.TERMINATION_LOG = folder / "message"
pod.WAITS = tuple(float(each) for each in os.environ["WAITS"].split())

def work():
    attempts = folder / "attempts"
    with attempts.open("a") as stream:
        stream.write(f"{os.getpid()}\\n")
    kind, *rest = (folder / "faults").read_text().split()
    (folder / "faults").write_text(" ".join(rest))
    if kind == "passing":
        raise TransientError("no room on the volume: free some")
    if kind == "input":
        raise InputError("wrong")
    if kind == "bug":
        raise ValueError("a bug")

sys.modules["components.work.work"] = type("Module", (), {"work": staticmethod(work)})
executor.run_stage("components.work.work:work")
"""


def _start(
    folder: Path, faults: str, waits: str = "0.01 0.02", by_file: bool = False, **variables: str
) -> subprocess.Popen[str]:
    (folder / "faults").write_text(faults)
    (folder / "message").touch()
    given = json.dumps({"outputs": {"outputFile": str(folder / "output.json")}})
    if by_file:
        (folder / "input.json").write_text(given)
        given = f"@{folder / 'input.json'}"
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "--executor-input", given],
        cwd=ROOT,
        env=os.environ | {"FOLDER": str(folder), "WAITS": waits} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        umask=0,
    )


def _ended(folder: Path, faults: str, by_file: bool = False, **variables: str) -> tuple[int, str, str, int]:
    """Exit code, output, errors, and how often it was tried."""
    process = _start(folder, faults, by_file=by_file, **variables)
    out, err = process.communicate(timeout=60)
    attempts = (folder / "attempts").read_text().split()
    assert len(set(attempts)) == 1, "always the same process"
    return process.returncode, out, err, len(attempts)


def test_a_passing_fault_is_tried_again_in_its_pod(tmp_path: Path) -> None:
    code, out, err, attempts = _ended(tmp_path, "passing passing none", KFP_POD_NAME="taxi-1-pod")
    assert (code, attempts) == (0, 3), err
    assert "progress: attempt 1 of 3 met a passing fault, tried again in 0.01 s: no room on the volume" in out
    assert "progress: attempt 2 of 3 met a passing fault, tried again in 0.02 s" in out
    assert "error:" not in out + err, "what has passed is no error of the task"
    assert (tmp_path / "message").read_text() == ""
    assert (tmp_path / "output.json").exists()


@pytest.mark.parametrize(
    ("faults", "code", "attempts", "line"),
    [
        ("passing passing passing none", 75, 3, "error: no room on the volume: free some"),
        ("passing input none", 65, 2, "error: wrong"),
        ("input none", 65, 1, "error: wrong"),
        ("bug none", 1, 1, "error: work: ValueError: a bug"),
    ],
)
def test_what_does_not_pass_ends_with_its_line_as_the_pods_message(
    faults: str, code: int, attempts: int, line: str, tmp_path: Path
) -> None:
    ended = _ended(tmp_path, faults, KFP_POD_NAME="taxi-1-pod")
    assert (ended[0], ended[3]) == (code, attempts)
    assert ended[2].splitlines()[-1] == line
    assert (tmp_path / "message").read_text() == line


@pytest.mark.parametrize(("by_file", "variables"), [(False, {}), (True, {"KFP_POD_NAME": "a-pod-that-runs-our-own"})])
def test_whoever_tries_tasks_again_himself_gets_one_attempt(
    by_file: bool, variables: dict[str, str], tmp_path: Path
) -> None:
    code, out, err, attempts = _ended(tmp_path, "passing none", by_file, **variables)
    assert (code, attempts, out) == (75, 1, "progress: started\n")
    assert err == "error: no room on the volume: free some\n"
    assert (tmp_path / "message").read_text() == "", "that is the launcher's"


def test_a_wait_ends_with_its_pod(tmp_path: Path) -> None:
    process = _start(tmp_path, "passing none", waits="60 60", KFP_POD_NAME="taxi-1-pod")
    assert process.stdout
    for line in process.stdout:
        if "tried again in 60 s" in line:
            break
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    assert time.monotonic() - begun < 20


def test_others_cannot_write_what_a_pod_wrote(tmp_path: Path) -> None:
    assert _ended(tmp_path, "none", KFP_POD_NAME="taxi-1-pod")[0] == 0
    assert (tmp_path / "output.json").stat().st_mode & 0o777 == 0o664


def test_a_message_has_the_length_that_kubernetes_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from components.runtime.stage import pod

    file = tmp_path / "message"
    monkeypatch.setattr(pod, "TERMINATION_LOG", file)
    pod.tell("no pod")
    assert not file.exists(), "it is never made"
    file.write_text("of an earlier attempt " * 300)
    pod.tell("error: " + "ü" * 5000)
    assert len(file.read_bytes()) == 4096
