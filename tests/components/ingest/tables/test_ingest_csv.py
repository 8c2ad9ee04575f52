"""Odd but valid CSV."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from components.ingest import output
from components.ingest.tables.csv import files as csv_files
from tests.components.ingest.ingest_support import ROWS, Ingested, ingested, write_files


def ingest_files(tmp_path: Path, **files: bytes) -> Ingested:
    data = write_files(tmp_path / "data", {name.replace("_", "."): content for name, content in files.items()})
    return ingested(tmp_path / "out", data, splits={"all": 1})


def test_quotes_commas_line_breaks_and_unicode(tmp_path: Path) -> None:
    content = 'name,text\n"a,b","first\nsecond ""quoted""\r\nthird"\nü,x"y\n日本,"🚕"\n'.encode()
    rows = ingest_files(tmp_path, a_csv=content).rows()
    assert rows == [
        {"name": [b"a,b"], "text": [b'first\nsecond "quoted"\r\nthird']},
        {"name": ["ü".encode()], "text": [b'x"y']},
        {"name": ["日本".encode()], "text": ["🚕".encode()]},
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + ROWS,
        ROWS.replace(b"\n", b"\r\n"),
        ROWS.replace(b"\n", b"\r"),
        ROWS.removesuffix(b"\n"),
        b"\n\n" + ROWS.replace(b"5\n", b"5\n\n") + b"\n",
        b'"number","text"' + ROWS.removeprefix(b"number,text"),
    ],
    ids=["byte order mark", "CRLF", "CR", "no last line end", "blank lines", "quoted header"],
)
def test_writings_of_the_same_rows(content: bytes, tmp_path: Path) -> None:
    rows = ingest_files(tmp_path, a_csv=content).rows()
    assert rows == [{"number": [number], "text": [b"word %d" % number]} for number in range(30)]


def test_thousands_of_columns_keep_the_metadata_small(tmp_path: Path) -> None:
    """KFP's launcher gets all metadata in one argument, of which Linux takes 128 KiB."""
    names = [f"column_number_{number}" for number in range(5000)]
    content = "\n".join([",".join(names), *(",".join([str(row)] * 5000) for row in range(3))]).encode()
    found = ingest_files(tmp_path, a_csv=content)
    assert len(json.dumps(found.metadata)) < 4096
    assert len(found.rows()[0]) == 5000
    assert ingest_files(tmp_path / "few", a_csv=ROWS).metadata["columns"] == {"number": "int64", "text": "bytes"}


def test_compressed_csv(tmp_path: Path) -> None:
    plain = ingest_files(tmp_path / "1", a_csv=ROWS)
    compressed = ingest_files(tmp_path / "2", a_csv_gz=gzip.compress(ROWS))
    assert compressed.files() == plain.files()
    assert compressed.metadata["format"] == "csv"


def test_blanks_are_missing_and_leave_the_type_alone(tmp_path: Path) -> None:
    result = ingest_files(tmp_path, a_csv=b'i,f,s,n\n1,,"",\n,2.5,NA,\n-3,4, ,\n')
    assert result.rows() == [
        {"f": [], "i": [1], "n": [], "s": []},
        {"f": [2.5], "i": [], "n": [], "s": [b"NA"]},
        {"f": [4.0], "i": [-3], "n": [], "s": [b" "]},
    ]
    assert result.metadata["columns"] == {"i": "int64", "f": "float32", "s": "bytes", "n": "missing"}


def test_a_row_of_blanks_only(tmp_path: Path) -> None:
    assert ingest_files(tmp_path, a_csv=b"a,b\n,\n1,2\n").rows() == [{"a": [], "b": []}, {"a": [1], "b": [2]}]


def test_types_come_from_all_rows_of_all_files(tmp_path: Path) -> None:
    before = csv_files.BLOCK_BYTES // 200
    late = b"number,text\n" + b"1,%b\n" % (b"x" * 200) * before + b"0.5,end\n"
    assert len(late) > csv_files.BLOCK_BYTES
    result = ingest_files(tmp_path, a_csv=ROWS, b_csv=late)
    assert result.metadata["columns"]["number"] == "float32"
    assert {type(row["number"][0]) for row in result.rows()} == {float}
    assert result.metadata["rows"] == 30 + before + 1


