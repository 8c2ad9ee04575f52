"""Where the versions lie that are served here, and ports."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from components.runtime.errors import InputError
from runners.commands.models import load_model
from runners.serving.place import free_port, serving_directory
from runners.settings.model import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "settings.yaml").write_text("{}")
    return load_model(str(tmp_path / "mine"))


def test_where_runs_push(settings: Settings, tmp_path: Path) -> None:
    root = tmp_path / "root"
    with pytest.raises(InputError, match=r"serving/mine: no version was pushed there yet; ./millrace run mine"):
        serving_directory(settings, root)
    (root / "serving" / "mine" / "3").mkdir(parents=True)
    assert serving_directory(settings, root) == root / "serving" / "mine"


def test_another_folder_and_candidates(settings: Settings, tmp_path: Path) -> None:
    for name in ("tree", "linear"):
        (tmp_path / "served" / name / "1").mkdir(parents=True)
    with pytest.raises(InputError, match="holds candidates: name one with --candidate: linear, tree"):
        serving_directory(settings, tmp_path, str(tmp_path / "served"))
    found = serving_directory(settings, tmp_path, str(tmp_path / "served"), "tree")
    assert found == tmp_path / "served" / "tree"
    with pytest.raises(InputError, match="no version was pushed there yet"):
        serving_directory(settings, tmp_path, str(tmp_path / "served"), "forest")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is not a directory"):
        serving_directory(settings, tmp_path, str(tmp_path / "file"))


def test_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not free_port("127.0.0.1", taken.getsockname()[1])
    for address in ("192.0.2.1", "no such host.invalid"):
        with pytest.raises(InputError, match=f"--address {address}: "):
            free_port(address, 8501)
