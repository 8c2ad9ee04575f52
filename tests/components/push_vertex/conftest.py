"""Vertex AI and Cloud Storage on loopback, and what a push needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.components.push_vertex.model_server import VertexModels, serve
from tests.components.push_vertex.vertex_push import Push
from tests.runners.vertex.vertex_server import write_credentials


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is looked for in the home of whoever tests, nor on a metadata server."""
    for name in ("GOOGLE_CLOUD_PROJECT", "GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_credentials: None) -> Iterator[VertexModels]:
    with serve(VertexModels()) as state:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(write_credentials(tmp_path, state.url)))
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", state.url)
        yield state


@pytest.fixture
def push(server: VertexModels, tmp_path: Path) -> Push:
    return Push(tmp_path, server.url)
