"""How the workers of a training find each other, before TensorFlow has any say."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from components.runtime.module_file import workers
from components.train import worker_processes
from tests.support import ROOT

# A worker that says it is there, and prints when all are.
WORKER = "from components.train import worker_processes as w\nwhile not w._told_to_go(): pass\nprint('go')"


def test_the_chief_waits_for_all_workers_while_its_process_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    addresses = [f"127.0.0.1:{port}", "127.0.0.1:1", "127.0.0.1:2"]
    monkeypatch.setenv(workers.VARIABLE, workers.configuration(addresses, 0))
    monkeypatch.setattr(worker_processes, "_SAYS_SECONDS", 0.2)
    chief = threading.Thread(target=worker_processes._gather, daemon=True)
    chief.start()

    def begun(index: int) -> subprocess.Popen[str]:
        variables = os.environ | {workers.VARIABLE: workers.configuration(addresses, index)}
        command = [sys.executable, "-c", WORKER]
        return subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True)

    first = begun(1)
    # One that is lost before the others are there, one that says nothing, and one that is none of them.
    for said in ((2).to_bytes(2), b"", (7).to_bytes(2)):
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as other:
                    other.sendall(said)
                break
            except OSError:
                assert chief.is_alive()
    chief.join(0.5)
    assert chief.is_alive()
    assert first.poll() is None
    second = begun(2)
    chief.join(20)
    assert not chief.is_alive()
    assert [each.communicate(timeout=20)[0] for each in (first, second)] == ["go\n", "go\n"]


def ended(program: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A chief, which gives up soon."""
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_a_chief_whose_workers_do_not_come_gives_up() -> None:
    given_up = "from components.train import worker_processes as w; w._FOUND_SECONDS = 0.3; w._find_each_other()"
    done = ended(given_up, {workers.VARIABLE: workers.configuration(["127.0.0.1:0", "127.0.0.1:1"], 0)})
    assert done.returncode == 75
    assert done.stderr.startswith("error: not all of 2 workers were there within 0 minutes; see why their pods do not")


# A worker that is killed before it can say that it is there, for which the chief would wait.
KILLED = """
import os, signal
from components.runtime.stage import scratch
from components.train import kubeflow_workers, worker_processes as w
kubeflow_workers.NOTICED_SECONDS = 0.1
w.become = lambda log: (log.write_text("it was here\\n"), os.kill(os.getpid(), signal.SIGKILL))
with scratch.scratch(), w.together(2, None):
    pass
"""


def test_a_chief_whose_worker_is_killed_at_once_leaves_nothing(tmp_path: Path) -> None:
    done = ended(KILLED, {"TMPDIR": str(tmp_path)})
    assert done.returncode == 75
    assert done.stderr.startswith("it was here\nerror: worker 1 of 2 was ended by SIGKILL; ")
    assert list(tmp_path.iterdir()) == []
