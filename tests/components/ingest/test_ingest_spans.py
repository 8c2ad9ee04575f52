"""Spans of data that grows: the newest one, a window of several, one that is named; their versions and gaps."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.buckets import SCHEMES, raw_buckets
from tests.components.ingest.ingest_support import ROWS, ingested, run_ingest, write_files
from tests.image_files import jpeg


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
    assert "spans 9, 11, 12; not there: 10" in found.result.stdout
    assert "spans 9, 11, 12; not there: 10" in found.page


def test_fewer_spans_than_asked_for_are_told(tmp_path: Path, data: Path) -> None:
    found = ingested(tmp_path / "out", data, spans=9, splits={"all": 1})
    assert found.metadata["spans"] == [8, 9, 11, 12]
    line = "spans 8, 9, 11, 12; not there: 10; only 4 of the 9 spans asked for"
    assert line in found.result.stdout
    assert line in found.page
    assert found.metadata["spans_asked"] == 9
    stopped = run_ingest(tmp_path / "stopped", data, spans=9, on_gaps="stop")
    assert stopped.exit_code == 65
    assert stopped.error == (
        f"{data} has spans 8, 9, 11, 12; between them not there: 10; only 4 of the 9 spans asked for; "
        "add what is missing, or set on_gaps: warn"
    )


def test_a_range_says_by_itself_how_many_are_read(tmp_path: Path, data: Path) -> None:
    found = ingested(tmp_path / "out", data, span="8-9", spans=7, on_gaps="stop", splits={"all": 1})
    assert found.metadata["spans"] == [8, 9]
    assert "span is the range 8-9, which says how many are read: spans, 7, does not count" in found.result.stdout
    assert "spans_asked" not in found.metadata


def test_one_span_has_other_content_than_the_same_rows_in_another(tmp_path: Path, data: Path) -> None:
    one = ingested(tmp_path / "one", data, spans=1, splits={"all": 1})
    assert one.metadata["spans"] == [12]
    assert "span 12" in one.page
    (data / "span-12").rename(data / "span-14")
    other = ingested(tmp_path / "other", data, spans=1, splits={"all": 1})
    assert other.files() == one.files()
    assert other.metadata["content"] != one.metadata["content"]


def test_a_folder_of_spans_of_which_none_is_asked_for(tmp_path: Path) -> None:
    files = {f"span-{number}/a.csv": ROWS for number in (1, 10, 2)}
    result = run_ingest(tmp_path / "out", write_files(tmp_path / "data", files))
    assert result.exit_code == 65
    assert "it has spans 1, 2, 10: ask for the newest by --span latest, or for several by" in result.error
    result = run_ingest(tmp_path / "out", tmp_path / "data", patterns={"all": "*.csv"})
    assert result.exit_code == 65
    assert "no file matches '*.csv', the pattern of the split 'all'; it has spans 1, 2, 10: ask" in result.error
    result = run_ingest(tmp_path / "out", tmp_path / "data", patterns={"all": "span-{SPAN}/dev/*"})
    assert result.exit_code == 65
    assert result.error.endswith("no file matches 'span-10/dev/*', the pattern of the split 'all'")


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
        (
            {"rides.csv": ROWS},
            2,
            "holds no folders span-1, span-2 and so on; name the folder that does, or leave --spans out (or "
            "ingest.spans in settings.yaml)",
        ),
        (
            {"span-1/a.csv": ROWS, "span-2/a.parquet": b"PAR1"},
            2,
            "span-2/a.parquet (parquet): keep one format in one window of spans",
        ),
        ({"span-1/a.csv": ROWS, "span-01/a.csv": ROWS}, 2, "are both span 1; remove one of them"),
        ({"span-1/a.csv": ROWS, "span-2/_hidden": ROWS}, 2, "span-2: no files in this folder"),
        ({"span-1/a.csv": ROWS}, -1, "spans is -1: say how many of the newest are read"),
    ],
)
def test_what_is_no_folder_of_spans(tmp_path: Path, files: dict[str, bytes], spans: int, error: str) -> None:
    result = run_ingest(tmp_path / "out", write_files(tmp_path / "data", files), spans=spans)
    assert result.exit_code == 65
    assert error in result.error


def test_what_is_said_of_a_folder_or_a_file_is_so(tmp_path: Path, data: Path) -> None:
    (data / "span-14").mkdir()
    result = run_ingest(tmp_path / "empty", data, spans=1)
    assert result.error == f"{data}/span-14: this folder is empty: put the data's files there"
    result = run_ingest(tmp_path / "no-spans", data / "span-12", span="1", spans=1)
    assert result.error.endswith("name the folder that does, or leave --span out (or ingest.span in settings.yaml)")
    result = run_ingest(tmp_path / "a-file", data / "span-12" / "rides.csv", span="latest", spans=1)
    assert result.exit_code == 65
    assert result.error == (
        f"{data}/span-12/rides.csv: a file, and spans are folders; name the folder that holds span-1, span-2 and so "
        "on, or leave --span or --spans out (or ingest.span or ingest.spans in settings.yaml)"
    )


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    """The spans 3, 4 and 6, with a split for training and one for evaluation; 4 has two versions."""
    files = {
        f"export-{span}/v{version}/{split}/a.csv": rows_of(span * 10 + version)
        for span, version in ((3, 1), (4, 1), (4, 2), (6, 1))
        for split in ("train", "eval")
    }
    return write_files(tmp_path / "data", files)


PATTERNS = {split: f"export-{{SPAN}}/v{{VERSION}}/{split}/*" for split in ("train", "eval")}


def test_the_newest_versions_of_a_range_are_one_table(tmp_path: Path, versions: Path) -> None:
    found = ingested(tmp_path / "out", versions, patterns=PATTERNS, span="3-6")
    assert {row["number"][0] // 100 for row in found.rows()} == {31, 42, 61}
    assert (found.metadata["rows_train"], found.metadata["rows_eval"]) == (27, 27)
    assert found.metadata["spans"] == [3, 4, 6]
    assert found.metadata["span_versions"] == [1, 2, 1]
    assert found.metadata["span_gaps"] == "5"
    line = "spans 3 (version 1), 4 (version 2), 6 (version 1); not there: 5"
    assert line in found.result.stdout
    assert line in found.page


def test_a_gap_is_an_error_where_that_is_asked_for(tmp_path: Path, versions: Path) -> None:
    result = run_ingest(tmp_path / "out", versions, patterns=PATTERNS, span="3-6", on_gaps="stop")
    assert result.exit_code == 65
    assert result.error == (
        f"{versions} has spans 3 (version 1), 4 (version 2), 6 (version 1); not there: 5; "
        "add what is missing, or set on_gaps: warn"
    )
    assert ingested(tmp_path / "whole", versions, patterns=PATTERNS, span="3-4", on_gaps="stop").metadata["rows"] == 36
    other = run_ingest(tmp_path / "other", versions, patterns=PATTERNS, on_gaps="fail")
    assert other.error == "on_gaps is 'fail': choose warn or stop"


def test_the_span_of_the_day_a_run_was_scheduled_for(tmp_path: Path) -> None:
    days = ("2026-11-28", "2026-11-29", "2026-11-30")
    data = write_files(tmp_path / "data", {f"{day}.csv": rows_of(int(day[-2:])) for day in days})
    pattern = f"{data}/{{YYYY}}-{{MM}}-{{DD}}.csv"
    found = ingested(
        tmp_path / "out", pattern, span="scheduled-1", spans=2, scheduled="2026-11-30T02:00:00Z", splits={"all": 1}
    )
    assert found.metadata["span_dates"] == ["2026-11-28", "2026-11-29"]
    assert found.metadata["spans"] == [20785, 20786]
    assert "spans 2026-11-28, 2026-11-29" in found.page
    assert "does not tell" not in found.result.stdout


@pytest.mark.parametrize("scheduled", ["", "{{$.pipeline_job_schedule_time_utc}}"])
def test_a_backend_that_tells_no_time_is_told(tmp_path: Path, scheduled: str) -> None:
    today = f"{datetime.now(UTC):%Y%m%d}"
    data = write_files(tmp_path / "data", {f"{today}/a.csv": ROWS, "19700105/a.csv": ROWS})
    found = ingested(tmp_path / "out", f"{data}/{{YYYY}}{{MM}}{{DD}}", span="scheduled", scheduled=scheduled)
    assert found.metadata["span_dates"] == [f"{today[:4]}-{today[4:6]}-{today[6:]}"]
    assert "the backend does not tell what the run was scheduled for" in found.result.stdout


def test_another_version_of_the_same_rows_is_other_content(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", {"1/v1/a.csv": ROWS})
    one = ingested(tmp_path / "one", f"{data}/{{SPAN}}/v{{VERSION}}")
    write_files(data, {"1/v2/a.csv": ROWS})
    two = ingested(tmp_path / "two", f"{data}/{{SPAN}}/v{{VERSION}}")
    assert one.files() == two.files()
    assert one.metadata["content"] != two.metadata["content"]


def test_images_of_one_span(tmp_path: Path) -> None:
    files = {f"span-{span}/{name}/{span}.jpg": jpeg(span) for span in (1, 2) for name in ("cat", "dog")}
    found = ingested(tmp_path / "out", write_files(tmp_path / "data", files) / "span-{SPAN}", splits={"all": 1})
    assert found.metadata["spans"] == [2]
    assert {row["image_name"][0] for row in found.rows()} == {b"cat/2.jpg", b"dog/2.jpg"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_spans_in_object_storage(tmp_path: Path, versions: Path, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    local = ingested(tmp_path / "local", versions, patterns=PATTERNS, spans=2)
    root = tmp_path / "storage"
    root.mkdir()
    versions.rename(root / "raw")
    with raw_buckets(root, scheme, monkeypatch) as raw:
        remote = ingested(tmp_path / "remote", raw.uri("raw"), patterns=PATTERNS, spans=2)
        without = run_ingest(tmp_path / "without", raw.uri("raw/export-4"))
    assert remote.files() == local.files()
    assert {key: remote.metadata[key] for key in ("spans", "span_versions", "content")} == {
        key: local.metadata[key] for key in ("spans", "span_versions", "content")
    }
    if scheme == "gs":
        # (The stand-in for S3 lists no level alone.)
        assert without.error.endswith("it has the folders v1, v2: name files in them in split_patterns")
