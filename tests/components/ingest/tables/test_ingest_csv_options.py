"""CSV files that are written otherwise: read right with the setting, and one clear line without."""

from __future__ import annotations

import gzip
import html
import math
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from components.ingest.tables.csv import files as csv_files
from components.ingest.tables.csv import options as csv_options
from components.ingest.tables.csv import text as csv_text
from components.ingest.tables.csv.options import CsvOptions
from components.runtime.errors import InputError
from tests.components.ingest.ingest_support import ROWS, Ingested, ingested, run_ingest, write_files
from tests.components.ingest.tables.table_support import avro_bytes, parquet_bytes

ALL = {"all": 1}
MARKS = b"id,x\n36,6.472\n37,5.022\n38,7.705\n39,4.045\n40,n/a\n41,NA\n42,NULL\n43,-\n"
OTHERS = [
    {"a": [number], "größe": [number / 2], "text": [f"a;b,c\n{number} é".encode()], "x": []} for number in range(200)
]


def table(delimiter: str = ",", end: str = "\n", decimal: str = ".") -> str:
    """The rows of OTHERS."""
    lines = [delimiter.join(["a", "größe", "text", "x"])]
    for number in range(200):
        half = f"{number / 2}".replace(".", decimal)
        half = f'"{half}"' if decimal == delimiter else half
        lines.append(delimiter.join([str(number), half, f'"a;b,c\n{number} é"', ""]))
    return end.join([*lines, ""])


def read(tmp_path: Path, content: bytes, name: str = "a.csv", **csv: Any) -> Ingested:
    data = write_files(tmp_path / "data", {name: content})
    return ingested(tmp_path / "out", data, splits=ALL, csv=csv)


def error(tmp_path: Path, content: bytes, **csv: Any) -> str:
    data = write_files(tmp_path / "data", {"a.csv": content})
    result = run_ingest(tmp_path / "out", data, splits=ALL, csv=csv)
    assert result.exit_code == 65, result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(result.folder.iterdir()) == []
    return result.error


@pytest.mark.parametrize(
    ("content", "delimiter", "asked"),
    [
        ("id;x;c\n0;1.344;a\n1;2.551;b\n", ";", "one column, named 'id;x;c', did you mean delimiter: \";\"?"),
        ("id\tx\tc\n0\t1.344\ta\n", "\t", 'did you mean delimiter: "\\t"?'),
        ("sep=;\nid;x;c\n0;1.344;a\n", ";", 'line 1 is sep=; of Excel, did you mean delimiter: ";"?'),
        ("id;x;c\n0;1,344;a\n1;2,551;b\n", ";", "one column, named 'id;x;c', did you mean delimiter: \";\"?"),
    ],
)
def test_another_delimiter(tmp_path: Path, content: str, delimiter: str, asked: str) -> None:
    assert asked in error(tmp_path / "without", content.encode())
    result = read(tmp_path, content.encode(), delimiter=delimiter, decimal="," if "1,344" in content else ".")
    assert result.metadata["columns"] == {"id": "int64", "x": "float32", "c": "bytes"}
    first = result.rows()[0]
    assert (first["id"], first["c"]) == ([0], [b"a"])
    assert first["x"] == [pytest.approx(1.344)]


@pytest.mark.parametrize("delimiter", ["tab", "\\t", "blank", " ", ";", "|", "^"])
def test_writings_of_a_delimiter(tmp_path: Path, delimiter: str) -> None:
    sign = {"tab": "\t", "\\t": "\t", "blank": " "}.get(delimiter, delimiter)
    content = table(sign).replace(" é", "é") if sign == " " else table(sign)
    rows = read(tmp_path, content.encode(), delimiter=delimiter).rows()
    assert [row["a"] for row in rows] == [row["a"] for row in OTHERS]
    assert rows[-1]["größe"] == [99.5]


