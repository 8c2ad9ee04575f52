"""How images lie is found out, whatever their folders are called; what is no layout is told in one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from components.ingest.images.list_file import _LABEL_NAMES, _PATH_NAMES
from components.runtime.errors import InputError
from runners.scaffold.model.images import layout, lists
from tests.image_files import raw_png
from tests.runners.scaffold.model.images.image_support import classes, save


def found(place: Path, *labels: str) -> layout.Layout:
    result = layout.find(str(place), labels)
    assert result is not None
    return result


def test_folders_are_classes(tmp_path: Path) -> None:
    assert found(classes(tmp_path, "cat", "dog")).ingest == {"format": "images", "images": {"layout": "folders"}}


def test_folders_of_classes_may_lie_deeper(tmp_path: Path) -> None:
    classes(tmp_path, "photos/all/cat", "photos/all/dog")
    (tmp_path / "README.md").write_text("cats and dogs")
    assert found(tmp_path).images == {"layout": "folders", "images": "photos/all"}


@pytest.mark.parametrize(
    ("splits", "patterns"),
    [
        (("train", "val"), {"train": "train/**", "eval": "val/**"}),
        (("Training", "Testing"), {"train": "Training/**", "eval": "Testing/**"}),
        (("train", "valid", "test"), {"train": "train/**", "eval": "valid/**", "test": "test/**"}),
    ],
)
def test_folders_of_splits_above_the_classes(tmp_path: Path, splits: tuple[str, ...], patterns: dict[str, str]) -> None:
    result = found(classes(tmp_path, *(f"{split}/{name}" for split in splits for name in ("cat", "dog"))))
    assert result.split_patterns == patterns


def test_classes_that_are_called_like_splits_are_classes(tmp_path: Path) -> None:
    """A train is something that one may photograph."""
    assert found(classes(tmp_path, "train", "bus")).split_patterns == {}


def test_pairs_by_the_name_of_the_folder(tmp_path: Path) -> None:
    classes(tmp_path, "x")
    shutil.move(tmp_path / "x", tmp_path / "images")
    shutil.copytree(tmp_path / "images", tmp_path / "annotations" / "trimaps")
    result = found(tmp_path)
    assert result.kind == layout.MASKS
    assert result.images == {"layout": "pairs", "images": "images", "masks": "annotations/trimaps"}


def test_pairs_by_what_the_files_hold(tmp_path: Path) -> None:
    """The folders' names say nothing; of one of them the images are grey, of few values and without loss."""
    noise = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    for number in range(6):
        save(tmp_path / "a" / f"{number}.jpg", noise)
        save(tmp_path / "b" / f"{number}.png", np.full((40, 40), number % 2, np.uint8))
    assert found(tmp_path).images == {"layout": "pairs", "images": "a", "masks": "b"}


def test_classes_with_the_same_names_of_files_are_no_pairs(tmp_path: Path) -> None:
    for number in range(6):
        for name in ("zero", "one"):
            save(tmp_path / name / f"{number}.png", np.full((8, 8), number, np.uint8))
    assert found(tmp_path).kind == layout.CLASSES


def test_images_of_too_many_pixels_are_no_masks(tmp_path: Path) -> None:
    for number in range(6):
        for name in ("a", "b"):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{number}.png").write_bytes(raw_png(60_000, 60_000, 8, 0, b""))
    assert found(tmp_path).kind == layout.CLASSES


def test_pairs_that_were_split_already(tmp_path: Path) -> None:
    for split in ("train", "val"):
        save(tmp_path / "images" / split / "1.jpg")
        save(tmp_path / "masks" / split / "1.png", np.ones((6, 8), np.uint8))
    result = found(tmp_path)
    assert result.images == {"layout": "pairs", "images": "images", "masks": "masks"}
    assert result.split_patterns == {"train": "images/train/**", "eval": "images/val/**"}


def test_pairs_that_are_left_out_are_told(tmp_path: Path) -> None:
    for place, number in (("train", 1), ("train", 2), ("val", 3)):
        save(tmp_path / place / "images" / f"{number}.jpg")
        save(tmp_path / place / "masks" / f"{number}.png", np.ones((6, 8), np.uint8))
    result = found(tmp_path)
    assert result.images == {"layout": "pairs", "images": "train/images", "masks": "train/masks"}
    assert result.remarks == ("2 images lie in neither of the two folders and are not read, such as val/images/3.jpg",)


@pytest.mark.parametrize(
    ("name", "text", "images"),
    [
        ("labels.csv", "id,image,label\n1,a/1.png,x\n2,a/2.png,y\n", ""),
        ("labels.tsv", "path\tclass\n1\tx\n2\ty\n", "a"),
        ("list.txt", "# path and class\n1 x\n2 y\n", "a"),
        ("a/labels.csv", "1.png,x\n2.png,y\n", "a"),
    ],
)
def test_lists(tmp_path: Path, name: str, text: str, images: str) -> None:
    for number in (1, 2):
        save(tmp_path / "a" / f"{number}.png")
    (tmp_path / name).write_text(text)
    expected = {"layout": "list", "list_file": name} | ({"images": images} if images else {})
    assert found(tmp_path).images == expected


def test_of_two_lists_the_longer_one_is_read_and_that_is_told(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        save(tmp_path / f"{number}.png")
    (tmp_path / "test.csv").write_text("3.png,x\n")
    (tmp_path / "train.csv").write_text("1.png,x\n2.png,y\n")
    result = found(tmp_path)
    assert result.images["list_file"] == "train.csv"
    assert "not test.csv" in result.remarks[0]


def test_lists_are_known_by_the_names_that_ingest_knows() -> None:
    assert (lists.PATH_NAMES, lists.LABEL_NAMES) == (_PATH_NAMES, _LABEL_NAMES)


def test_tables_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    assert layout.find(str(tmp_path), []) is None
    assert layout.find(str(tmp_path / "data.csv"), []) is None
    save(tmp_path / "figure.png")
    assert layout.find(str(tmp_path), []) is None


def refused(place: Path, *labels: str) -> str:
    with pytest.raises(InputError) as error:
        layout.find(str(place), labels)
    return str(error.value)


def test_one_class_is_refused(tmp_path: Path) -> None:
    assert "all 2 images lie in one folder" in refused(classes(tmp_path / "alone", "cat"))
    assert "one class only, cat" in refused(classes(tmp_path / "split", "train/cat", "val/cat"))


def test_images_without_classes_are_refused(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"{number}.jpg")
    line = refused(tmp_path)
    assert "all 3 images lie in one folder, so no class is known" in line
    assert "\n" not in line
    save(tmp_path / "1_mask.png")
    assert "masks among them (1_mask.png): move the masks into a folder" in refused(tmp_path)


def test_masks_without_their_images_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "images" / "one.jpg")
    save(tmp_path / "masks" / "two.png")
    assert "masks: no mask there has the name of an image in" in refused(tmp_path)


def test_a_label_that_images_do_not_have_is_refused(tmp_path: Path) -> None:
    classes(tmp_path, "cat", "dog")
    assert refused(tmp_path, "breed") == "--label breed: the label of these images is their folder; leave it out"
    assert found(tmp_path, "label").kind == layout.CLASSES


def test_a_list_without_a_column_label_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "1.png")
    (tmp_path / "list.csv").write_text("name,breed,species\n1,x,y\n")
    assert refused(tmp_path) == "list.csv: no column label; call the one with the classes so, such as breed"
    assert refused(tmp_path, "species").endswith("such as species")
