"""Text behind closing quotes, wherever Arrow's blocks are cut, beside what Python's reader says of the same text."""

from __future__ import annotations

import csv
import gzip
import io
import random
import re
from pathlib import Path

import pyarrow as pa
import pytest

from components.ingest.sources import find
from components.ingest.tables.csv import files as csv_files
from components.ingest.tables.csv.files import CsvTable
from components.ingest.tables.csv.options import CsvOptions
from components.ingest.tables.csv.quotes import NEVER_CLOSED, TEXT_BEHIND, CheckedQuotes, fault
from components.runtime.errors import InputError
from tests.components.ingest.ingest_support import ingested, write_files

FORGOTTEN = b'30,"open\n31,x1\n32,x2\n33,"y"\n34,x4\n'


def strictly(text: str, delimiter: str) -> str:
    """What Python's reader says of a text."""
    try:
        list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        return NEVER_CLOSED if str(error) == "unexpected end of data" else TEXT_BEHIND
    return ""


def in_pieces(text: str, delimiter: str, size: int) -> str:
    """What is found in a text that is read so many bytes at a time."""
    stream = CheckedQuotes(io.BytesIO(text.encode()), delimiter)
    try:
        while stream.read(size):
            pass
    except pa.ArrowInvalid as error:
        return str(error)
    return NEVER_CLOSED if stream.open else ""


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " ", "|", "^", "]", "\\", "-"])
def test_it_says_what_pythons_reader_says(delimiter: str) -> None:
    random.seed(delimiter)
    found = set()
    for _ in range(700):
        text = "".join(random.choices(["a", "é", '"', '"', delimiter, "\n", "\r\n", "\r"], k=random.randint(0, 14)))
        said = strictly(text, delimiter)
        found.add(said)
        assert fault([text], delimiter) == said, text
        for size in (1, 2, 3, 5, 100):
            assert in_pieces(text, delimiter, size) == said, (text, size)
    assert found == {"", NEVER_CLOSED, TEXT_BEHIND}


def test_a_byte_order_mark_is_no_text_before_a_quote() -> None:
    assert in_pieces('\ufeff"a"z', ",", 3) == in_pieces('\ufeff"a"z', ",", 100) == TEXT_BEHIND


def test_many_cells_take_a_time_by_their_length_alone() -> None:
    # Each of these would take hours if parts of it were tried twice.
    assert in_pieces('"' * 999_999, ",", 1 << 20) == NEVER_CLOSED
    assert in_pieces('"' + 'a"",' * 250_000, ",", 1 << 20) == NEVER_CLOSED
    assert in_pieces('a"' * 500_000, ",", 1 << 20) == ""
    assert in_pieces('"a",' * 250_000 + '"a"b', ",", 1 << 20) == TEXT_BEHIND
    assert in_pieces("\n" * 999_999 + '""a', ",", 1 << 20) == TEXT_BEHIND


@pytest.mark.parametrize(("place", "zipped"), [(0, False), (25, True), (50, False)])
def test_across_blocks(place: int, zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 64)
    content = b"number,text\n" + b"x" * 64 + b",y\n" + b"z" * place + b",w\n" + FORGOTTEN
    name = "a.csv.gz" if zipped else "a.csv"
    files = find(str(write_files(tmp_path, {name: gzip.compress(content) if zipped else content})), {}).files
    message = re.escape(f"{name}: line 4 (to line 7): {TEXT_BEHIND}")
    for scan in (
        lambda: CsvTable.scan(files, CsvOptions()),
        # As Beam's workers do.
        lambda: CsvTable.scan_one(files[0], CsvOptions(), {}),
    ):
        with pytest.raises(InputError, match=message):
            scan()


def test_cells_in_quotes_across_blocks_are_read_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = ["word", 'a "word"', "a,b", "a\nb", "a\r\nb", '"', '""', ',"', '",', '\n"\n', "é" * 9, 'x"']
    rows = [[str(row), cells[row % len(cells)], cells[row * 7 % len(cells)]] for row in range(500)]
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["number", "a", "b"], *rows])
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 100)
    # Quotes within a cell that begins with none are text.
    content = text.getvalue() + '500,5" pipe,"x"\n'
    read = ingested(tmp_path / "out", write_files(tmp_path / "data", {"a.csv": content.encode()})).rows()
    assert sorted((row["number"][0], row["a"][0].decode(), row["b"][0].decode()) for row in read) == [
        *((int(number), a, b) for number, a, b in rows),
        (500, '5" pipe', "x"),
    ]


def test_text_behind_a_quote_under_options(tmp_path: Path) -> None:
    files = find(str(write_files(tmp_path, {"a.csv": 'sep=;\na;b\n1;"x";\n2;"é",\n'.encode("utf-16")})), {}).files
    with pytest.raises(InputError, match="line 3: a row of 3 cells"):
        CsvTable.scan(files, CsvOptions(delimiter=";", encoding="utf-16"))
    files = find(str(write_files(tmp_path, {"a.csv": 'sep=;\na;b\n1;"x"\n2;"é",\n'.encode("utf-16")})), {}).files
    with pytest.raises(InputError, match=f"line 4: {TEXT_BEHIND}"):
        CsvTable.scan(files, CsvOptions(delimiter=";", encoding="utf-16"))
    files = find(str(write_files(tmp_path, {"a.csv": b'1,"x"y\n2,z\n'})), {}).files
    with pytest.raises(InputError, match=f"line 1: {TEXT_BEHIND}"):
        CsvTable.scan(files, CsvOptions(header=False, column_names=("a", "b")))
