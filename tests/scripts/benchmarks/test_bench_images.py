"""Memory of ingest over images, and what the benchmark says of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from components.runtime.errors import InputError
from scripts.benchmarks.bench_images import Stage, peak_memory, run_stage, tables
from scripts.data import image_samples

DISTINCT = 8
INGEST = {
    "format": "images",
    "images": {"layout": "pairs"},
    "splits": {"train": 4, "eval": 1},
    "split_patterns": {},
    "sample_rows": 10,
}


def pairs(folder: Path, count: int) -> Path:
    """So many pairs by name; there are few distinct ones, because making them takes longer than ingesting them."""
    made = image_samples.write(folder / "made", DISTINCT)
    for name, suffix in ((image_samples.IMAGES, "jpg"), (image_samples.MASKS, "png")):
        (folder / "data" / name).mkdir(parents=True)
        for number in range(count):
            target = made / name / f"sample_{number % DISTINCT:05d}.{suffix}"
            (folder / "data" / name / f"{number:05d}.{suffix}").hardlink_to(target)
    return folder / "data"


@pytest.mark.parametrize(
    ("count", "most"), [(120, 250e6), pytest.param(3000, 300e6, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_memory_of_ingest_does_not_grow_with_the_images(tmp_path: Path, count: int, most: float) -> None:
    data = pairs(tmp_path, count)
    stage = run_stage("ingest", tmp_path, count, INGEST | {"data": str(data)}, {})
    assert 20e6 < stage.peak_memory_bytes < most
    assert stage.cpu_seconds > 0.1
    written = sum(file.stat().st_size for file in (tmp_path / "ingest" / "examples").rglob("*.gz"))
    assert written > count * 60_000, "images of the weight of photographs"


def test_generated_images_are_the_same_every_time(tmp_path: Path) -> None:
    one, other = (image_samples.write(tmp_path / name, 2, side=64) for name in ("one", "other"))
    files = [sorted(folder.rglob("*.*")) for folder in (one, other)]
    assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]
    assert len(files[0]) == 4


def test_memory_is_that_of_all_processes() -> None:
    child = "import time; block = bytearray(range(256)) * 400_000; time.sleep(2)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert 100e6 < peak_memory(subprocess.Popen([sys.executable, "-c", parent])) < 200e6


def test_a_stage_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ingest failed: error: .*no such folder"):
        run_stage("ingest", tmp_path, 1, INGEST | {"data": str(tmp_path / "none")}, {})


def test_the_table_has_images_per_second() -> None:
    text = tables([Stage("ingest", 5000, 30.0, 50.0, 200_000_000), Stage("schema", 0, 2.0, 1.5, 100_000_000)])
    assert "5,000 generated images of 512x512" in text
    assert "| ingest | 30.0 | 50.0 | 100 | 0.20 |" in text
    assert "| schema | 2.0 | 1.5 |  | 0.10 |" in text
