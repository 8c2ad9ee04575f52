"""The digits pipeline: images in tf.Examples, a small convolutional network."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.conftest import Run, run
from tests.support import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("digits")
    subprocess.run(
        [sys.executable, "-m", "scripts.data.sample_data", "digits", "--output", str(folder / "data")],
        cwd=ROOT,
        check=True,
    )
    return run(folder / "root", "digits", "--data", str(folder / "data"))


def test_digits_are_recognised_blessed_and_pushed(digits: Run) -> None:
    assert digits.exit_code == 0, digits.output + digits.errors
    assert digits.metadata("ingest", "examples")["rows"] == 1797
    metrics = digits.metadata("evaluate", "metrics")
    accuracy = next(value for name, value in metrics.items() if "accuracy" in name.lower())
    assert accuracy >= 0.97
    assert digits.metadata("evaluate", "blessing")["blessed"] is True
    assert len(list(digits.root.glob("serving/digits/*/saved_model.pb"))) == 1


def test_the_curated_schema_is_used(digits: Run) -> None:
    assert digits.metadata("schema", "schema")["source"] == "curated"
    schema = (digits.path("schema", "schema") / "schema.pbtxt").read_text()
    assert (ROOT / "models" / "digits" / "schema.pbtxt").exists()
    assert "image_raw" in schema


def test_the_confusion_matrix_has_ten_classes(digits: Run) -> None:
    matrix = digits.metadata("evaluate", "classification")["confusionMatrix"]
    assert len(matrix["annotationSpecs"]) == 10
    assert len(matrix["rows"]) == 10
