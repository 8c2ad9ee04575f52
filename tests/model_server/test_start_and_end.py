"""How the server starts, refuses to, and ends: processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import urllib3

from tests.model_server.conftest import MODEL, serving
from tests.support import ROOT


def _start(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "model_server", *options]
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
def test_a_folder_that_comes_later_is_served_then(models: dict[int, Path], tmp_path: Path) -> None:
    folder = tmp_path / "later"
    with serving(folder) as server:
        address = f"{server.client.address}/v2"
        end = time.monotonic() + 120
        live = 0
        while live != 200 and time.monotonic() < end:
            time.sleep(0.1)
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                live = urllib3.request("GET", f"{address}/health/live", retries=False).status
        ready = urllib3.request("GET", f"{address}/models/{quote(MODEL)}/ready", retries=False).status
        assert (live, ready) == (200, 503)
        folder.mkdir()
        shutil.copytree(models[1], folder / "1")
        server.wait_until_ready(120)
        assert urllib3.request("GET", f"{address}/models/{quote(MODEL)}/ready", retries=False).status == 200
    log = folder.with_suffix(".log").read_text()
    assert "no such folder yet" in log
    assert "Traceback" not in log, "a refusal is no fault of the server's"


@pytest.mark.slow
def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for options in ((f"--port={port}", "--rest_api_port=0"), ("--port=0", f"--rest_api_port={port}")):
            ended = _start(f"--model_base_path={tmp_path}", *options)
            assert ended.returncode == 69
            errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
            assert len(errors) == 1
            assert errors[0].startswith("error: cannot listen on 127.0.0.1")
            assert "Traceback" not in ended.stderr


def test_a_log_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = _start(f"--model_base_path={tmp_path}", "--model_name=mine", f"--prediction_log={tmp_path}/file")
    assert ended.returncode == 65
    [said] = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert said.startswith(f"error: --prediction_log: {tmp_path}/file/mine cannot be made or written (Not a directory)")
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_what_is_open_is_answered_before_the_end(models: dict[int, Path], tmp_path: Path) -> None:
    folder = tmp_path / "served"
    folder.mkdir()
    shutil.copytree(models[1], folder / "1")
    with serving(folder) as server:
        server.wait_until_ready(300)
        # So many steps as take some seconds here.
        steps, seconds = 1000, 0.0
        while seconds < 1:
            steps *= 2
            begun = time.monotonic()
            assert _ask(server.client.address, steps).status == 200
            seconds = time.monotonic() - begun
        found: list[Any] = []
        asking = threading.Thread(target=lambda: found.append(_ask(server.client.address, steps)))
        asking.start()
        time.sleep(0.3)
        server.process.terminate()
        asking.join()
        assert found[0].status == 200
        assert "outputs" in json.loads(found[0].data)
        assert server.process.wait(60) == 0


def _ask(address: str, steps: int) -> urllib3.BaseHTTPResponse:
    body = json.dumps({"signature_name": "slow", "inputs": steps}).encode()
    url = f"{address}/v1/models/{quote(MODEL)}:predict"
    return urllib3.request("POST", url, body=body, timeout=120, retries=False)
