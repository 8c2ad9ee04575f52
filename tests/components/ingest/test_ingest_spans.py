"""The moving window: the newest of several spans of data that grows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.components.ingest.ingest_support import ROWS, ingested, run_ingest, write_files


def rows_of(number: int) -> bytes:
    return b"number,text\n" + b"".join(b"%d,word %d\n" % (number * 100 + row, row) for row in range(9))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The spans 8, 9, 11 and 12, and what is none."""
    spans = {f"span-{number}/rides.csv": rows_of(number) for number in (8, 9, 11, 12)}
    return write_files(tmp_path / "data", spans | {"span-x/a.csv": ROWS, "spans/a.csv": ROWS, "span-13": b"a file"})


def test_the_newest_spans_are_read_and_what_is_missing_is_told(tmp_path: Path, data: Path) -> None:
    found = ingested(tmp_path / "out", data, spans=3, splits={"all": 1})
    assert found.metadata["spans"] == [9, 11, 12]
    assert {row["number"][0] // 100 for row in found.rows()} == {9, 11, 12}
    assert found.metadata["rows"] == 27
    assert "spans 9, 11, 12, 10 not there" in found.result.stdout
    assert "spans 9, 11, 12, 10 not there" in found.page


def test_fewer_spans_than_asked_for_are_told(tmp_path: Path, data: Path) -> None:
    found = ingested(tmp_path / "out", data, spans=9, splits={"all": 1})
    assert found.metadata["spans"] == [8, 9, 11, 12]
    assert "there are no 9" in found.result.stdout


def test_one_span_has_other_content_than_the_same_rows_in_another(tmp_path: Path, data: Path) -> None:
    one = ingested(tmp_path / "one", data, spans=1, splits={"all": 1})
    assert one.metadata["spans"] == [12]
    assert "span 12" in one.page
    (data / "span-12").rename(data / "span-14")
    other = ingested(tmp_path / "other", data, spans=1, splits={"all": 1})
    assert other.files() == one.files()
    assert other.metadata["content"] != one.metadata["content"]


def test_patterns_are_those_of_a_span(tmp_path: Path) -> None:
    files = {f"span-{number}/{split}.csv": rows_of(number) for number in (1, 2) for split in ("train", "eval")}
    found = ingested(
        tmp_path / "out",
        write_files(tmp_path / "data", files),
        spans=2,
        patterns={"train": "train.csv", "eval": "eval.csv"},
    )
    assert (found.metadata["rows_train"], found.metadata["rows_eval"]) == (18, 18)


@pytest.mark.parametrize(
    ("files", "spans", "error"),
    [
        ({"rides.csv": ROWS}, 2, "holds no folders span-1, span-2 and so on; name theirs, or take spans out"),
        ({"span-1/a.csv": ROWS, "span-01/a.csv": ROWS}, 2, "span-01 and span-1 are one span"),
        ({"span-1/a.csv": ROWS, "span-2/_hidden": ROWS}, 2, "span-2: no files in this folder"),
        ({"span-1/a.csv": ROWS}, -1, "spans is -1: say how many of the newest are read"),
        ({"span-1/a.jpg": b"\xff\xd8\xff"}, 1, "these are spans of images: set ingest.format to images"),
    ],
)
def test_what_is_no_folder_of_spans(tmp_path: Path, files: dict[str, bytes], spans: int, error: str) -> None:
    result = run_ingest(tmp_path / "out", write_files(tmp_path / "data", files), spans=spans)
    assert result.exit_code == 65
    assert error in result.error
