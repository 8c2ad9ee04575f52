"""Beam's job servers, and pools of workers that see nothing of the stage but what lies at a shared place."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import ROOT

BUILT = ROOT / "build"
_MAIN_CLASSES = {
    "flink": "org.apache.beam.runners.flink.FlinkJobServerDriver",
    "spark": "org.apache.beam.runners.spark.SparkJobServerDriver",
}
JOB_SERVERS = ("prism", *_MAIN_CLASSES)
"""In `BUILT`: a program, and folders of Java archives."""

_START_SECONDS = 60


@dataclass(frozen=True)
class Workers:
    """A job server with a pool of workers.

    Attributes:
      options: Beam's, by which a stage uses them.
      server: the job server's process.
      pool: the pool's process, which leads the group of the workers.
    """

    options: list[str]
    server: subprocess.Popen[bytes]
    pool: subprocess.Popen[bytes]


def built(*names: str) -> list[str]:
    """Which of these job servers there are; skips the test where there is none."""
    found = [name for name in names if (BUILT / name).exists()]
    if not found:
        pytest.skip("needs a job server: `make prism` builds one where Go is, `make job-servers` two where Maven is")
    return found


def _serves(name: str, jobs: int, artifacts: int, folder: Path) -> list[str]:
    """The command of a job server."""
    if name == "prism":
        return [str(BUILT / name), f"--job_port={jobs}", "--serve_http=false"]
    java = ["java", f"@{ROOT / 'tests' / 'job_servers' / 'java_options'}"]
    ports = [f"--job-port={jobs}", f"--artifact-port={artifacts}", "--expansion-port=0", "--job-host=localhost"]
    return [*java, "-cp", f"{BUILT / name}/*", _MAIN_CLASSES[name], *ports, f"--artifacts-dir={folder}"]


@contextmanager
def workers(
    folder: Path,
    environment: str,
    hidden: Path,
    server: str,
    more: Mapping[str, str] = {},
) -> Iterator[Workers]:
    """Starts a job server, and a pool of an environment with the code alone, as it is in a stage's image.

    Args:
      folder: for logs, and for the files of the pool.
      environment: whose packages the workers have.
      hidden: a folder that they see empty, where this process may mount.
      server: of `JOB_SERVERS`.
      more: variables of the workers.
    """
    home = folder / f"{server}-{environment}"
    app = home / "app"
    app.mkdir(parents=True)
    shutil.copytree(ROOT / "components", app / "components", ignore=shutil.ignore_patterns("__pycache__"))
    variables = {
        "PATH": f"{ROOT}/.venv/{environment}/bin:/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": str(app),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_USE_LEGACY_KERAS": "0",
        # What another of OpenBLAS's kernels computes differs in the last bits.
        **{name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")},
        **more,
    }
    jobs, artifacts, pool = _free_port(), _free_port(), _free_port()
    if server == "prism":
        artifacts = jobs
    serve = ["python", "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={pool}"]
    with (home / "server.log").open("wb") as server_log, (home / "pool.log").open("wb") as pool_log:
        serving = subprocess.Popen(
            _serves(server, jobs, artifacts, home / "staged"), cwd=home, stdout=server_log, stderr=server_log
        )
        started = subprocess.Popen(
            [*_without(hidden), *serve],
            cwd=app,
            env=variables,
            stdout=pool_log,
            stderr=pool_log,
            start_new_session=True,
        )
        try:
            for port in (jobs, pool):
                _wait_for(port)
            yield Workers(
                [
                    "--runner=PortableRunner",
                    f"--job_endpoint=localhost:{jobs}",
                    f"--artifact_endpoint=localhost:{artifacts}",
                    "--environment_type=EXTERNAL",
                    f"--environment_config=localhost:{pool}",
                ],
                serving,
                started,
            )
        finally:
            # The pool's workers are in its group, and do not end with it.
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            serving.kill()
            started.wait()
            serving.wait()


def _without(hidden: Path) -> list[str]:
    """The beginning of a command that sees a folder empty; none where this process may not mount."""
    # (The words behind $0 are the command.)
    inside = 'mount -t tmpfs tmpfs "$0" && exec "$@"'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", inside, str(hidden)]
    allowed = shutil.which("unshare") and subprocess.run([*command, "true"], check=False, capture_output=True)
    return command if allowed and allowed.returncode == 0 else []


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port: int = free.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("localhost", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
