"""Images in folders of classes, in lists, in existing splits; in processes of their own and in object storage."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from components.ingest.images import encoding as image_encoding
from components.ingest.images import ingestion as image_ingestion
from components.runtime.data import pictures
from tests.components.ingest.ingest_support import Ingested, ingested, run_ingest, write_files
from tests.image_files import encoded, jpeg, mask_png, photo, png, turned

CLASSES = {
    "cat/1.jpg": jpeg(1),
    "cat/2.jpeg": jpeg(2, progressive=True),
    "dog/1.png": png(3),
    "dog/2.JPG": jpeg(4),
    "dog/_MG_3.jpg": jpeg(5),
}
ALL = {"all": 1}


def labels(result: Ingested, split: str | None = None) -> dict[str, str]:
    return {row["image_name"][0].decode(): row["label"][0].decode() for row in result.rows(split)}


def test_the_folder_is_the_class(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", CLASSES)
    result = ingested(tmp_path / "out", data, splits=ALL)
    assert labels(result) == {name: name.split("/")[0] for name in CLASSES}
    assert {row["image_name"][0].decode(): row["image"][0] for row in result.rows()} == CLASSES
    formats = {row["image_name"][0]: row["image_format"][0] for row in result.rows()}
    assert formats[b"dog/1.png"] == b"png"
    assert formats[b"dog/2.JPG"] == b"jpeg"
    assert (result.metadata["format"], result.metadata["layout"], result.metadata["classes"]) == (
        "images",
        "folders",
        2,
    )


def test_images_may_lie_in_a_folder_of_the_data(tmp_path: Path) -> None:
    files = {f"photos/{name}": content for name, content in CLASSES.items()} | {"notes/a.csv": b"a\n1\n"}
    data = write_files(tmp_path / "data", files)
    result = ingested(tmp_path / "out", data, splits=ALL, images={"layout": "folders", "images": "photos/"})
    assert labels(result) == {f"photos/{name}": name.split("/")[0] for name in CLASSES}


def test_other_files_are_left_out_and_counted(tmp_path: Path) -> None:
    others = {
        "cat/Thumbs.db": b"\0",
        "cat/._1.jpg": b"\0",
        ".DS_Store": b"\0",
        "README.md": b"about",
        "dog/LICENSE": b"free",
        "dog/desktop.ini": b"[x]",
        "cat/no-suffix": jpeg(7),
    }
    data = write_files(tmp_path / "data", CLASSES | others)
    result = ingested(tmp_path / "out", data, splits=ALL, format="images")
    assert set(labels(result)) == {*CLASSES, "cat/no-suffix"}
    assert result.metadata["left_out"] == 4
    assert "4 files that are no images left out, such as" in result.result.stdout


def test_links_are_followed(tmp_path: Path) -> None:
    elsewhere = write_files(tmp_path / "elsewhere", CLASSES)
    (tmp_path / "data" / "cat").mkdir(parents=True)
    (tmp_path / "data" / "cat" / "1.jpg").symlink_to(elsewhere / "cat" / "1.jpg")
    (tmp_path / "data" / "dog").symlink_to(elsewhere / "dog")
    result = ingested(tmp_path / "out", tmp_path / "data", splits=ALL)
    assert set(labels(result)) == {"cat/1.jpg", "dog/1.png", "dog/2.JPG", "dog/_MG_3.jpg"}


@pytest.mark.parametrize(
    "patterns",
    [{"train": "train/**", "eval": "val/**"}, {"train": "train/*/*", "eval": "val/*/*.jpg"}],
)
def test_existing_splits_are_kept(tmp_path: Path, patterns: dict[str, str]) -> None:
    files = {f"train/{name}": content for name, content in CLASSES.items()} | {"val/cat/9.jpg": jpeg(9)}
    result = ingested(tmp_path / "out", write_files(tmp_path / "data", files), patterns=patterns)
    assert labels(result, "train") == {f"train/{name}": name.split("/")[0] for name in CLASSES}
    assert labels(result, "eval") == {"val/cat/9.jpg": "cat"}


def test_pairs_in_existing_splits(tmp_path: Path) -> None:
    files = {f"images/{split}/{number}.jpg": jpeg(number) for number, split in enumerate(["a", "a", "b", "c"])}
    files |= {f"masks/{split}/{number}.png": mask_png() for number, split in enumerate(["a", "a", "b", "c"])}
    data = write_files(tmp_path / "data", files)
    result = ingested(
        tmp_path / "out",
        data,
        patterns={"train": "images/a/*", "eval": "images/b/*"},
        images={"layout": "pairs", "masks": "masks"},
    )
    assert [row["image_name"][0] for row in result.rows("train")] == [b"images/a/0.jpg", b"images/a/1.jpg"]
    assert [row["image_name"][0] for row in result.rows("eval")] == [b"images/b/2.jpg"]
    assert result.metadata["files"] == 6


def test_the_newest_span(tmp_path: Path) -> None:
    files = {f"span-{span}/{name}": content for span in (1, 2) for name, content in CLASSES.items()}
    write_files(tmp_path / "data", files)
    result = ingested(tmp_path / "out", f"{tmp_path}/data/span-{{SPAN}}", splits=ALL)
    assert result.metadata["spans"] == [2]
    assert set(labels(result)) == set(CLASSES)


@pytest.mark.parametrize(
    "text",
    [
        "cat/1.jpg,cat\ncat/2.jpeg,big cat\ndog/1.png,dog\n",
        "image,label\ncat/1.jpg,cat\r\ncat/2.jpeg,big cat\r\n\r\ndog/1.png,dog",
        "label\tpath\ncat\tcat/1.jpg\nbig cat\t./cat/2.jpeg\n# no more\ndog\tdog/1.png\n",
        '\ufeffid,file_name,class\n1,cat/1.jpg,cat\n2,cat/2.jpeg,"big cat"\n3,dog/1.png,dog\n',
        "name,category\ncat/1,cat\ncat/2,big cat\ndog/1,dog\n",
    ],
    ids=["csv", "header", "tsv", "columns", "stems"],
)
def test_a_list_of_images_and_labels(tmp_path: Path, text: str) -> None:
    data = write_files(tmp_path / "data", CLASSES | {"lists/all.csv": text.encode()})
    result = ingested(tmp_path / "out", data, splits=ALL, images={"layout": "list", "list_file": "lists/all.csv"})
    assert labels(result) == {"cat/1.jpg": "cat", "cat/2.jpeg": "big cat", "dog/1.png": "dog"}
    assert result.metadata["files"] == 4, "with the list"


def test_a_list_separated_by_spaces(tmp_path: Path) -> None:
    files = {
        "my photos/a b.jpg": jpeg(1),
        "my photos/c.jpg": jpeg(2),
        "list.txt": b"# id class\na b.jpg 7\nc.jpg   8\n",
    }
    data = write_files(tmp_path / "data", files)
    images = {"layout": "list", "list_file": "list.txt", "images": "my photos"}
    result = ingested(tmp_path / "out", data, splits=ALL, images=images)
    assert labels(result) == {"my photos/a b.jpg": "7", "my photos/c.jpg": "8"}


def test_what_was_converted_and_what_is_twice_is_counted(tmp_path: Path) -> None:
    files = CLASSES | {
        "cat/turned.jpg": turned("JPEG", 6),
        "cat/turned-too.jpg": turned("JPEG", 3),
        "cat/cmyk.jpg": encoded(photo().convert("CMYK"), "JPEG"),
        "cat/really-png.jpg": png(8),
        "dog/again.jpg": jpeg(1),
    }
    result = ingested(tmp_path / "out", write_files(tmp_path / "data", files), splits=ALL)
    assert result.metadata["converted"] == 3
    assert result.metadata["converted_why"] == {"CMYK": 1, "EXIF orientation": 2}
    assert result.metadata["duplicates"] == 1
    rows = {row["image_name"][0].decode(): row for row in result.rows()}
    assert rows["cat/turned.jpg"]["image_format"] == [b"png"]
    assert (rows["cat/turned.jpg"]["width"], rows["cat/turned.jpg"]["height"]) == ([48], [64])
    assert rows["cat/really-png.jpg"]["image"] == [png(8)]
    assert rows["cat/really-png.jpg"]["image_format"] == [b"png"]


def test_processes_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"{'cat' if number % 3 else 'dog'}/{number:03d}.jpg": jpeg(number) for number in range(90)}
    data = write_files(tmp_path / "data", files)
    monkeypatch.setattr(image_encoding, "PART_BYTES", 10_000)
    result = ingested(tmp_path / "out", data)
    monkeypatch.setattr(image_ingestion, "_WORTH_PROCESSES", 1000)
    assert ingested(tmp_path / "inline", data).files() == result.files()


def test_a_split_depends_on_name_and_content(tmp_path: Path) -> None:
    files = {f"a/{number}.jpg": jpeg(number % 20) for number in range(60)}
    data = write_files(tmp_path / "data", files)
    first = ingested(tmp_path / "1", data)
    (data / "a" / "0.jpg").write_bytes(jpeg(99))
    os.utime(data / "a" / "1.jpg", (0, 0))
    second = ingested(tmp_path / "2", data)
    for split in ("train", "eval"):
        assert set(labels(first, split)) - {"a/0.jpg"} == set(labels(second, split)) - {"a/0.jpg"}
    assert first.metadata["content"] != second.metadata["content"]


def test_the_parameter_comes_from_kfp_as_numbers_with_a_fraction(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", {"images/a.jpg": jpeg(), "m/a.png": mask_png((0, 1))})
    images: dict[str, Any] = {"layout": "pairs", "masks": "m", "mask_values": [0.0, 1.0], "list_file": None}
    assert ingested(tmp_path / "out", data, splits=ALL, images=images).metadata["rows"] == 1


def test_images_without_labels_may_lie_anywhere(tmp_path: Path) -> None:
    files = {"1.jpg": jpeg(1), "day/2.png": png(2), "day/deeper/3.jpg": jpeg(3), "day/notes.txt": b"of the day"}
    result = ingested(tmp_path / "out", write_files(tmp_path / "data", files), splits=ALL, images={"layout": "plain"})
    rows = result.rows()
    assert [row["image_name"][0].decode() for row in rows] == ["1.jpg", "day/2.png", "day/deeper/3.jpg"]
    assert not any("label" in row or "mask" in row for row in rows)
    assert (result.metadata["layout"], result.metadata["left_out"]) == ("plain", 1)
    assert "classes" not in result.metadata


def test_the_newest_spans_of_images(tmp_path: Path) -> None:
    files = {f"span-{span}/images/{name}.jpg": jpeg(span) for span in (1, 2, 4) for name in ("a", "b")}
    files |= {f"span-{span}/masks/{name}.png": mask_png() for span in (1, 2, 4) for name in ("a", "b")}
    data = write_files(tmp_path / "data", files)
    pairs = {"layout": "pairs", "masks": "masks"}
    result = ingested(tmp_path / "out", data, splits=ALL, format="images", images=pairs, spans=2)
    assert [row["image_name"][0] for row in result.rows()] == [
        *(b"span-2/images/a.jpg", b"span-2/images/b.jpg", b"span-4/images/a.jpg", b"span-4/images/b.jpg")
    ]
    assert all(row["mask"] == [mask_png()] for row in result.rows())
    assert (result.metadata["spans"], result.metadata["files"]) == ([2, 4], 8)
    assert "spans 2, 4; not there: 3" in result.result.stdout


def test_what_is_wrong_in_a_span_of_images_is_told_with_the_span(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", {"span-1/cat/1.jpg": jpeg(), "span-2/cat/2.jpg": b"\xff\xd8\xffno more"})
    result = run_ingest(tmp_path / "out", data, splits=ALL, format="images", spans=2)
    assert result.exit_code == 65
    assert "span-2/cat/2.jpg: a" in result.error


def test_images_are_measured_where_it_is_asked_for(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", CLASSES)
    result = ingested(tmp_path / "out", data, splits=ALL, images={"measures": True})
    for row in result.rows():
        assert {name: row[name] for name in pictures.MEASURES} == {
            name: [pytest.approx(value)] for name, value in pictures.measured(row["image"][0]).items()
        }
    said = run_ingest(tmp_path / "wrong", data, splits=ALL, images={"measures": "yes"}).error
    assert said == "images.measures is 'yes': give true or false"