@pytest.mark.parametrize("delimiter", ["", "::", '"', "\n", "§"])
def test_what_cannot_be_a_delimiter(tmp_path: Path, delimiter: str) -> None:
    assert f"delimiter is {delimiter!r}: give one ASCII character" in error(tmp_path, ROWS, delimiter=delimiter)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "UTF8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "latin-1"]
)
@pytest.mark.parametrize(("delimiter", "end"), [(",", "\n"), (";", "\r\n")])
def test_encodings_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, delimiter: str, end: str
) -> None:
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 1 << 10)
    # Characters of several bytes lie on the ends of what is read at once.
    monkeypatch.setattr(csv_text, "_BUFFER_BYTES", 101)
    content = table(delimiter, end).encode(encoding)
    assert read(tmp_path, content, encoding=encoding, delimiter=delimiter).rows() == OTHERS
    compressed = gzip.compress(content)
    assert read(tmp_path / "gz", compressed, "a.csv.gz", encoding=encoding, delimiter=delimiter).rows() == OTHERS


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "latin-1", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_byte_order_mark_of_another_encoding(tmp_path: Path, mark: str, encoding: str) -> None:
    content = table().encode(mark)
    own = mark.removesuffix("-sig")
    if encoding in (own, f"{own}-le"):
        assert read(tmp_path, content, encoding=encoding).rows() == OTHERS
    else:
        line = error(tmp_path, content, encoding=encoding)
        assert f"a.csv: line 1: the file is in {own.upper()}: set encoding: {own}" in line


@pytest.mark.parametrize(
    ("content", "delimiter"),
    [
        ("Preis, EUR;Menge\n1,5;1\n2,5;3\n", ";"),
        ("Lat, Lon\tv\n48,2\t1\n", "\t"),
        ("a,x;b,y;c\n1,5;2,5;3\n", ";"),
        ("a,x|b\n1,5|2\n\n3,5|4\n", "|"),
    ],
)
def test_commas_in_the_names_and_the_numbers(tmp_path: Path, content: str, delimiter: str) -> None:
    line = error(tmp_path / "without", content.encode())
    assert f"did you mean delimiter: {csv_options.written(delimiter)}? (if that is its name, give column_names)" in line
    result = read(tmp_path, content.encode(), delimiter=delimiter, decimal=",")
    header = content.split("\n")[0]
    assert list(result.metadata["columns"]) == header.split(delimiter)
    assert set(result.metadata["columns"].values()) <= {"float32", "int64"}
    names = header.split(",")
    assert list(read(tmp_path / "names", content.encode(), column_names=names).metadata["columns"]) == names


@pytest.mark.parametrize(
    "content",
    [
        "a;b,c\n1;2,3\n4,5\n",
        '"a;b",c\n"1;2",3\n',
        "tags|all,n\nx,1\ny|z,2\n",
        "a;b,c\n",
        "a,b\n1;2,3\n",
        '"a,b",c\n1,2\n',
    ],
    ids=["not in all rows", "in quotes", "in some rows", "no rows", "not in the header", "the delimiter in quotes"],
)
def test_other_signs_than_the_delimiter_in_names(tmp_path: Path, content: str) -> None:
    data = write_files(tmp_path / "data", {"a.csv": content.encode(), "b.csv": content.encode() + b"7,8\n"})
    assert len(ingested(tmp_path / "out", data, splits=ALL).metadata["columns"]) == 2


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("# made by hand\na,b,c\n1,2,3\n", "line 1 is '# made by hand', and the lines after it have 3 cells: is it a"),
        ("#made by x, y\na,b,c\n1,2,3\n", "line 1 is '#made by x', ' y', and the lines after it have 3 cells"),
        ("Sales\na,b\n1,2\n", "line 1 is 'Sales', and the lines after it have 2 cells: is it a comment or a title?"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", "a pointer of Git LFS"),
        ('"sep=;"\na;b\n1;2\n', 'line 1 is sep=; of Excel, did you mean delimiter: ";"?'),
    ],
)
def test_what_stands_above_the_header(tmp_path: Path, content: str, text: str) -> None:
    assert text in error(tmp_path, content.encode())


def test_a_mark_of_excel_in_quotes(tmp_path: Path) -> None:
    assert read(tmp_path, b'"sep=;"\na;b\n1;2\n', delimiter=";").rows() == [{"a": [1], "b": [2]}]


def test_the_same_rows_are_in_the_same_splits_however_they_are_written(tmp_path: Path) -> None:
    plain = ingested(tmp_path / "1", write_files(tmp_path / "a", {"a.csv": table().encode()}))
    data = write_files(tmp_path / "b", {"a.csv": table("\t", decimal=",").encode("utf-16")})
    other = ingested(tmp_path / "2", data, csv={"delimiter": "\t", "encoding": "utf-16", "decimal": ","})
    assert other.files() == plain.files()
    assert other.metadata["columns"] == plain.metadata["columns"]