def test_columns_in_another_order_and_files_without_rows(tmp_path: Path) -> None:
    result = ingest_files(tmp_path, a_csv=b"a,b", b_csv=b"a,b\n1,x\n", c_csv=b"b,a\ny,2\n", d_csv=b"b,a\n")
    assert result.rows() == [{"a": [1], "b": [b"x"]}, {"a": [2], "b": [b"y"]}]


def test_fields_of_ten_megabytes(tmp_path: Path) -> None:
    long = b'line\n,""' * 1_300_000
    result = ingest_files(tmp_path, a_csv=ROWS + b'30,"' + long + b'"\n31,"' + long + b'"\n32,end\n')
    rows = result.rows()
    assert len(rows) == 33
    assert [row["text"][0] for row in rows[30:]] == [long.replace(b'""', b'"')] * 2 + [b"end"]


def test_a_header_longer_than_a_block(tmp_path: Path) -> None:
    name = b"n" * (csv_files.BLOCK_BYTES + 5)
    assert ingest_files(tmp_path, a_csv=name + b"\n1\n2\n").rows() == [{name.decode(): [1]}, {name.decode(): [2]}]


def test_quoted_cells_at_the_end_are_not_taken_for_open_quotes(tmp_path: Path) -> None:
    for number, end in enumerate([b'"x"', b'"x"""', b'""""', b'""', b'"a\n"', b'"a""\n"\n', b'x"', b'"a\n"\n']):
        ingest_files(tmp_path / str(number), a_csv=b"a,b\n1,2\n3," + end)


def test_a_single_column(tmp_path: Path) -> None:
    assert ingest_files(tmp_path, a_csv=b'a\n1\n\n""\n2\n').rows() == [{"a": [1]}, {"a": []}, {"a": [2]}]


def test_many_columns(tmp_path: Path) -> None:
    names = [f"column {number}" for number in range(3000)]
    content = ",".join(names).encode() + b"\n" + b"\n".join(b",".join([b"%d" % row] * 3000) for row in range(3))
    rows = ingest_files(tmp_path, a_csv=content).rows()
    assert [row["column 2999"] for row in rows] == [[0], [1], [2]]


def test_one_file_is_enough(tmp_path: Path) -> None:
    write_files(tmp_path, {"_hidden.csv": ROWS})
    assert ingested(tmp_path / "out", tmp_path / "_hidden.csv").metadata["rows"] == 30


def test_an_asked_format_counts_more_than_the_name(tmp_path: Path) -> None:
    write_files(tmp_path / "data", {"part-00000": ROWS})
    assert ingested(tmp_path / "out", tmp_path / "data", format="csv").metadata["format"] == "csv"


def test_large_splits_are_sharded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ingested(tmp_path / "whole", write_files(tmp_path / "data", {"a.csv": ROWS}), splits={"all": 1})
    many = b"number,text\n" + b"".join(b"%d,word %d\n" % (row, row) for row in range(20_000))
    write_files(tmp_path / "many", {"a.csv": many})
    # The fork sees what is patched here.
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 1 << 15)
    monkeypatch.setattr(output.SplitWriter.__init__, "__kwdefaults__", {"shard_bytes": 1 << 18})
    sharded = ingested(tmp_path / "out", tmp_path / "many", splits={"all": 1})
    assert list(whole.files()) == ["Split-all/data_tfrecord-00000-of-00001.gz"]
    names = list(sharded.files())
    assert len(names) > 2
    assert names == [f"Split-all/data_tfrecord-{shard:05d}-of-{len(names):05d}.gz" for shard in range(len(names))]
    assert [row["number"][0] for row in sharded.rows()] == list(range(20_000))
    again = ingested(tmp_path / "again", tmp_path / "many", splits={"all": 1})
    assert again.files() == sharded.files()
