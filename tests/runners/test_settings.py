"""Settings of models."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.runtime.errors import InputError
from runners import settings


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings, "PROJECT", tmp_path)
    monkeypatch.setattr(settings, "MODELS", tmp_path / "models")
    (tmp_path / "models" / "mine").mkdir(parents=True)
    return tmp_path / "models" / "mine" / "settings.yaml"


def test_files_are_named_from_the_project(models: Path) -> None:
    models.write_text("train: {module_file: net.py, train_steps: 7}\nschema: {schema_file: schema.pbtxt}\n")
    mine = settings.load("mine")
    assert mine.pipeline_name == "mine"
    assert mine.train.train_steps == 7
    assert mine.arguments("train")["module_file"] == "models/mine/net.py"
    assert "train_steps" not in mine.arguments("train")
    assert mine.arguments("schema") == {"schema_file": "models/mine/schema.pbtxt"}
    models.write_text("train: {module_file: ../other/net.py}\n")
    assert settings.load("mine").arguments("train")["module_file"] == "models/other/net.py"
    assert mine.arguments("validate") == {"on_anomalies": "stop", "previous_statistics": ""}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trian: {}", "unknown key 'trian', did you mean 'train'"),
        ("train: {train_step: 5}", "unknown key 'train.train_step', did you mean 'train_steps'"),
        ("train: {train_steps: many}", "train.train_steps: .* not 'many'"),
        ("train: {train_steps: 0}", "train.train_steps: .* not 0"),
        ("validate: {on_anomalies: ignore}", "validate.on_anomalies: .*'stop' or 'warn'"),
        ("ingest: {splits: {train: -1}}", "ingest.splits.train"),
        ("pipeline_name: My_Model", "pipeline_name: expected at most 63 lower-case letters.* not 'My_Model'"),
        ("a: [", "not YAML"),
        ("- list", "holds no settings"),
    ],
)
def test_mistakes_are_named_with_their_file(models: Path, text: str, message: str) -> None:
    models.write_text(text)
    with pytest.raises(InputError, match=f"models/mine/settings.yaml: .*{message}"):
        settings.load("mine")


def test_the_folder_names_the_pipeline_as_kfp_accepts_it(tmp_path: Path) -> None:
    (tmp_path / "Trips_2026").mkdir()
    (tmp_path / "Trips_2026" / "settings.yaml").write_text("{}")
    assert settings.load(str(tmp_path / "Trips_2026")).pipeline_name == "trips-2026"


def test_an_unknown_model_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no model 'taxy': .*, did you mean 'taxi'"):
        settings.load("taxy")


def test_a_model_may_lie_outside_the_project(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "settings.yaml").write_text("{}")
    mine = settings.load(str(tmp_path / "mine"))
    assert mine.pipeline_name == "mine"
    assert mine.arguments("train")["module_file"] == str(tmp_path / "mine" / "model.py")
