"""How CSV files are written is found out where ingest would have to be told."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from runners.scaffold.model import csv_form


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a,b\n1,2\n3,4\n", {}),
        ("a;b\n1,5;2\n3,25;4\n", {"delimiter": ";", "decimal": ","}),
        ("a;b\n1.5;2\n3;4\n", {"delimiter": ";"}),
        ("a\tb\nx, y\t2\nz\t4\n", {"delimiter": "\t"}),
        ('a,b\n"x;y",2\n"z;w",4\n', {}),
        ("a\n1\n2\n", {}),
        ('a;b\n"two\nlines";2\n"x\n\ny";4\n', {"delimiter": ";"}),
        ("Größe;b\n1;2\n".encode("cp1252"), {"delimiter": ";", "encoding": "cp1252"}),
        ("a,b\n1,2\n".encode("utf-16"), {"encoding": "utf-16"}),
        ("", {}),
        (b"\x00\x01\xff\xfe" * 40, {"encoding": "cp1252"}),
    ],
)
def test_the_form_of_a_file(tmp_path: Path, content: str | bytes, expected: dict[str, Any]) -> None:
    raw = content.encode() if isinstance(content, str) else content
    (tmp_path / "data.csv").write_bytes(raw)
    assert csv_form.settings(str(tmp_path)) == expected
    (tmp_path / "data.csv").unlink()
    (tmp_path / "one.csv.gz").write_bytes(gzip.compress(raw))
    assert csv_form.settings(str(tmp_path / "one.csv.gz")) == expected


def test_what_is_given_holds_and_other_names_are_csv_too(tmp_path: Path) -> None:
    (tmp_path / "data.tsv").write_text("a\tb\n1\t2\n")
    assert csv_form.settings(str(tmp_path)) == {"format": "csv", "delimiter": "\t"}
    (tmp_path / "data.tsv").rename(tmp_path / "data.txt")
    assert csv_form.settings(str(tmp_path), {"encoding": "latin-1"}) == {"encoding": "latin-1"}
    given = {"format": "csv", "encoding": "latin-1"}
    assert csv_form.settings(str(tmp_path), given) == given | {"delimiter": "\t"}


def test_what_is_no_csv_or_lies_elsewhere_is_left_to_ingest(tmp_path: Path) -> None:
    (tmp_path / "data.parquet").write_bytes(b"PAR1")
    assert csv_form.settings(str(tmp_path)) == {}
    assert csv_form.settings("gs://bucket/data.csv") == {}
    assert csv_form.settings(str(tmp_path / "missing")) == {}
