"""Pairs of image and mask, on the real pets."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest

from tests.components.ingest.ingest_support import Ingested, ingested
from tests.support import shared

PAIRS = {"layout": "pairs"}


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    return ingested(tmp_path_factory.mktemp("pets") / "out", shared("pets"), images=PAIRS)


def test_every_pair_is_an_example_with_the_bytes_of_its_files(pets: Ingested) -> None:
    with (shared("pets") / "manifest.csv").open() as stream:
        manifest = {row["name"]: row for row in csv.DictReader(stream)}
    rows = {row["image_name"][0].decode(): row for row in pets.rows()}
    assert set(rows) == {f"images/{name}.jpg" for name in manifest}
    for name, expected in manifest.items():
        row = rows[f"images/{name}.jpg"]
        assert hashlib.sha256(row["image"][0]).hexdigest() == expected["sha256"]
        assert row["mask"] == [(shared("pets") / "annotations" / "trimaps" / f"{name}.png").read_bytes()]
        assert (row["width"], row["height"]) == ([int(expected["width"])], [int(expected["height"])])
        assert row["image_format"] == [b"jpeg"]
        assert sorted(row) == ["height", "image", "image_format", "image_name", "mask", "width"]


def test_what_is_known_of_the_result(pets: Ingested) -> None:
    metadata = pets.metadata
    assert (metadata["rows"], metadata["files"], metadata["format"], metadata["layout"]) == (
        180,
        360,
        "images",
        "pairs",
    )
    assert (metadata["converted"], metadata["duplicates"], metadata["left_out"]) == (0, 0, 0)
    assert metadata["rows_train"] + metadata["rows_eval"] == 180
    assert 0.5 < metadata["rows_train"] / 180 < 0.8


def test_the_same_images_give_the_same_bytes(pets: Ingested, tmp_path: Path) -> None:
    again = ingested(tmp_path / "out", shared("pets"), images=PAIRS, format="images")
    assert again.files() == pets.files()
    assert again.metadata["content"] == pets.metadata["content"]


def test_a_split_does_not_depend_on_the_other_images(pets: Ingested, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for folder, suffix in (("images", ".jpg"), ("annotations/trimaps", ".png")):
        (data / folder).mkdir(parents=True)
        for file in sorted((shared("pets") / folder).glob(f"*{suffix}"))[::3]:
            (data / folder / file.name).symlink_to(file)
    some = ingested(tmp_path / "out", data, images=PAIRS)
    assert some.metadata["rows"] == 60
    for split in ("train", "eval"):
        names = {row["image_name"][0] for row in some.rows(split)}
        assert names
        assert names <= {row["image_name"][0] for row in pets.rows(split)}
