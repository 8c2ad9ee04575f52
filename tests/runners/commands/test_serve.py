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
import urllib3

from runners.local import environments
from runners.terminal import foreground
from tests.runners.cluster_support import Called, call
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


def _served(mine: Path, root: Path, *options: object) -> Called:
    rest, grpc = free_ports()
    return call("--root", root, "serve", mine, "--port", rest, "--grpc-port", grpc, *options)


def test_predictions_are_logged_where_that_is_asked_for(started: list[list[str]], mine: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    _served(mine, root)
    assert not [option for option in started[0] if option.startswith("--prediction_log")]
    said = _served(mine, root, "--log", tmp_path / "logs", "--log-share", 0.25, "--log-redact", "name, street")
    assert f"logged: 25% of the requests, in {tmp_path}/logs/mine" in said.err + said.out
    assert set(started[1]) >= {
        f"--prediction_log={tmp_path}/logs", "--prediction_log_share=0.25", "--prediction_log_redact=name,street",
        "--prediction_log_megabytes=1000",
    }  # fmt: skip
    (mine / "settings.yaml").write_text("serving: {log: {redact: [name], megabytes: 50}}")
    _served(mine, root)
    assert set(started[2]) >= {
        f"--prediction_log={root}/predictions", "--prediction_log_share=0.1", "--prediction_log_redact=name",
        "--prediction_log_megabytes=50",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "options", "said"),
    [
        ("{}", ["--log-share", "0.5"], "nothing is logged; say where with --log, or log in the section serving"),
        ("{}", ["--log", "logs", "--server", "tensorflow"], "TensorFlow Serving does not log predictions"),
        ("serving: {log: {share: 1.5}}", [], "serving.log.share"),
        ("serving: {log: {redact: ['a,b']}}", [], "serving.log.redact"),
        ("serving: {logs: {}}", [], "logs"),
        ("{}", ["--log", "/dev/null"], "--log /dev/null: /dev/null/mine cannot be made or written (Not a directory)"),
        ("{}", ["--log", "/proc/logs"], "cannot be made or written (No such file or directory); name another folder"),
        ("serving: {log: {folder: /dev/null}}", [], "serving.log in settings.yaml: /dev/null/mine cannot be made"),
    ],
)
def test_a_log_that_there_cannot_be(
    settings: str, options: list[str], said: str, started: list[list[str]], mine: Path, tmp_path: Path
) -> None:
    (mine / "settings.yaml").write_text(settings)
    called = _served(mine, tmp_path / "root", *options)
    assert (called.exit_code, started) == (65, [])
    assert said in called.error


def test_requests_are_put_together_where_that_is_asked_for(
    started: list[list[str]], mine: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    _served(mine, root)
    _served(mine, root, "--batch", 64)
    _served(mine, root, "--batch", 64, "--batch-ms", 2, "--batch-waiting", 9)
    told = [[option for option in command if option.startswith("--batch")] for command in started]
    assert told == [
        [], ["--batch_rows=64"], ["--batch_rows=64", "--batch_milliseconds=2.0", "--batch_waiting=9"],
    ]  # fmt: skip
    for options, said in (
        (["--batch-ms", 2], "requests are not put together; say of how many rows at most with --batch"),
        (["--batch", 8, "--server", "tensorflow"], "TensorFlow Serving is told how to batch in a file of its own"),
    ):
        called = _served(mine, root, *options)
        assert (called.exit_code, len(started)) == (65, 3)
        assert said in called.error


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


@pytest.mark.slow
def test_what_a_server_logged_and_was_told_is_trained_on(mine: Path, tmp_path: Path) -> None:
    """The loop: asked, logged, labelled by the page's endpoint and by a file, and read by ingest as the next span."""
    python = ROOT / ".venv" / "serving" / "bin" / "python"
    if not environments.is_made(environments.SERVING):
        pytest.skip("needs the environment of the model server (make serving-environment)")
    root = tmp_path / "root"
    version = root / "serving" / "mine" / "3"
    subprocess.run([str(python), "-c", _EXPORT, str(version)], check=True, capture_output=True)
    rest, grpc = free_ports()
    ports = ["--port", str(rest), "--grpc-port", str(grpc)]
    options = ["--root", str(root), "serve", str(mine), *ports, "--log", str(root / "predictions"), "--log-share", "1"]
    log, labels = tmp_path / "log", tmp_path / "labels.csv"
    with log.open("wb") as output:
        server = subprocess.Popen([MILLRACE, *options], stdout=output, stderr=output, env=dict(os.environ))
    try:
        _wait(log, "version 3 answers")
        address = f"http://127.0.0.1:{rest}/v1/models/mine"
        ids = []
        for x in range(40):
            answer = urllib3.request("POST", f"{address}:predict", body=json.dumps({"instances": [{"x": x / 2}]}))
            ids.append(answer.headers["X-Prediction-Id"])
        told = {"prediction_id": ids[1], "label": 7, "kind": "corrected"}
        assert urllib3.request("POST", f"{address}/feedback", body=json.dumps(told)).status == 200
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.wait()
    labels.write_text("prediction_id,y\n" + "".join(f"{each},{row}\n" for row, each in enumerate(ids)))
    made = ["--root", root, "feedback", mine, "--label", "y", "--json"]
    # By what the server was told, then by the file, which has the same prediction once more.
    assert call(*made).document["rows"] == 1
    found = call(*made, "--labels", labels).document
    assert (found["span"], found["rows"], found["already"]) == (2, 39, 1)
    ran = call("--root", root, "run", mine, "--data", mine / "data" / "span-{SPAN}", "--until", "statistics", "--json")
    assert ran.exit_code == 0, ran.err
    tasks = {task["task"]: task for task in ran.document["tasks"]}
    assert (tasks["ingest"]["rows"], tasks["statistics"]["state"]) == (39, "done")
    lines = "\n".join(call("--root", root, "lineage", mine / "data" / "span-2", "--down").lines)
    assert "ingest in mine-" in lines


def _ask(model: Path, port: int, *options: str) -> tuple[int, list[Any]]:
    said = call("--json", "ask", model, "--url", f"http://127.0.0.1:{port}", *options)
    found = json.loads(said.out)
    return found["version"], found["predictions"]


def _wait(log: Path, text: str) -> None:
    end = time.monotonic() + 300
    while text not in log.read_text(errors="replace"):
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)
