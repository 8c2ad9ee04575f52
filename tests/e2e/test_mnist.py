"""MNIST through the files of the digits model: only settings differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.runtime.data import tfrecord
from scripts.data.download import read_idx
from tests.e2e.conftest import run
from tests.support import ROOT, shared

HELD_OUT = 6
"""One image in so many is held out."""


def test_mnist_has_settings_and_no_code() -> None:
    folder = ROOT / "models" / "mnist"
    assert {file.name for file in folder.iterdir() if file.is_file()} == {"__init__.py", "settings.yaml"}


@pytest.mark.slow
def test_a_part_of_mnist_is_recognised_blessed_and_pushed(tmp_path: Path) -> None:
    """18,000 of the images and a fifth of the steps; docs/models.md has the figures of all of them."""
    folder = shared("digits/mnist")
    images = read_idx(folder / "train50k-images-idx3-ubyte.gz", folder / "train50k-labels-idx1-ubyte.gz")
    records = [record for _, record in zip(range(18_000), images, strict=False)]
    data = tmp_path / "data"
    data.mkdir()
    tfrecord.write(data / "eval.tfrecord.gz", iter(records[::HELD_OUT]))
    train = (record for number, record in enumerate(records) if number % HELD_OUT)
    tfrecord.write(data / "train.tfrecord.gz", train)
    done = run(tmp_path / "root", "mnist", "--data", str(data), "--param", "train_steps=800", timeout=1200)
    assert done.exit_code == 0, done.output + done.errors
    examples = done.metadata("ingest", "examples")
    assert (examples["rows_train"], examples["rows_eval"]) == (15_000, 3_000)
    metrics = done.metadata("evaluate", "metrics")
    assert metrics["sparse_categorical_accuracy"] >= 0.95
    assert done.metadata("evaluate", "blessing")["blessed"] is True
    assert len(list(done.root.glob("serving/mnist/*/saved_model.pb"))) == 1
