"""Generated complaints, and the download of the real ones from a server on this machine."""

from __future__ import annotations

import csv
import io
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts.data import complaint_texts, download, sample_data
from tests.support import shared


def read(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    folder = tmp_path_factory.mktemp("complaints")
    assert sample_data.main(["complaints", "--output", str(folder), "--rows", "12000"]) == 0
    return read(folder / "complaints.csv")


def test_the_same_seed_gives_the_same_complaints(tmp_path: Path, generated: list[dict[str, str]]) -> None:
    complaint_texts.write(tmp_path / "1", 300, 1)
    complaint_texts.write(tmp_path / "2", 300, 1)
    complaint_texts.write(tmp_path / "3", 300, 2)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes() != (tmp_path / "3").read_bytes()
    assert len(generated) == 12_000 == len({row["complaint_id"] for row in generated})


def test_they_are_shaped_like_the_real_ones(generated: list[dict[str, str]]) -> None:
    real = read(shared("complaints/tabular.csv"))
    assert list(generated[0]) == list(real[0])
    for column in ("product", "company_response", "submitted_via", "timely_response"):
        known = {row[column].lower() for row in real}
        assert {row[column].lower() for row in generated} <= known, column
    labels, theirs = (Counter(row["label_disputed"] for row in rows) for rows in (generated, real))
    for label in theirs:
        assert labels[label] / len(generated) == pytest.approx(theirs[label] / len(real), abs=0.06)
    assert all((row["label_disputed"] == "") == (row["consumer_disputed"] == "") for row in generated)


def test_they_hold_what_is_hard_to_read(generated: list[dict[str, str]]) -> None:
    texts = [row["consumer_complaint_narrative"] for row in generated]
    for hard in ("\n\n", '"', "🙏", "XXXX"):
        assert sum(hard in text for text in texts) > 100
    zips = [row["zip_code"] for row in generated]
    assert sum(code.endswith("XX") for code in zips) > 1000
    assert sum(len(code) == 4 for code in zips) > 500
    assert zips.count("") > 50


HEADER = [
    *("Date received", "Product", "Sub-product", "Issue", "Sub-issue", "Consumer complaint narrative"),
    *("Company public response", "Company", "State", "ZIP code", "Tags", "Consumer consent provided?"),
    *("Submitted via", "Date sent to company", "Company response to consumer", "Timely response?"),
    *("Consumer disputed?", "Complaint ID"),
]


def row(number: int, disputed: str) -> list[str]:
    values = {"Date received": "2015-03-19", "Product": "Mortgage", "ZIP code": "331XX", "Sub-issue": "None"}
    values |= {"Consumer complaint narrative": 'They said "no".\n\nAgain.', "Complaint ID": str(number)}
    return [(values | {"Consumer disputed?": disputed}).get(name, "") for name in HEADER]


def archive(file: Path, rows: list[list[str]], header: list[str] = HEADER) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as folder:
        folder.writestr("complaints.csv", text.getvalue())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server of a folder, as the bureau's serves its file."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    (tmp_path / "served").mkdir()
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served")))
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}", tmp_path / "served" / "complaints.csv.zip"
    http.shutdown()
    http.server_close()


def run(url: str, folder: Path) -> int:
    arguments = ["--from", url, "--output", str(folder / "cfpb"), "--downloads", str(folder / "downloads")]
    return download.main(["complaints", *arguments])


def test_real_complaints_get_the_columns_of_the_model(
    server: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive(server[1], [row(1, "Yes"), row(2, "N/A"), row(3, "No")])
    assert run(server[0], tmp_path) == 0
    rows = read(tmp_path / "cfpb" / "complaints.csv")
    assert tuple(rows[0]) == complaint_texts.COLUMNS
    assert [(each["complaint_id"], each["label_disputed"]) for each in rows] == [("1", "1"), ("3", "0")]
    assert rows[0]["consumer_complaint_narrative"] == 'They said "no".\n\nAgain.'
    assert (rows[0]["zip_code"], rows[0]["sub_issue"]) == ("331XX", "")
    said = capsys.readouterr().out
    assert "no checksum is published" in said
    assert "2 complaints; 1 left out" in said


def test_a_file_that_has_changed_since_is_not_taken_for_the_first(
    server: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive(server[1], [row(1, "Yes")])
    assert run(server[0], tmp_path) == 0
    (tmp_path / "downloads" / "complaints.csv.zip").unlink()
    archive(server[1], [row(1, "Yes"), row(2, "No")])
    assert run(server[0], tmp_path) == 65
    assert "sha256" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda file: archive(file, [row(1, "N/A")]), "no complaint in it has Yes or No"),
        (lambda file: archive(file, [], HEADER[1:]), "has no column 'Date received'"),
        (lambda file: archive(file, [row(1, "Yes")[:-1]]), "line 4: not as many cells as columns"),
        (lambda file: file.write_bytes(b"PK no archive"), "not a whole zip archive"),
    ],
)
def test_another_file_is_told_in_one_line(
    make: object, line: str, server: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(server[1])  # type: ignore[operator]
    assert run(server[0], tmp_path) == 65
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("cfpb/*"))
