"""Artifacts: content digests, splits, publication."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.runtime.errors import InputError
from components.runtime.stage.artifacts import (
    InputArtifact,
    OutputArtifact,
    content_bytes,
    content_digest,
    local_path,
    write_whole,
)


def _tree(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_digest_depends_on_content_and_names_only(tmp_path: Path) -> None:
    first = _tree(tmp_path / "first", {"a/x": "1", "b": "22"})
    second = _tree(tmp_path / "second", {"b": "22", "a/x": "1"})
    assert content_digest(first) == content_digest(second)
    assert content_bytes(first) == 3
    _tree(second, {"b": "23"})
    assert content_digest(first) != content_digest(second)
    renamed = _tree(tmp_path / "third", {"a/y": "1", "b": "22"})
    assert content_digest(first) != content_digest(renamed)


def test_digest_leaves_ignored_files_out(tmp_path: Path) -> None:
    plain = _tree(tmp_path / "plain", {"model": "m"})
    with_manifest = _tree(tmp_path / "manifest", {"model": "m", "extra/manifest": "now"})
    assert content_digest(with_manifest, ignore=frozenset({"extra/manifest"})) == content_digest(plain)


def test_object_storage_is_read_where_kfp_mounts_it() -> None:
    assert local_path("gs://bucket/a/b") == Path("/gcs/bucket/a/b")
    assert local_path("minio://bucket/a") == Path("/minio/bucket/a")
    assert local_path("/a/b") == Path("/a/b")


def test_splits_are_listed_and_an_unknown_one_names_them(tmp_path: Path) -> None:
    _tree(tmp_path, {"Split-train/x": "", "Split-eval/x": "", "other": ""})
    artifact = InputArtifact("examples", str(tmp_path), {})
    assert artifact.splits == ["eval", "train"]
    assert artifact.split("eval") == tmp_path / "Split-eval"
    with pytest.raises(InputError, match="no split 'test', it has: eval, train"):
        artifact.split("test")


def test_output_is_invisible_until_published(tmp_path: Path) -> None:
    artifact = OutputArtifact("model", str(tmp_path / "model"))
    (artifact.directory() / "weights").write_text("w")
    assert not artifact.final_path.exists()
    artifact.publish()
    assert (tmp_path / "model" / "weights").read_text() == "w"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_what_cannot_be_written_is_called_by_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        write_whole(tmp_path / "no" / "folder.json", "{}")
    assert raised.value.filename == str(tmp_path / "no" / "folder.json")