def test_what_is_worth_processes_is_read_the_same(tmp_path: Path) -> None:
    count = 10_000
    rows = "".join(f'{row};"zeile\n{row:x>220}";{row / 4:.2f};NA\n'.replace(".", ",") for row in range(count))
    content = ("zahl;text;wert;leer\n" + rows).encode("utf-16")
    assert len(content) > 4 << 20
    result = read(tmp_path, content, delimiter=";", encoding="utf-16", decimal=",", null_values=["NA"])
    assert result.metadata["columns"] == {"zahl": "int64", "text": "bytes", "wert": "float32", "leer": "missing"}
    rows_read = result.rows()
    assert [row["zahl"][0] for row in rows_read] == list(range(count))
    assert rows_read[-1] == {"leer": [], "text": [b"zeile\n%b9999" % (b"x" * 216)], "wert": [2499.75], "zahl": [9999]}


@pytest.mark.parametrize(
    ("content", "csv", "text"),
    [
        (ROWS + b"caf\xe9,1\n", {}, "line 32: the byte 0xe9 is not UTF-8: save the file as UTF-8, or set encoding"),
        (ROWS.decode().encode("utf-16"), {}, "line 1: the file is in UTF-16: set encoding: utf-16"),
        (ROWS.decode().encode("utf-16"), {"encoding": "cp1252"}, "the file is in UTF-16: set encoding: utf-16"),
        (ROWS.decode().encode("utf-16-le"), {}, "line 1: the file is in UTF-16: set encoding: utf-16-le"),
        (ROWS.decode().encode("utf-16-be"), {}, "line 1: the file is in UTF-16: set encoding: utf-16-be"),
        (ROWS.decode().encode("utf-32"), {}, "line 1: the file is in UTF-32: set encoding: utf-32"),
        (ROWS + b"\x81,1\n", {"encoding": "cp1252"}, "line 32: 0x81 is not cp1252: correct encoding, or the file"),
        (ROWS.decode().encode("utf-16")[:-1], {"encoding": "utf-16"}, "line 31: 0x0a is not utf-16"),
        (ROWS, {"encoding": "klingon"}, "encoding is 'klingon': give one that Python knows"),
        (ROWS, {"encoding": "base64"}, "encoding is 'base64': give one that Python knows"),
        (ROWS, {"decimal": ";"}, "decimal is ';': choose '.' or ','"),
        (b"PK\x03\x04workbook", {}, "a ZIP archive or an Excel workbook, and not CSV"),
        (b"a;b,c\n1;2\n3\n", {}, 'line 2: a row of 1 cell, the header has 2, did you mean delimiter: ";"?'),
        (b"a,b\n1\n", {}, "line 2: a row of 1 cell, the header has 2: add the missing cells"),
        (b"a,b\n1,2,3\n", {}, 'the header has 2: put cells that hold a "," in quotes'),
        (b"sep=;\na;b\n1;2\n3\n", {"delimiter": ";"}, "line 4: a row of 1 cell, the header has 2"),
        (b"a|b\n1|2\n", {"delimiter": ";"}, 'did you mean delimiter: "|"?'),
        (b"a,b\n1,2\n", {"delimiter": ";"}, 'did you mean delimiter: ","?'),
    ],
)
def test_one_clear_line(tmp_path: Path, content: bytes, csv: dict[str, Any], text: str) -> None:
    assert text in error(tmp_path, content, **csv)


@pytest.mark.parametrize(
    "content",
    [
        b"0,1.344,a\n1,2.551,b\n2,7.610,b\n3,6.516,a\n",
        b"1,2\n3,4\n",
        b"1,,3\n1,2,3\n",
        b"1,1,a\n2,2,b\n",
        b"5,male\n6,female\n7,male\n",
        b"x,1.5\ny,2.5\n",
    ],
    ids=["case 10", "numbers", "an empty cell", "twice the same", "a category", "decimals"],
)
def test_files_without_a_header(tmp_path: Path, content: bytes) -> None:
    assert "no header? The first line is '" in error(tmp_path / "without", content)
    width = content.split(b"\n")[0].count(b",") + 1
    names = ["one", "two", "three"][:width]
    result = read(tmp_path, content, header=False, column_names=names)
    assert list(result.metadata["columns"]) == names
    assert result.metadata["rows"] == content.count(b"\n"), "the first line is a row"


