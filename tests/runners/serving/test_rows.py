"""Rows as a person gives them, and as the server takes them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from components.runtime.errors import InputError
from components.runtime.model_server.client import Tensor
from runners.serving.rows import of_file, of_text

INPUTS = {
    "x": Tensor("DT_FLOAT", (-1,)),
    "n": Tensor("DT_INT64", (-1,)),
    "text": Tensor("DT_STRING", (-1,)),
    "flag": Tensor("DT_BOOL", (-1,)),
    "place": Tensor("DT_FLOAT", (-1, 2)),
    "tags": Tensor("DT_STRING", (-1, -1)),
}
FULL = '{"x": 1, "n": 2, "text": "ü", "flag": true, "place": [1, null], "tags": ["a"]}'


def test_a_row_of_json() -> None:
    row, missing = of_text(FULL, INPUTS)
    assert missing == []
    assert math.isnan(row["place"].pop())
    assert row == {"x": 1, "n": 2, "text": "ü", "flag": True, "place": [1], "tags": ["a"]}


def test_what_is_not_named_is_missing() -> None:
    row, missing = of_text('{"n": null}', INPUTS)
    assert missing == list(INPUTS)
    assert math.isnan(row["x"])
    assert [math.isnan(each) for each in row["place"]] == [True, True]
    assert {name: row[name] for name in ("n", "text", "flag", "tags")} == {
        "n": -(2**63), "text": "", "flag": False, "tags": [],
    }  # fmt: skip


def test_a_file_stands_for_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8")
    row, _ = of_text(f'{{"text": "@{tmp_path}/a.jpg"}}', INPUTS)
    assert row["text"] == {"b64": "/9g="}
    assert of_text('{"text": "@"}', INPUTS)[0]["text"] == "@"
    with pytest.raises(InputError, match=r"text: .*/b.jpg: No such file"):
        of_text(f'{{"text": "@{tmp_path}/b.jpg"}}', INPUTS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON"),
        ("[1]", "no JSON object"),
        ('{"X": 1}', "the model takes no 'X'"),
        ('{"x": "much"}', "x takes a number, not 'much'"),
        ('{"n": 1.5}', "n takes a whole number, not 1.5"),
        ('{"n": Infinity}', "n takes a whole number"),
        ('{"n": {}}', "n takes a whole number"),
        ('{"x": [1]}', "x takes one value, not a list"),
        ('{"place": 1}', "place takes a list of values"),
        ('{"flag": "maybe"}', "flag takes true or false, not 'maybe'"),
    ],
)
def test_bad_rows(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        of_text(text, INPUTS)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"x,n,text,other\n1.5,2,007,z\n,,,\n3,4,c,z\n"),
        ("a.tsv", b"x\tn\ttext\n1.5\t2\t007\n\t\t\n3\t4\tc\n"),
        ("a.jsonl", b'{"x": 1.5, "n": 2, "text": "007"}\n{"x": null, "n": null, "text": null}\n{}\n'),
    ],
)
def test_tables(tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    _check(file)


def test_parquet(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {"x": [1.5, None, 3.0], "n": [2, None, 4], "text": ["007", None, "c"]}
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    _check(tmp_path / "a.parquet")


def _check(file: Path) -> None:
    rows, missing = of_file(file, INPUTS, 2)
    assert len(rows) == 2
    assert missing == ["flag", "place", "tags"]
    assert {name: rows[0][name] for name in ("x", "n", "text")} == {"x": 1.5, "n": 2, "text": "007"}
    assert math.isnan(rows[1]["x"])
    assert {name: rows[1][name] for name in ("n", "text")} == {"n": -(2**63), "text": ""}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.xls", b"", "can be asked about"),
        ("none.csv", None, "cannot be read"),
        ("a.csv", b"", "cannot be read"),
        ("a.csv", b"x\n", "no rows"),
        ("a.csv", b"y\n1\n", "none of its columns is an input of the model"),
        ("a.csv", b"n,x\n1,2\nb,3\n", "row 2: n takes a whole number, not 'b'"),
        ("a.csv", b"x\n\xff\n", "a.csv"),
        ("a.jsonl", b"{}\n{\n", "line 2 is no JSON"),
        ("a.jsonl", b"1\n", "line 1 is no JSON object"),
        ("a.jsonl", b'{"x": "\xff"}\n', "a.jsonl"),
        ("a.parquet", b"PAR1", "cannot be read"),
    ],
)
def test_bad_tables(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        of_file(file, INPUTS, 10)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
