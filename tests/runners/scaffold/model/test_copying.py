"""A copy of a model stands alone: its settings name its own files, and nothing of it is the example's but the data."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.runtime.errors import InputError
from runners import PROJECT
from runners.compiled.pipelines import compiled
from runners.scaffold.model import copying, files
from runners.settings import named_files
from runners.settings.folders import names
from runners.settings.model import Settings, load
from tests.runners.cluster_support import call

FILES = ("schema", "transform", "tune", "train", "evaluate")


def copied(example: str, folder: Path, data: str | None = None) -> Settings:
    files.write(folder, copying.copy(example, folder, data))
    return load(str(folder))


@pytest.mark.parametrize("example", ["complaints", "complaints_product", "digits", "mnist", "pets", "taxi"])
def test_a_copy_of_every_shipped_model_compiles(tmp_path: Path, example: str) -> None:
    settings = copied(example, tmp_path / "mine")
    assert settings.pipeline_name == "mine"
    assert settings.local_place(settings.data) == str(PROJECT / "data" / example)
    named_files.check(settings, [stage for stage in FILES if stage != "tune"])
    assert "mine" in compiled(settings)
    for stage in ("schema", "transform", "train", "evaluate"):
        named = [value for key, value in settings.arguments(stage).items() if key.endswith("_file") and value]
        assert {Path(value).parent for value in named} <= {tmp_path / "mine"}


def test_a_copy_has_its_imports(tmp_path: Path) -> None:
    """Those of the third model, whose files the example names, too."""
    copied("complaints_product", tmp_path / "mine")
    own = {file.stem for file in (tmp_path / "mine").glob("*.py")}
    text = "\n".join(file.read_text() for file in (tmp_path / "mine").glob("*.py"))
    assert {"preprocessing", "model", "encoders"} <= own
    assert not any(f"models.{name}" in text for name in names())


def test_comments_of_the_settings_stay(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "settings.yaml").write_text(
        "# What it is.\npipeline_name: first-of-all\ndata: raw  # there\ntrain:\n  train_steps: 7  # few\n"
    )
    settings = copied(str(tmp_path / "first"), tmp_path / "second", "gs://bucket/rows")
    assert (settings.pipeline_name, settings.data, settings.train.train_steps) == ("second", "gs://bucket/rows", 7)
    assert (tmp_path / "second" / "settings.yaml").read_text() == (
        '# What it is.\n# Where the raw data lies when a run does not say.\ndata: "gs://bucket/rows"\n'
        "train:\n  train_steps: 7  # few\n"
    )


def test_of_a_model_elsewhere_the_data_is_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "settings.yaml").write_text("data: raw\n")
    assert copied(str(tmp_path / "first"), tmp_path / "second").data == str(tmp_path / "first" / "raw")


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'taxi'"):
        copying.copy("txi", tmp_path / "mine")


def test_data_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Settings, "own_data", tmp_path / "taxi")
    told = "its data is not there yet: put it into {}, or make a sample: make sample-data MODEL=taxi"
    assert copying.missing_data("taxi") == told.format(tmp_path / "taxi")
    (tmp_path / "taxi").mkdir()
    (tmp_path / "taxi" / "a.csv").touch()
    assert copying.missing_data("taxi") == ""


def test_the_command(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    done = call("new", folder, "--from", "taxi", "--dry-run")
    assert (done.exit_code, folder.exists()) == (0, False), done.err
    assert call("new", folder, "--from", "taxi", "--label", "tips").error == (
        "--label says nothing here: --from taxi copies a model as it is; leave it out"
    )
