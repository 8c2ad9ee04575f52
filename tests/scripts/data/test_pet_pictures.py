"""Drawn animals: alike in every run, in the layout of the real pets, with masks that fit."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.data import pet_pictures, sample_data
from tests.support import shared

PAIRS = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pets") / "data"
    assert sample_data.main(["pets", "--rows", str(PAIRS), "--output", str(folder)]) == 0
    return folder


def mask(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        assert image.mode == "L"
        return np.asarray(image)


def test_each_picture_has_a_mask_of_its_size(folder: Path) -> None:
    pictures = sorted((folder / pet_pictures.IMAGES).iterdir())
    assert len(pictures) == PAIRS
    for picture in pictures:
        with Image.open(picture) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")
            values = mask(folder / pet_pictures.MASKS / f"{picture.stem}.png")
            assert values.shape == image.size[::-1]
        assert set(np.unique(values)) == {1, 2, 3}


def test_the_border_is_between_pet_and_background(folder: Path) -> None:
    for file in (folder / pet_pictures.MASKS).iterdir():
        values = mask(file)
        for ours, theirs in ((values[:, 1:], values[:, :-1]), (values[1:], values[:-1])):
            assert not (((ours == 1) & (theirs == 2)) | ((ours == 2) & (theirs == 1))).any()


def test_pixels_are_shared_as_in_the_real_trimaps(folder: Path) -> None:
    def shares(masks: list[Path]) -> np.ndarray:
        return np.mean([[np.mean(mask(file) == value) for value in (1, 2, 3)] for file in masks], axis=0)

    drawn = shares(sorted((folder / pet_pictures.MASKS).iterdir()))
    real = shares(sorted((shared("pets") / "annotations" / "trimaps").iterdir()))
    np.testing.assert_allclose(drawn, real, atol=0.15)


def test_the_same_number_gives_the_same_bytes() -> None:
    assert pet_pictures.pair(3, 1) == pet_pictures.pair(3, 1)
    assert pet_pictures.pair(3, 1) != pet_pictures.pair(3, 2)
    assert pet_pictures.pair(3, 1) != pet_pictures.pair(4, 1)
    with Image.open(io.BytesIO(pet_pictures.pair(0, 1, side=64)[0])) as image:
        assert image.size == (64, 64)


def test_a_second_call_changes_nothing_and_a_smaller_one_leaves_no_more(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(folder, tmp_path / "data"))
    file = folder / pet_pictures.IMAGES / "animal_00000.jpg"
    os.utime(file, (1, 1))
    other = folder / pet_pictures.IMAGES / "mine.jpg"
    other.write_bytes(b"not drawn here")
    assert sample_data.main(["pets", "--rows", str(PAIRS - 2), "--output", str(folder)]) == 0
    assert file.stat().st_mtime == 1
    assert len(list((folder / pet_pictures.MASKS).iterdir())) == PAIRS - 2
    assert other.exists()
    capsys.readouterr()
    assert sample_data.main(["pets", "--rows", str(PAIRS - 2), "--output", str(folder)]) == 0
    assert "as before" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--rows", "0"], ["--side", "3"]])
def test_what_cannot_be_drawn_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert sample_data.main(["pets", *arguments, "--output", str(tmp_path / "data")]) == 65
    assert capsys.readouterr().err.startswith(f"error: {arguments[0]} {arguments[1]}: ask for at least")
    assert list(tmp_path.iterdir()) == []
