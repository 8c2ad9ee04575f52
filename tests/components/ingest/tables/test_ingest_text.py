"""Columns that are text, rows that are left out, and texts that are hard to read."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from components.ingest import output
from components.ingest.encoding import Part, encode
from components.ingest.tables.csv import files as csv_files
from components.runtime.data import examples
from components.runtime.errors import InputError
from tests.components.ingest.ingest_support import ingested, run_ingest, tfrecord_bytes, write_files
from tests.support import shared

HARD = {
    "megabyte": "a word, " * 131_072,
    "emoji": "🙏🏽 ça n'est pas juste 日本",
    "nul": "before\0after",
    "lines": 'first\n\n"quoted"\r\nlast',
    "blank": " ",
}


def test_text_columns_keep_their_zeros(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", {"a.csv": b"zip_code,n\n04736,1\n,2\n2138,3\n"})
    result = ingested(tmp_path / "out", data, splits={"all": 1}, text_columns=["zip_code"])
    assert result.metadata["columns"] == {"zip_code": "bytes", "n": "int64"}
    assert sorted(row["zip_code"] for row in result.rows()) == [[], [b"04736"], [b"2138"]]


def test_rows_without_a_value_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = b"".join(b"%d,%s\n" % (row, b"" if row % 4 == 0 else b"x") for row in range(400))
    data = write_files(tmp_path / "data", {"a.csv": b"n,label\n" + rows})
    result = ingested(tmp_path / "out", data, leave_out_without=["label"])
    assert (result.metadata["rows"], result.metadata["rows_left_out"]) == (300, 100)
    assert all(row["label"] == [b"x"] for row in result.rows())
    # The rows that stay are in the splits in which they are when none is left out.
    whole = ingested(tmp_path / "whole", data)
    assert "rows_left_out" not in whole.metadata
    for split in ("train", "eval"):
        labelled = [row for row in whole.rows(split) if row["label"]]
        assert result.rows(split) == labelled


def test_records_without_a_value_are_left_out_too() -> None:
    records = [examples.encode({"n": 1, "label": 0}), examples.encode({"n": 2}), examples.encode({"label": None})]
    result = encode(Part("a.gz", "train", records), ("eval", "train"), None, ("label",))
    assert (result.rows, result.left_out) == ((0, 1), 2)


@pytest.mark.parametrize("of_table", [True, False])
def test_nan_is_no_value(of_table: bool) -> None:
    """Of a label it would be learned as 0."""
    values = [0.5, float("nan"), None, 0.0]
    table = pa.RecordBatch.from_pydict({"label": pa.array(values, pa.float32())})
    records = [examples.encode({"label": value}) for value in values]
    result = encode(Part("a", "train", table if of_table else records), ("eval", "train"), None, ("label",))
    assert (result.rows, result.left_out) == ((0, 2), 2)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            {"leave_out_without": ["lable"]},
            "no column 'lable', which leave_out_without names, did you mean 'label'?; it has: n, label",
        ),
        ({"text_columns": ["zip"]}, "no column 'zip', which text_columns names; it has: n, label"),
        ({"leave_out_without": ["label"]}, "none of the 2 rows has 'label', so all are left out"),
    ],
)
def test_columns_that_are_not_there_are_told(arguments: dict[str, list[str]], line: str, tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", {"a.csv": b"n,label\n1,\n2,\n"})
    result = run_ingest(tmp_path / "out", data, **arguments)
    assert result.exit_code == 65
    assert line in result.error
    assert list((tmp_path / "out").iterdir()) == []


def test_text_columns_are_for_csv_files(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", {"a.tfrecord.gz": tfrecord_bytes([examples.encode({"n": 1})])})
    result = run_ingest(tmp_path / "out", data, text_columns=["n"])
    assert result.exit_code == 65
    assert "text_columns is for CSV files" in result.error


def test_hard_texts_are_read_right(tmp_path: Path) -> None:
    file = tmp_path / "data" / "a.csv"
    file.parent.mkdir()
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([["name", "text"], *HARD.items(), ["empty", ""]])
    rows = ingested(tmp_path / "out", file.parent, splits={"all": 1}).rows()
    found = {row["name"][0].decode(): [value.decode() for value in row["text"]] for row in rows}
    assert found == {name: [text] for name, text in HARD.items()} | {"empty": []}


def test_text_that_is_not_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    content = b'n,text\n1,"two\nlines"\n2,caf\xe9\n3,fine\n'
    result = run_ingest(tmp_path / "out", write_files(tmp_path / "data", {"a.csv": content}))
    assert result.exit_code == 65
    assert "/data/a.csv: line 4: the byte 0xe9 is not UTF-8" in result.error


def test_real_narratives_across_blocks_and_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = shared("complaints/product_narrative.csv")
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 1 << 14)
    monkeypatch.setattr(output.SplitWriter.__init__, "__kwdefaults__", {"shard_bytes": 1 << 18})
    result = ingested(tmp_path / "out", file, splits={"all": 1})
    assert len(result.files()) > 3
    with file.open(encoding="utf-8", newline="") as stream:
        expected = [row["consumer_complaint_narrative"] for row in csv.DictReader(stream)]
    assert sum("\n" in text for text in expected) > 500
    assert Counter(row["consumer_complaint_narrative"][0].decode() for row in result.rows()) == Counter(expected)


def test_a_changed_part_names_its_file() -> None:
    with pytest.raises(InputError, match=r"^b.csv: no column 'label'"):
        encode(Part("b.csv", "train", pa.RecordBatch.from_pydict({"n": [1]})), ("train",), None, ("label",))
