"""A copy of an example runs under its own name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import run
from tests.runners.cluster_support import call
from tests.support import ROOT

pytestmark = pytest.mark.slow


# (Of the others, digits and mnist want data that is downloaded or in an environment of its own.)
@pytest.mark.parametrize(
    ("example", "data"), [("taxi", "taxi"), ("complaints_product", "complaints"), ("pets", "pets")]
)
def test_the_copy_runs(tmp_path: Path, example: str, data: str) -> None:
    command = [sys.executable, "-m", "scripts.data.sample_data", data, "--output", str(tmp_path / "data")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    copy = tmp_path / "mine"
    done = call("--root", tmp_path / "root", "new", copy, "--from", example, "--data", tmp_path / "data")
    assert done.exit_code == 0, done.err
    result = run(tmp_path / "root", str(copy), "--until", "transform")
    assert result.exit_code == 0, result.output + result.errors
    assert result.record["pipeline"] == "mine"
    assert result.states["transform"] == "done"
