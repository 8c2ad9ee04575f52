"""`new` for images, and then `run`, without touching a file: a blessed model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import run
from tests.runners.cluster_support import call

pytestmark = pytest.mark.slow

RANDOM = np.random.default_rng(3)


def disc(size: int) -> np.ndarray:
    """A mask: 1 in a disc somewhere, else 0."""
    row, column = RANDOM.integers(size // 3, size - size // 3, 2)
    rows, columns = np.mgrid[:size, :size]
    return ((rows - row) ** 2 + (columns - column) ** 2 < (size // 4) ** 2).astype(np.uint8)


def stripes(size: int) -> np.ndarray:
    return np.broadcast_to((np.arange(size) // RANDOM.integers(2, 4) % 2).astype(np.uint8), (size, size))


def seen(mask: np.ndarray) -> np.ndarray:
    """An image of what a mask marks: brighter than what is around it, and noisy."""
    return (60 + 120 * mask + RANDOM.integers(-30, 30, mask.shape)).astype(np.uint8)


def save(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


def classes(data: Path) -> None:
    """Two classes of 80 and 20 images, grey, of 16 by 16 pixels."""
    for number in range(80):
        save(data / "disc" / f"{number}.png", seen(disc(16)))
    for number in range(20):
        save(data / "stripes" / f"{number}.png", seen(stripes(16)))


def pairs(data: Path) -> None:
    """Discs of 32 by 32 pixels, of whose borders nobody is sure."""
    for number in range(24):
        mask = disc(32)
        border = mask ^ np.roll(mask, 1, axis=0)
        save(data / "images" / f"{number}.png", seen(mask))
        save(data / "masks" / f"{number}.png", np.where(border, 255, mask).astype(np.uint8))


@pytest.mark.parametrize(
    ("make", "given", "metric", "least"),
    # A U-Net of a fourth of the steps, which are minutes.
    [(classes, (), "auc macro", 0.9), (pairs, ("--param", "train_steps=50"), "mean_iou", 0.4)],
    ids=["classes", "pairs"],
)
def test_new_and_run(
    tmp_path: Path, make: Callable[[Path], None], given: tuple[str, ...], metric: str, least: float
) -> None:
    make(tmp_path / "data")
    model = tmp_path / "mine"
    done = call("--root", tmp_path / "root", "new", model, "--data", tmp_path / "data")
    assert done.exit_code == 0, done.err
    assert done.lines[-1] == f"next: ./millrace run {model}"
    result = run(tmp_path / "root", str(model), *given, timeout=900)
    assert result.exit_code == 0, result.output + result.errors
    assert result.metadata("evaluate", "blessing")["blessed"] is True
    assert result.metadata("evaluate", "metrics")[metric] > least


def test_what_ingest_refuses_is_told_in_one_line(tmp_path: Path) -> None:
    classes(tmp_path / "data")
    (tmp_path / "data" / "disc" / "1.png").write_bytes(b"no image")
    done = call("--root", tmp_path / "root", "new", tmp_path / "mine", "--data", tmp_path / "data")
    assert done.exit_code == 65
    assert "disc/1.png" in done.err
    assert not (tmp_path / "mine").exists()
