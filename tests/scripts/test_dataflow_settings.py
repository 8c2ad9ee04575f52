from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runners.settings import model as settings
from scripts import dataflow_settings
from tests.support import ROOT

ARGUMENTS = ["--project", "team", "--region", "us-central1", "--worker-image", "team/worker:1.0.0"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "models" / "taxi", tmp_path / "taxi"))


def test_data_stages_get_the_options_and_the_rest_stays(model: Path) -> None:
    before = settings.load(str(model))
    assert dataflow_settings.main([str(model), *ARGUMENTS, "--temp-location", "gs://bucket/tmp"]) == 0
    after = settings.load(str(model))
    for stage in (after.statistics, after.transform):
        assert "--runner=DataflowRunner" in stage.beam_options
        assert "--temp_location=gs://bucket/tmp" in stage.beam_options
        assert "--sdk_container_image=team/worker:1.0.0" in stage.beam_options
    assert after.transform.module_file == before.transform.module_file
    changed = {"statistics": before.statistics, "transform": before.transform}
    assert after.model_copy(update=changed) == before


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (["--temp-location", "/tmp"], "is no folder of a bucket"),
        (["--temp-location", "gs://bucket/tmp", "--worker-image", ""], "--worker-image is empty"),
    ],
)
def test_wrong_value_is_one_line_and_writes_nothing(
    model: Path, capsys: pytest.CaptureFixture[str], change: list[str], expected: str
) -> None:
    before = (model / "settings.yaml").read_bytes()
    assert dataflow_settings.main([str(model), *ARGUMENTS, *change]) == 65
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
    assert (model / "settings.yaml").read_bytes() == before


def test_unknown_model_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert dataflow_settings.main(["taxis", *ARGUMENTS, "--temp-location", "gs://bucket/tmp"]) == 65
    assert "did you mean 'taxi'" in capsys.readouterr().err
