"""A run takes what was compiled before only where all that it is made of is the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from runners.commands.compile import compile_pipeline
from runners.compiled import pipelines
from runners.compiled.pipelines import compiled
from runners.settings import purposes
from runners.settings.model import Settings, load
from tests.runners.compiled_models import model


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pipelines, "FOLDER", tmp_path / "cache" / "compiled")
    return tmp_path / "cache" / "compiled"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings that were compiled."""
    made: list[Settings] = []

    def compile_and_tell(settings: Settings) -> str:
        made.append(settings)
        return compile_pipeline(settings)

    monkeypatch.setattr(pipelines, "compile_pipeline", compile_and_tell)
    return made


def test_the_second_time_it_is_read(calls: list[Settings]) -> None:
    first = compiled(load("taxi"))
    assert first == compile_pipeline(load("taxi"))
    assert compiled(load("taxi")) == first
    assert len(calls) == 1


def test_other_settings_are_compiled_anew(tmp_path: Path, calls: list[Settings]) -> None:
    texts = ["{}", "train: {train_steps: 7}", "train: {seed: 1}", "resources: {train: {retry: {count: 2}}}"]
    for text in texts * 2:
        assert compiled(model(tmp_path / "mine", text)) == compile_pipeline(model(tmp_path / "mine", text))
    assert len(calls) == len(texts)
    # The same words in another folder name other files.
    compiled(model(tmp_path / "other", "{}"))
    assert len(calls) == len(texts) + 1


def test_so_is_what_other_code_or_another_library_would_compile(
    tmp_path: Path, calls: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load("taxi")
    compiled(settings)
    monkeypatch.setattr(pipelines, "version", lambda name: "2.99" if name == "kfp" else "1")
    compiled(settings)
    assert len(calls) == 2
    monkeypatch.undo()
    sources = list(pipelines._sources())
    names = {str(file.relative_to(pipelines.PROJECT)) for file in sources}
    assert {"pipeline.py", "runners/compiled/op_functions.py", "components/train/component.yaml"} <= names
    before = pipelines._key(settings)
    changed = pipelines.PROJECT / "pipeline.py"
    content = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda file: content(file) + b"#" * (file == changed))
    assert pipelines._key(settings) != before


def test_a_place_that_cannot_be_written_costs_no_run(folder: Path, calls: list[Settings]) -> None:
    folder.parent.write_text("a file")
    assert compiled(load("taxi")) == compiled(load("taxi"))
    assert len(calls) == 2


@pytest.mark.parametrize("damage", ["empty", "binary", "cut"])
def test_a_damaged_file_is_made_anew(folder: Path, calls: list[Settings], damage: str) -> None:
    text = compiled(load("taxi"))
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes({"empty": b"", "binary": b"\xff\x00" * 99, "cut": whole[: whole.rindex(b"---")]}[damage])
    assert compiled(load("taxi")) == text
    assert len(calls) == 2
    assert file.read_bytes() == whole


def test_what_is_edited_meanwhile_is_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = iter(["before", "after", "after", "after"])
    monkeypatch.setattr(pipelines, "_key", lambda settings: next(keys))
    assert compiled(load("taxi"))
    assert not folder.exists()
    assert compiled(load("taxi"))
    assert [file.name for file in folder.iterdir()] == ["after.yaml"]


def test_a_variable_that_kfp_reads_counts(calls: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(load("taxi"))
    monkeypatch.setenv("KFP_DISABLE_EXECUTION_CACHING_BY_DEFAULT", "true")
    compiled(load("taxi"))
    assert len(calls) == 2


def test_each_pipeline_of_a_model_is_kept_by_itself(calls: list[Settings]) -> None:
    settings = load("taxi")
    each = [settings, purposes.for_watching(settings), purposes.for_inference(settings)]
    texts = [compiled(one) for one in each * 2]
    assert texts[:3] == texts[3:]
    assert len(set(texts)) == len(calls) == 3


def test_only_the_newest_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pipelines, "_MOST", 2)
    monkeypatch.setattr(pipelines, "compile_pipeline", lambda settings: settings.description)
    for number in range(4):
        compiled(model(tmp_path / "mine", f"description: {number}a"))
    assert len(list(folder.iterdir())) == 2
