"""Beam's portable runner Prism, and pools of workers that see nothing of the stage but what lies at a shared place."""

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

PRISM = ROOT / "build" / "prism"
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


def prism() -> Path:
    """The program; skips the test where nobody has built it."""
    if not PRISM.is_file():
        pytest.skip("needs build/prism, which `make prism` builds where Go is")
    return PRISM


@contextmanager
def workers(
    folder: Path,
    environment: str,
    hidden: Path,
    more: Mapping[str, str] = {},
) -> Iterator[Workers]:
    """Starts a job server, and a pool of an environment with the code alone, as it is in a stage's image.

    Args:
      folder: for logs, and for the files of the pool.
      environment: whose packages the workers have.
      hidden: a folder that they see empty, where this process may mount.
      more: variables of theirs.
    """
    home = folder / f"pool-{environment}"
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
    jobs, pool = _free_port(), _free_port()
    serve = ["python", "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={pool}"]
    with (home / "prism.log").open("wb") as server_log, (home / "pool.log").open("wb") as pool_log:
        server = subprocess.Popen(
            [str(prism()), f"--job_port={jobs}", "--serve_http=false"], stdout=server_log, stderr=server_log
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
                    f"--artifact_endpoint=localhost:{jobs}",
                    "--environment_type=EXTERNAL",
                    f"--environment_config=localhost:{pool}",
                ],
                server,
                started,
            )
        finally:
            # The pool's workers are in its group, and do not end with it.
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            server.kill()
            started.wait()
            server.wait()


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
