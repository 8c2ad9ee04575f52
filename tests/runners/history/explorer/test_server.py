"""The small server of the explorer, started as a person does and ended by Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners import PROJECT
from tests.runners.history.pipeline_roots import FIRST, taxi_root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return taxi_root(tmp_path_factory.mktemp("served") / "root").root


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "runners.commands.main", "--root", str(root), "explore", "--no-browser"]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        found = re.search(r"http://127\.0\.0\.1:\d+/\S+", process.stdout.readline())
        assert found
        yield found[0], process
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "Traceback" not in err


def get(address: str) -> tuple[str, str, str]:
    with urllib.request.urlopen(address, timeout=60) as reply:
        headers = reply.headers
        return reply.read().decode(), headers["Content-Type"], headers["Content-Security-Policy"] or ""


def test_the_page_and_what_it_links_to(served: tuple[str, object], root: Path) -> None:
    address = served[0]
    content, kind, _ = get(address)
    assert kind == "text/html"
    assert "Millrace explorer" in content
    assert FIRST in get(address.replace("index.html", "index.js"))[0]
    report = min(root.glob("artifacts/taxi/evaluate/*/report"))
    _, kind, policy = get(address.replace("explorer/index.html", str(report.relative_to(root))))
    assert kind == "text/html"
    assert policy.startswith("sandbox"), "a page that a stage made runs no scripts"


def test_a_run_that_is_new_is_there_after_a_reload(served: tuple[str, object], root: Path) -> None:
    folder = root / "runs" / "taxi-20261122-000000-0001"
    folder.mkdir()
    (folder / "run.json").write_text((root / "runs" / FIRST / "run.json").read_text())
    get(served[0])
    assert folder.name in get(served[0].replace("index.html", "index.js"))[0]


@pytest.mark.parametrize("path", ["", "runs/", "artifacts/", "../../../../etc/passwd", "explorer/.lock", "no/such"])
def test_nothing_else_is_handed_out(served: tuple[str, object], path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(served[0].replace("explorer/index.html", path))
    assert refused.value.code == 404


def test_who_does_not_know_the_address_reads_nothing(served: tuple[str, object]) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(re.sub(r"(:\d+)/[^/]+/", r"\1/", served[0]))
    assert refused.value.code == 404
