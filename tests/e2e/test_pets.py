"""The pets pipeline at a small size: pairs of image and mask, a network that gives every pixel a class."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Run, run
from tests.support import ROOT

PAIRS = 60


def small(folder: Path) -> Path:
    """The pets model but for its size and its steps."""
    model = folder / "pets"
    shutil.copytree(ROOT / "models" / "pets", model, ignore=shutil.ignore_patterns("__pycache__"))
    settings = yaml.safe_load((model / "settings.yaml").read_text())
    settings["transform"]["custom_config"] = {"image_size": 32}
    settings["train"]["custom_config"] = {"alpha": 0.1, "decoder_filters": [32, 24, 16, 16, 16], "epochs": 1}
    settings["train"]["train_steps"] = 80
    (model / "settings.yaml").write_text(yaml.safe_dump(settings))
    return model


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("pets")
    arguments = ["pets", "--rows", str(PAIRS), "--side", "96", "--output", str(folder / "data")]
    subprocess.run([sys.executable, "-m", "scripts.data.sample_data", *arguments], cwd=ROOT, check=True)
    return run(folder / "root", str(small(folder)), "--data", str(folder / "data"))


def test_pets_are_told_from_what_is_behind_them_and_the_model_is_pushed(pets: Run) -> None:
    assert pets.exit_code == 0, pets.output + pets.errors
    assert pets.metadata("ingest", "examples")["rows"] == PAIRS
    assert pets.metadata("schema", "schema")["source"] == "curated"
    metrics = pets.metadata("evaluate", "metrics")
    assert metrics["pixel_accuracy"] > metrics["constant_pixel_accuracy"]
    assert metrics["mean_iou"] > 1.5 * metrics["constant_mean_iou"]
    assert pets.metadata("evaluate", "blessing")["blessed"] is True
    assert len(list(pets.root.glob("serving/pets/*/saved_model.pb"))) == 1


def test_the_model_offers_its_three_signatures(pets: Run) -> None:
    assert pets.metadata("train", "model")["signatures"] == ["from_examples", "serving_default", "transform_features"]


def test_the_report_shows_masks(pets: Run) -> None:
    page = pets.path("evaluate", "report").read_text()
    assert page.count('alt="predicted mask of image') == 12
    assert 'src="http' not in page
    assert len(page) < 1_000_000
