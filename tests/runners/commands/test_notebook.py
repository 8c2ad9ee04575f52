"""`notebook`: writes one where there is none, and opens JupyterLab with it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from runners.local import environments
from runners.terminal import foreground
from tests.runners.cluster_support import call
from tests.support import MILLRACE


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """What would be started in place of JupyterLab."""
    calls: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(environments, "prepare_for", lambda *_: None)
    monkeypatch.setattr(foreground, "run", lambda *given: calls.append(given) or 0)
    return calls


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "settings.yaml").write_text("{}")
    return tmp_path / "mine"


def test_a_notebook_is_written_once_beside_the_model(
    started: list[tuple[list[str], dict[str, str]]], mine: Path, tmp_path: Path
) -> None:
    said = call("--root", tmp_path / "root", "notebook", mine, "--no-browser", "--port", 9000)
    assert said.exit_code == 0
    assert said.lines[0].endswith("mine.ipynb (new)")
    (mine / "mine.ipynb").write_text("{}")
    said = call("notebook", mine)
    assert said.lines[0].endswith("mine.ipynb")
    assert (mine / "mine.ipynb").read_text() == "{}"
    (first, variables), (second, _) = started
    # The address that is told has it too.
    assert "--LabApp.default_url=/lab/tree/mine.ipynb" in first
    assert f"--ServerApp.root_dir={mine}" in first
    assert {"--no-browser", "--ServerApp.port=9000"} <= set(first)
    assert "--no-browser" not in second
    assert variables["MILLRACE_ROOT"] == str(tmp_path / "root")


def test_of_a_model_of_the_project_it_lies_here(
    started: list[tuple[list[str], dict[str, str]]], tmp_path: Path
) -> None:
    os.chdir(tmp_path)
    assert call("notebook", "taxi").lines[0] == "notebook  taxi.ipynb (new)"
    (tmp_path / "taxi.ipynb").unlink()
    (tmp_path / "taxi.ipynb").mkdir()
    refused = call("notebook", "taxi")
    assert (refused.exit_code, refused.error) == (
        65,
        "taxi.ipynb: this is no file; move it away, and a notebook is written there",
    )
    assert call("notebook", "taxy").exit_code == 65
    assert len(started) == 1


@pytest.mark.slow
def test_jupyterlab_answers_and_ends_by_ctrl_c(mine: Path, tmp_path: Path) -> None:
    said = tmp_path / "said.txt"
    with said.open("w") as output:
        process = subprocess.Popen(
            [MILLRACE, "notebook", str(mine), "--no-browser"], stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 180
        while not (address := re.search(r"http://127\.0\.0\.1:\S+", said.read_text())):
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(0.2)
        with urllib.request.urlopen(address[0], timeout=60) as answer:
            assert answer.status == 200
            # It asks nobody whether it may fetch news.
            assert "apputils-extension:announcements" in answer.read().decode()
        assert "/lab/tree/mine.ipynb?token=" in address[0]
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert said.read_text().splitlines()[-1] == "ended"
    finally:
        process.kill()
