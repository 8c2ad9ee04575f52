"""Bad images: every file in one line with its reason; nothing left behind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.components.ingest.ingest_support import run_ingest, write_files
from tests.image_files import encoded, jpeg, mask, mask_png, photo, png
from tests.support import StageResult

PAIRS = {"layout": "pairs", "masks": "masks"}
GOOD = {f"images/{name}.jpg": jpeg(number) for number, name in enumerate("abc")} | {
    f"masks/{name}.png": mask_png() for name in "abc"
}
CLASSES = {"cat/1.jpg": jpeg(1), "dog/2.jpg": jpeg(2)}


def fails(tmp_path: Path, files: Mapping[str, bytes], *texts: str, **arguments: Any) -> StageResult:
    data = write_files(tmp_path / "data", files)
    result = run_ingest(tmp_path / "out", data, **arguments)
    assert result.exit_code == 65, result.stderr
    assert len(result.stderr.splitlines()) == 1, "one line and no trace"
    for text in texts:
        assert text in result.error
    assert list(result.folder.iterdir()) == [], "nothing is left behind"
    return result


@pytest.mark.parametrize(
    ("files", "texts"),
    [
        ({"images/b.jpg": b""}, ["/data/images/b.jpg: is empty (0 bytes)"]),
        ({"images/b.jpg": jpeg()[:900]}, ["/data/images/b.jpg: a JPEG that is truncated"]),
        ({"images/b.jpg": b"<html>404</html>"}, ["/data/images/b.jpg: a web page or XML, not an image"]),
        ({"masks/b.png": mask_png()[:60]}, ["/data/masks/b.png: a PNG that is truncated"]),
        ({"masks/b.png": b""}, ["/data/masks/b.png: is empty"]),
        ({"masks/b.png": mask_png(size=(10, 10))}, ["/data/masks/b.png: a mask of 10x10 pixels, its image has 64x48"]),
        ({"masks/b.png": mask_png((1, 2, 4))}, ["/data/masks/b.png: a mask with the value 4 in"]),
        ({"masks/b.png": encoded(photo().convert("L"), "JPEG")}, ["/data/masks/b.png: a mask as JPEG"]),
        ({"images/d.jpg": jpeg()}, ["/data/images/d.jpg: an image without a mask masks/d.*: add the mask"]),
        ({"masks/d.png": mask_png()}, ["/data/masks/d.png: a mask without an image images/d.*"]),
        ({"images/a.png": png()}, ["/data/images/a.png: has the same stem as", "/data/images/a.jpg: keep one"]),
        ({"masks/a.bmp": b""}, ["/data/masks/a.png: has the same stem as"]),
        ({"images/deep/a.jpg": jpeg()}, ["/data/images/deep/a.jpg: an image without a mask masks/deep/a.*"]),
    ],
)
def test_a_bad_pair(tmp_path: Path, files: dict[str, bytes], texts: list[str]) -> None:
    fails(tmp_path, GOOD | files, *texts, images=PAIRS)


def test_a_missing_mask(tmp_path: Path) -> None:
    files = {name: content for name, content in GOOD.items() if name != "masks/b.png"}
    fails(tmp_path, files, "/data/images/b.jpg: an image without a mask masks/b.*", images=PAIRS)


def test_all_bad_files_are_named_at_once(tmp_path: Path) -> None:
    bad = {"images/a.jpg": b"", "masks/b.png": mask_png((9,)), "images/d.jpg": jpeg()}
    result = fails(tmp_path, GOOD | bad, images=PAIRS)
    assert "/data/images/a.jpg: is empty (0 bytes): copy it again (and 2 more files to mend); " in result.error
    assert "/data/images/d.jpg: an image without a mask" in result.error
    assert "/data/masks/b.png: a mask with the value 9" in result.error


def test_very_many_bad_files_are_counted(tmp_path: Path) -> None:
    result = fails(tmp_path, CLASSES | {f"cat/{number:03d}.jpg": b"" for number in range(100)})
    assert "/data/cat/000.jpg: is empty (0 bytes): copy it again (and 99 more files to mend)" in result.error
    assert result.error.count("is empty") == 20
    assert result.error.endswith("and 80 not named here")


def test_looking_ends_where_nothing_is_good(tmp_path: Path) -> None:
    result = fails(tmp_path, {f"cat/{number:04d}.jpg": jpeg()[:99] for number in range(600)})
    assert "(and at least " in result.error


def test_a_file_that_may_not_be_read() -> None:
    if os.geteuid() != 0:
        pytest.skip("runs ingest as another user, which only root can")
    # Not pytest's own folder, into which other users cannot look.
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        write_files(folder / "data", CLASSES)
        (folder / "data" / "cat" / "1.jpg").chmod(0)
        (folder / "out").mkdir()
        (folder / "out").chmod(0o777)
        result = run_ingest(folder / "out", folder / "data", user=65534)
        assert result.exit_code == 65
        assert f"{folder}/data/cat/1.jpg: cannot be read: Permission denied" in result.error


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"1.jpg": jpeg()}, "/data/1.jpg: lies in no class's folder: move it into one, or set images.layout"),
        (CLASSES | {"3.jpg": jpeg()}, "/data/3.jpg: lies in no class's folder"),
        (
            CLASSES | {"cat/tabby/3.jpg": jpeg()},
            "/data/cat/tabby/3.jpg: lies 2 folders deep where the folders of class",
        ),
        (CLASSES | {"cat/x.heic": b"\0\0\0\x18ftypheic"}, "/data/cat/x.heic: HEIC, not an image of a known kind"),
    ],
)
def test_a_folder_that_is_no_class(tmp_path: Path, files: dict[str, bytes], text: str) -> None:
    fails(tmp_path, files, text)


def test_classes_in_existing_splits_lie_equally_deep(tmp_path: Path) -> None:
    files = {f"train/{name}": content for name, content in CLASSES.items()} | {"train/3.jpg": jpeg(3)}
    patterns = {"all": "train/**"}
    fails(tmp_path, files, "/data/train/3.jpg: lies 1 folders deep", patterns=patterns, format="images")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "/data/l.csv: no lines with a path and a label"),
        ("image,label\n", "/data/l.csv: no lines with a path and a label"),
        ("cat/1.jpg,cat\ncat/9.jpg,cat\n", "/data/l.csv: line 2: no image"),
        ("cat/1.jpg,cat\n\n# x\ncat/1.jpg,dog\n", "/data/l.csv: line 4: names cat/1.jpg again, as line 1"),
        ("cat/1.jpg,\n", "/data/l.csv: line 1: no label"),
        (",cat\n", "/data/l.csv: line 1: no path"),
        ("cat/1.jpg,cat\ndog/2.jpg\n", "/data/l.csv: line 2: 1 of 2 cells"),
        ("cat/1.jpg,cat,tabby\n", "/data/l.csv: line 1: 3 columns, which are path and label?"),
        ("../1.jpg,cat\n", "/data/l.csv: line 1: the path '../1.jpg' leaves the folder"),
        ("/etc/passwd,cat\n", "/data/l.csv: line 1: the path '/etc/passwd' leaves the folder"),
        ('"cat/1.jpg,cat\n', "/data/l.csv: line 1: not CSV"),
        ("cat/1.jpg,caf\udce9\n", "/data/l.csv: line 1: the byte 0xe9 is not UTF-8"),
        ("cat/1,cat\n", "2 images of that stem, give its suffix"),
    ],
)
def test_a_bad_list(tmp_path: Path, text: str, message: str) -> None:
    files = CLASSES | {"cat/1.png": png(), "l.csv": text.encode(errors="surrogateescape")}
    fails(tmp_path, files, message, images={"layout": "list", "list_file": "l.csv"})


@pytest.mark.parametrize(
    ("images", "text"),
    [
        ({"layout": "pair"}, "images.layout is 'pair': choose one of folders, pairs, list"),
        ({"masks_values": [1]}, "images has an unknown key 'masks_values', did you mean 'mask_values'?"),
        ({"mask_values": [256]}, "images.mask_values is [256]"),
        ({"mask_values": [1.5]}, "images.mask_values is [1.5]"),
        ({"mask_values": "1"}, "images.mask_values is '1'"),
        ({"images": "/x"}, "images.images is '/x': give a path relative to data"),
        ({"layout": "pairs", "masks": "../m"}, "images.masks is '../m'"),
        ({"layout": "list"}, "images.list_file is empty"),
        ({"list_file": "l.csv"}, "images.list_file is 'l.csv', which only the layout list reads"),
        ({"layout": "list", "list_file": "l.csv"}, "/data/l.csv: no such file: correct images.list_file"),
        ({"layout": "pairs"}, "/data/images: no such folder, or nothing in it"),
        ({"layout": "pairs", "images": "cat"}, "/data/annotations/trimaps: no such folder"),
        ("x", "parameter 'images' is 'x', expected a value of type dict"),
    ],
)
def test_malformed_images(tmp_path: Path, images: Any, text: str) -> None:
    fails(tmp_path, CLASSES, text, images=images)


def test_images_with_another_format(tmp_path: Path) -> None:
    fails(tmp_path, CLASSES, "images is given with the format 'csv'", images={"layout": "pairs"}, format="csv")


def test_no_images(tmp_path: Path) -> None:
    fails(tmp_path, {"a/readme.md": b"x"}, "/data: no images among its 1 files", format="images")
    fails(tmp_path / "2", {}, "/data: this folder is empty: put", format="images")
    data = write_files(tmp_path / "3", {"a.jpg": jpeg()})
    result = run_ingest(tmp_path / "out", data / "a.jpg", format="images")
    assert "a.jpg: a file, and images lie in a folder" in result.error


def test_images_beside_tables(tmp_path: Path) -> None:
    fails(tmp_path, {"a.csv": b"a\n1\n", "b.jpg": jpeg()}, "files of two formats")


def test_links_to_nothing_are_named(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", CLASSES)
    (data / "cat" / "gone.jpg").symlink_to(tmp_path / "gone")
    result = run_ingest(tmp_path / "out", data)
    assert "/data/cat/gone.jpg: a link to a file that is not there" in result.error


def test_a_link_to_its_own_folder_ends(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", CLASSES)
    (data / "cat" / "round").symlink_to(data)
    result = run_ingest(tmp_path / "out", data)
    assert result.exit_code == 65
    assert "folders deep" in result.error


def test_masks_of_the_wrong_values_say_which_are_right(tmp_path: Path) -> None:
    numbers = mask_png((0, 1))
    files = {"images/a.jpg": jpeg(), "masks/a.png": numbers}
    fails(tmp_path, files, f"the value 0 in {int((mask((0, 1)) == 0).sum())} pixels", "(1, 2, 3)", images=PAIRS)
