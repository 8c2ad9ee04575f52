"""`serve`: what it starts, and with a real server, which `ask` then asks, the whole way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from runners.local import environments
from runners.terminal import foreground
from tests.runners.cluster_support import call
from tests.support import MILLRACE, ROOT


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A model of which an empty version was pushed."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "settings.yaml").write_text("{}")
    (tmp_path / "root" / "serving" / "mine" / "3").mkdir(parents=True)
    return tmp_path / "mine"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines that would be run."""
    calls: list[list[str]] = []
    monkeypatch.setattr(environments, "prepare_for", lambda *_: None)
    monkeypatch.setattr(environments, "interpreter", lambda name: Path(f"/{name}/python"))
    monkeypatch.setattr(foreground, "run", lambda command, variables, begun: calls.append(command) or 0)
    monkeypatch.setenv("PATH", "/nowhere")
    return calls


def free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


def test_the_built_in_server_is_started(started: list[list[str]], mine: Path, tmp_path: Path) -> None:
    rest, grpc = free_ports()
    said = call("--json", "--root", tmp_path / "root", "serve", mine, "--port", rest, "--grpc-port", grpc)
    folder = tmp_path / "root" / "serving" / "mine"
    document = json.loads(said.out)
    assert {name: document[name] for name in ("model", "directory", "address", "version")} == {
        "model": "mine", "directory": str(folder), "address": f"http://127.0.0.1:{rest}", "version": 3,
    }  # fmt: skip
    [command] = started
    assert command[:3] == ["/serving/python", "-m", "model_server"]
    assert set(command[3:]) >= {
        "--model_name=mine", f"--model_base_path={folder}", f"--port={grpc}", f"--rest_api_port={rest}",
        "--address=127.0.0.1",
    }  # fmt: skip
    assert f"mine from {folder}, by the built-in server (KServe); Ctrl-C ends it" in said.err


def test_tensorflow_serving_where_it_is(
    started: list[list[str]], mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "tensorflow_model_server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("MILLRACE_MODEL_SERVER", str(program))
    rest, grpc = free_ports()
    ports = ("--port", rest, "--grpc-port", grpc)
    said = call("--root", tmp_path / "root", "serve", mine, *ports)
    assert "by TensorFlow Serving" in said.err + said.out
    assert call("--root", tmp_path / "root", "serve", mine, *ports, "--server", "kserve").exit_code == 0
    assert [command[0] for command in started] == [str(program), "/serving/python"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--server", "tensorflow"], "tensorflow_model_server is not on the path"),
        (["--candidate", "tree"], "--candidate tree: no such candidate is pushed"),
        (["--serving-directory", "nowhere"], "nowhere: nothing was pushed here yet"),
        (["--address", "192.0.2.1"], "--address 192.0.2.1: no address of this machine"),
    ],
)
def test_bad_input(started: list[list[str]], mine: Path, tmp_path: Path, options: list[str], said: str) -> None:
    rest, grpc = free_ports()
    called = call("--root", tmp_path / "root", "serve", mine, "--port", rest, "--grpc-port", grpc, *options)
    assert called.exit_code == 65
    assert said in called.err
    assert started == []


def test_a_port_that_is_taken(started: list[list[str]], mine: Path, tmp_path: Path) -> None:
    rest, grpc = free_ports()
    for option, port in (("--port", rest), ("--grpc-port", grpc)):
        with socket.create_server(("127.0.0.1", port)):
            called = call("--root", tmp_path / "root", "serve", mine, "--port", rest, "--grpc-port", grpc)
        assert called.exit_code == 65
        assert f"{option} {port}: another program listens there on 127.0.0.1; name another port" in called.err


_EXPORT = """
import sys, tensorflow as tf
class Model(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def answer(self, x): return {"outputs": x * 2}
made = Model()
tf.saved_model.save(made, sys.argv[1], signatures={"serving_default": made.answer})
"""


@pytest.mark.slow
def test_a_model_is_served_and_asked(mine: Path, tmp_path: Path) -> None:
    python = ROOT / ".venv" / "serving" / "bin" / "python"
    if not environments.is_made(environments.SERVING):
        pytest.skip("needs the environment of the model server (make serving-environment)")
    version = tmp_path / "root" / "serving" / "mine" / "3"
    subprocess.run([str(python), "-c", _EXPORT, str(version)], check=True, capture_output=True)
    rest, grpc = free_ports()
    options = ["--root", str(tmp_path / "root"), "serve", str(mine), "--port", str(rest), "--grpc-port", str(grpc)]
    log = tmp_path / "log"
    with log.open("wb") as output:
        server = subprocess.Popen([MILLRACE, *options], stdout=output, stderr=output, env=dict(os.environ))
    try:
        _wait(log, "version 3 answers")
        assert f"page      http://127.0.0.1:{rest}/" in log.read_text()
        assert _ask(mine, rest, "--row", '{"x": 4}') == (3, [8.0])
        # The same model under a new number, as a rollback makes it, is served without a stop.
        version.rename(version.with_name("4"))
        _wait(log, "version 4 answers")
        assert _ask(mine, rest, "--row", '{"x": 5}') == (4, [10.0])
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.wait()


def _ask(model: Path, port: int, *options: str) -> tuple[int, list[Any]]:
    said = call("--json", "ask", model, "--url", f"http://127.0.0.1:{port}", *options)
    found = json.loads(said.out)
    return found["version"], found["predictions"]


def _wait(log: Path, text: str) -> None:
    end = time.monotonic() + 300
    while text not in log.read_text(errors="replace"):
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)
