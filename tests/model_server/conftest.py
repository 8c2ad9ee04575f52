"""One server for all tests of a process: its start is what takes long."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.runtime.model_server.process import Server, started
from components.runtime.model_server.programs import KSERVE, Program, find
from tests.model_server import made_models

MODEL = "taxi fares"
"""The name in URLs has to be quoted."""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """SavedModels that answer 1, 2 and 3."""
    folder = tmp_path_factory.mktemp("models")
    return {told: made_models.write(folder / str(told), told) for told in (1, 2, 3)}


@pytest.fixture(scope="session")
def server(models: dict[int, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of version 2, and of version 1 under the label `stable`, which logs every request."""
    folder = tmp_path_factory.mktemp("served")
    for told in (1, 2):
        shutil.copytree(models[told], folder / str(told))
    (folder / "labels.json").write_text('{"stable": 1}')
    options = ["--prediction_log_share=1", "--prediction_log_seconds=0.2", "--prediction_log_redact=flag,secret"]
    with serving(folder, f"--prediction_log={log_of(folder).parent}", *options) as found:
        found.wait_until_ready(120)
        yield found


def log_of(folder: Path) -> Path:
    """The log of predictions of the server of a folder, where it has one."""
    return folder.with_suffix(".predictions") / MODEL


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    """A server of a folder, which need not be ready."""
    program = Program(KSERVE, (*find(KSERVE).words, *options))
    with started(program, MODEL, folder, folder.with_suffix(".log"), dict(os.environ)) as found:
        yield found
