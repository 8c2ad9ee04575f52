"""A serving directory in a bucket: versions appear whole, whoever pushes at once, dies or is not answered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.components.push.serving_support import make_blessing, make_model, tree
from tests.components.push.test_push import arguments
from tests.s3_server import S3, s3_server
from tests.support import StageResult, run_stage


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3_server() as found:
        yield found


@pytest.fixture
def serving(server: S3, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    return server.make(re.sub(r"\W", "-", request.node.name.replace("_", "-"))[:60].strip("-").lower()) + "/models/taxi"


@pytest.fixture
def blessing(tmp_path: Path) -> Path:
    return make_blessing(tmp_path / "blessing")


def push(folder: Path, model: Path, blessing: Path, destination: str) -> StageResult:
    return run_stage("push", folder, **arguments(model, blessing, destination))


def test_a_version_lies_there_as_in_a_folder(tmp_path: Path, blessing: Path, server: S3, serving: str) -> None:
    model = make_model(tmp_path / "model")
    result = push(tmp_path / "out", model, blessing, serving)
    assert result.exit_code == 0, result.stderr
    beside = run_stage("push", tmp_path / "folder", **arguments(model, blessing, tmp_path / "serving"))
    there = server.tree(serving)
    assert there == {name: it for name, it in tree(tmp_path / "serving").items() if not name.startswith(".")}
    told, told_beside = (each.metadata("pushed_model") for each in (result, beside))
    assert told["destination"] == serving
    unlike = {"destination": "", "digest": "", "bytes": 0}
    assert told | unlike == told_beside | unlike
    again = push(tmp_path / "again", model, blessing, serving)
    assert again.metadata("pushed_model")["created"] is False
    assert server.tree(serving) == there