def test_numbers_are_names_where_a_person_says_so(tmp_path: Path) -> None:
    content = b"2019,2020\n1,2\n3,4\n"
    assert "no header?" in error(tmp_path / "0", content)
    rows = read(tmp_path / "1", content, column_names=["2019", "2020"]).rows()
    assert rows == [{"2019": [1], "2020": [2]}, {"2019": [3], "2020": [4]}]
    assert "the first line has '2019', '2020', and column_names 'a', 'b'" in error(
        tmp_path / "2", content, column_names=["a", "b"]
    )
    # Years beside a name are a header.
    assert read(tmp_path / "3", b"country,2019,2020\nAT,1,2\n").metadata["rows"] == 1


@pytest.mark.parametrize(
    ("csv", "text"),
    [
        ({"header": False}, "header is false: name the columns in column_names"),
        ({"header": False, "column_names": ["a"]}, "line 1: a row of 2 cells, column_names has 1"),
        ({"header": False, "column_names": ["a", "a"]}, "column_names: name 2 is 'a' a second time"),
        ({"header": False, "column_names": ["a", 2]}, "column_names has 2, which is no text: put it in quotes"),
    ],
)
def test_names_that_do_not_fit(tmp_path: Path, csv: dict[str, Any], text: str) -> None:
    assert text in error(tmp_path, b"1,2\n3,4\n", **csv)


def test_a_ragged_row_of_a_file_without_a_header(tmp_path: Path) -> None:
    line = error(tmp_path, b"1,2\n3,4\n5\n", header=False, column_names=["a", "b"])
    assert "line 3: a row of 1 cell, column_names has 2" in line


def test_marks_of_missing_values(tmp_path: Path) -> None:
    file = write_files(tmp_path, {"d.csv": MARKS}) / "d.csv"
    without = ingested(tmp_path / "without", file, splits=ALL)
    assert without.metadata["columns"]["x"] == "bytes"
    told = (
        f"column 'x' is text because of 'n/a' in line 6 of {file}: "
        'if it is a missing value, set null_values: ["n/a", "NA", "NULL", "-"]'
    )
    assert told in without.result.stdout
    assert told[1:] in html.unescape(without.page)
    found = re.search(r"null_values: \[(.*)\]", without.result.stdout)
    assert found is not None
    marks = [mark.strip('"') for mark in found[1].split(", ")]
    result = ingested(tmp_path / "out", file, splits=ALL, csv={"null_values": marks})
    assert result.metadata["columns"] == {"id": "int64", "x": "float32"}
    assert sum(not row["x"] for row in result.rows()) == 4
    assert "is text because" not in result.result.stdout


def test_nobody_reads_a_cell_where_no_rows_are_shown(tmp_path: Path) -> None:
    file = write_files(tmp_path, {"d.csv": MARKS}) / "d.csv"
    result = ingested(tmp_path / "out", file, splits=ALL, sample_rows=0)
    assert f"column 'x' is text because of a cell that is no number in line 6 of {file}" in result.result.stdout
    assert "n/a" not in result.result.stdout + result.page


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        ('1\n2\n"two\nlines"\n', "line 4 of"),
        ("1\n\n\nn/a\n2\n3\n", "because of 'n/a' in line 5 of"),
        ("1\n99999999999999999999\n", "in line 3 of {file}: it is an integer beyond 64 bits"),
        ('"1,5"\n"2,5"\n', 'in line 2 of {file}: if commas stand before the decimals, set decimal: ","'),
        ("1\n" * 300_000 + "x\n", "because of 'x' in row 300,001 of"),
    ],
)
def test_the_cell_that_makes_a_column_text(tmp_path: Path, cells: str, text: str) -> None:
    result = read(tmp_path, f"x\n{cells}".encode())
    assert text.format(file=tmp_path / "data" / "a.csv") in result.result.stdout


