"""Real database servers for tests, each on a port of its own, with an empty database and a password."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support import ROOT

PASSWORD = "s3cret pass'word/%&@"
DATABASE = "millrace"
_WHEEL = ROOT / ".venv" / "servers" / "pgserver" / "pginstall" / "bin"
"""Where `make test` puts PostgreSQL, whatever the machine has."""
_DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
_START_SECONDS = 30


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@contextlib.contextmanager
def _folder() -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder for a server's data, and whom it runs as: no server takes root."""
    with tempfile.TemporaryDirectory(prefix="millrace-server-") as name:
        folder = Path(name)
        whom = {}
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
            whom = {"user": "nobody"}
        yield folder, whom


@contextlib.contextmanager
def _running(
    command: list[str], whom: Mapping[str, str], log: Path, port: int, ending: int = signal.SIGTERM
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as stream:
        server = subprocess.Popen(command, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL, **whom)  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            ended = server.poll() is not None or time.monotonic() > deadline
            assert not ended, log.read_text(errors="replace")
            time.sleep(0.05)
        yield server
    finally:
        server.send_signal(ending)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def psql(source: Mapping[str, object], *commands: str, rows: str = "") -> str:
    """What PostgreSQL's own client prints for some commands; `rows` is what a COPY from stdin reads."""
    given = [option for command in commands for option in ("--command", command)]
    where = [f"--host={source['host']}", f"--port={source['port']}", f"--username={source['user']}"]
    done = subprocess.run(
        [str(_programs() / "psql"), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", *where,
         f"--dbname={source['database']}", *given],
        input=rows, capture_output=True, text=True, env=dict(os.environ) | {"PGPASSWORD": PASSWORD},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def _programs() -> Path:
    programs = next((folder for folder in (_WHEEL, *_DEBIAN) if (folder / "postgres").exists()), None)
    if programs is None:
        pytest.skip("needs PostgreSQL's server; `make test` gets it, or: apt-get install postgresql")
    return programs


@contextlib.contextmanager
def postgresql() -> Iterator[dict[str, object]]:
    """A PostgreSQL; what `source` says of it."""
    programs = _programs()
    with _folder() as (folder, whom):
        data, password = folder / "data", folder / "password"
        password.write_text(PASSWORD)
        if whom:
            shutil.chown(password, **whom)  # type: ignore[call-overload]
        made = subprocess.run(
            [programs / "initdb", "--pgdata", data, "--username", DATABASE, "--pwfile", password, "--no-sync",
             "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"],
            capture_output=True, text=True, **whom,  # type: ignore[call-overload]
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        port = free_port()
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(port)]
        for said in ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "timezone=Asia/Tokyo"):
            command += ["-c", said]
        # (By this signal it ends without waiting for who is connected.)
        with _running(command, whom, folder / "log", port, signal.SIGINT):
            yield {"kind": "postgresql", "host": "127.0.0.1", "port": port, "database": "postgres", "user": DATABASE}


@contextlib.contextmanager
def mariadb() -> Iterator[dict[str, object]]:
    """A MariaDB; what `source` says of it."""
    server, install = shutil.which("mariadbd"), shutil.which("mariadb-install-db")
    if not server or not install:
        pytest.skip("needs MariaDB's server: apt-get install mariadb-server")
    with _folder() as (folder, whom):
        data = folder / "data"
        whose = [f"--user={whom['user']}"] if whom else []
        made = subprocess.run(
            [install, "--no-defaults", *whose, f"--datadir={data}", "--auth-root-authentication-method=normal",
             "--skip-test-db"],
            capture_output=True, text=True,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr + made.stdout
        init = folder / "init.sql"
        quoted = PASSWORD.replace("'", "''")
        init.write_text(
            f"CREATE DATABASE {DATABASE};\nCREATE USER {DATABASE}@'127.0.0.1' IDENTIFIED BY '{quoted}';\n"
            f"GRANT ALL ON {DATABASE}.* TO {DATABASE}@'127.0.0.1';\n"
        )
        init.chmod(0o644)
        port = free_port()
        command = [server, "--no-defaults", *whose, f"--datadir={data}", f"--port={port}", "--bind-address=127.0.0.1"]
        command += [f"--socket={folder}/socket", f"--init-file={init}", "--skip-name-resolve"]
        command += ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M"]
        with _running(command, {}, folder / "log", port):
            yield {"kind": "mysql", "host": "127.0.0.1", "port": port, "database": DATABASE, "user": DATABASE}
