"""A cluster on loopback that the kubeconfig leads to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runners.argo.argo_server import Argo, serve, write_kubeconfig


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "kubeconfig"
    # kubernetes reads the variable when it is imported.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
    return file


@pytest.fixture
def server(kubeconfig: Path) -> Iterator[Argo]:
    with serve(Argo()) as state:
        write_kubeconfig(kubeconfig, state.url)
        yield state