def test_numbers_beyond_float32_are_told(tmp_path: Path) -> None:
    content = b"x;y;z\n1,5;inf;1\n1e39;-Infinity;2\n-1e400;3,5;3\n"
    data = write_files(tmp_path / "data", {"a.csv": content})
    csv = {"delimiter": ";", "decimal": ","}
    result = ingested(tmp_path / "out", data, splits=ALL, csv=csv)
    text = "column 'x' has 2 values beyond float32, which are infinite from here on, the first"
    assert f"{text} 1e39 in {data / 'a.csv'}" in result.result.stdout
    assert result.result.stdout.count("beyond float32") == 1, "what is infinite in the file is no overflow"
    without = ingested(tmp_path / "without", data, splits=ALL, csv=csv, sample_rows=0).result.stdout
    assert f"{text} in {data / 'a.csv'}" in without
    table = pa.table({"x": [1.5, 1e39, -1e300], "y": [math.inf, None, 1.0], "lists": [[1e39, 2.0], None, [math.inf]]})
    data = write_files(tmp_path / "tables", {"a.parquet": parquet_bytes(table)})
    result = ingested(tmp_path / "parquet", data, splits=ALL)
    assert f"{text} 1e+39 in" in result.result.stdout
    assert "column 'lists' has 1 value beyond float32" in result.result.stdout
    assert result.result.stdout.count("beyond float32") == 2
    data = write_files(tmp_path / "avro", {"a.avro": avro_bytes(table), "b.avro": avro_bytes(table)})
    result = ingested(tmp_path / "of avro", data, splits=ALL)
    assert text.replace("2 values", "4 values") + f" 1e+39 in {data / 'a.avro'}" in result.result.stdout
    assert "column 'lists' has 2 values beyond float32" in result.result.stdout


@pytest.mark.parametrize(
    ("cells", "decimal"),
    [
        (["1.234,5", "12.345,75"], ","),
        (["1.234", "2.345.678"], ","),
        (['"1,234.5"', '"12,345.75"'], "."),
        (["1 234", "2 345.5"], "."),
        (["1'234.5", "2'345"], "."),
    ],
)
def test_marks_between_the_thousands(tmp_path: Path, cells: list[str], decimal: str) -> None:
    content = "\n".join(["x;y", *(f"{cell};1" for cell in cells)])
    result = read(tmp_path, content.encode(), delimiter=";", decimal=decimal)
    first = cells[0].strip('"')
    assert f"column 'x' is text because of {first!r} in line 2 of" in result.result.stdout
    assert "write numbers without marks between the thousands" in result.result.stdout


def test_columns_of_text_are_not_told(tmp_path: Path) -> None:
    rows = b"".join(b"%s,%d x,%d\n" % (b"n/a" if row == 3 else b"01", row, row) for row in range(90))
    data = write_files(tmp_path / "data", {"a.csv": b"zip,text,n\n" + rows})
    result = ingested(tmp_path / "out", data, text_columns=["zip"])
    assert "is text because" not in result.result.stdout


def test_blanks_around_names_are_seen(tmp_path: Path) -> None:
    result = read(tmp_path, b'id, x,"c "\n1,2,3\n')
    assert result.metadata["columns"] == {"id": "int64", " x": "int64", "c ": "int64"}
    assert "blanks around them, which belong to them: ' x', 'c '" in result.result.stdout
    assert "' x'" in html.unescape(result.page)
    data = tmp_path / "data" / "a.csv"
    failed = run_ingest(tmp_path / "failed", data, text_columns=["x"])
    assert "no column 'x', which text_columns names, did you mean ' x'?; it has: id, ' x', 'c '" in failed.error


def test_the_settings_are_for_csv(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", {"a.parquet": b"PAR1"})
    result = run_ingest(tmp_path / "out", data, csv={"delimiter": ";"})
    assert "delimiter is for CSV files, and" in result.error


def test_an_encoding_has_one_name() -> None:
    assert CsvOptions.parse(encoding="UTF8") == CsvOptions.parse(encoding="utf-8-sig") == CsvOptions()
    with pytest.raises(InputError, match="encoding is 'rot13'"):
        CsvOptions.parse(encoding="rot13")


def test_a_quote_that_is_never_closed_under_options(tmp_path: Path) -> None:
    never = "a quote in this row is never closed: close it or double it"
    # The cell is one that stands for a missing value, and would pass for it.
    assert f"line 32: {never}" in error(tmp_path / "null", ROWS + b'30,"NA', null_values=["NA"])
    named = {"header": False, "column_names": ["a", "b"]}
    assert f"line 1: {never}" in error(tmp_path / "first", b'"1,x\n', **named)
    assert f"line 2: a row of 1 cell, column_names has 2: {never}" in error(tmp_path / "row", b'1,x\n"2,y\n', **named)
