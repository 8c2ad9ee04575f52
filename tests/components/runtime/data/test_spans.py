"""Spans and versions by the placeholders in paths and patterns, as TFX's ExampleGen reads them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from components.runtime.data import span_words
from components.runtime.data.span_choice import Asked, moment
from components.runtime.data.spans import Chosen, choose
from components.runtime.errors import InputError
from tests.buckets import SCHEMES, raw_buckets


def made(folder: Path, files: Iterable[str]) -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def found(data: Path | str, patterns: dict[str, str] | None = None, **asked: object) -> Chosen:
    return choose(str(data), patterns or {}, Asked(**asked))  # type: ignore[arg-type]


def keys(chosen: Chosen) -> list[tuple[int, int | None]]:
    return [(each.number, each.version) for each in chosen.spans]


def names(chosen: Chosen, root: Path) -> list[str]:
    return [str(Path(each.data).relative_to(root)) for each in chosen.spans]


@pytest.mark.parametrize(
    ("files", "pattern", "expected", "place"),
    [
        # The largest number, not the last name.
        (["span-9/a", "span-10/a"], "span-{SPAN}", (10, None), "span-10"),
        # A width counts digits, zeros in front; other numbers of digits are other names.
        (["s-00001/a", "s-00012/a", "s-123/a"], "s-{SPAN:5}", (12, None), "s-00012"),
        # The newest version of the newest span, whatever older ones have.
        (["1/v7/a", "2/v2/a", "2/v10/a"], "{SPAN}/v{VERSION}", (2, 10), "2/v10"),
        (["1/v01/a", "1/v2/a"], "{SPAN}/v{VERSION:2}", (1, 1), "1/v01"),
        # A date is the span of its days since 1970-01-01.
        (["2026-11-29/a", "2026-10-30/a"], "{YYYY}-{MM}-{DD}", (20786, None), "2026-11-29"),
        (["20261129/a", "20261130/a", "2026113/a"], "{YYYY}{MM}{DD}", (20787, None), "20261130"),
        (["1970/01/02/a", "1970/01/01/a"], "{YYYY}/{MM}/{DD}", (1, None), "1970/01/02"),
        (["day/2026-11-29-1.csv", "day/2026-11-29-2.csv"], "day/{YYYY}-{MM}-{DD}-{VERSION}.csv", (20786, 2), None),
        # Order is free.
        (["v2/s1/a", "v1/s3/a"], "v{VERSION}/s{SPAN}", (3, 1), "v1/s3"),
    ],
)
def test_the_newest_version_of_the_newest_span(
    tmp_path: Path, files: list[str], pattern: str, expected: tuple[int, int | None], place: str | None
) -> None:
    chosen = found(made(tmp_path, files) / pattern)
    assert keys(chosen) == [expected]
    if place:
        assert names(chosen, tmp_path) == [place]


def test_splits_are_patterns_of_one_span(tmp_path: Path) -> None:
    made(tmp_path, [f"export-{span}/{split}/a.csv" for span in (3, 4) for split in ("train", "eval")])
    patterns = {"train": "export-{SPAN}/train/*", "eval": "./export-{SPAN}/eval/*"}
    [span] = found(tmp_path, patterns).spans
    assert span.patterns == {"train": "export-4/train/*", "eval": "export-4/eval/*"}
    assert (span.data, span.prefix) == (str(tmp_path), "")


def test_splits_may_write_the_number_differently(tmp_path: Path) -> None:
    made(tmp_path, ["train-05.csv", "eval-5.csv"])
    [span] = found(tmp_path, {"train": "train-{SPAN:2}.csv", "eval": "eval-{SPAN}.csv"}).spans
    assert span.patterns == {"train": "train-05.csv", "eval": "eval-5.csv"}


def test_several_files_of_a_span_are_no_two_spans(tmp_path: Path) -> None:
    made(tmp_path, ["a/1-x.csv", "a/1-y.csv", "b/1-x.csv"])
    [span] = found(tmp_path, {"all": "**/{SPAN}-*.csv"}).spans
    assert span.patterns == {"all": "**/1-*.csv"}
    assert len(span.paths) == 3


@pytest.fixture
def gapped(tmp_path: Path) -> Path:
    """The spans 3, 4 and 6, of which 4 has two versions."""
    return made(tmp_path, ["3/1/a", "4/1/a", "4/2/a", "6/1/a", ".5/1/a", "x/1/a"])


@pytest.mark.parametrize(
    ("asked", "spans", "gaps"),
    [
        ({}, [(6, 1)], ""),
        ({"span": "latest"}, [(6, 1)], ""),
        ({"span": "4"}, [(4, 2)], ""),
        ({"span": "1970-01-05"}, [(4, 2)], ""),
        ({"span": "3-7"}, [(3, 1), (4, 2), (6, 1)], "5, 7"),
        ({"span": "0-3"}, [(3, 1)], "0 to 2"),
        ({"span": "1970-01-04/1970-01-05"}, [(3, 1), (4, 2)], ""),
        ({"span": "3-1000000000000"}, [(3, 1), (4, 2), (6, 1)], "5, 7 to 1000000000000"),
        ({"count": 2}, [(4, 2), (6, 1)], "5"),
        ({"count": 9}, [(3, 1), (4, 2), (6, 1)], "5"),
        ({"span": "4", "count": 2}, [(3, 1), (4, 2)], ""),
        ({"span": "3-4", "count": 1}, [(3, 1), (4, 2)], ""),
        ({"span": "scheduled", "scheduled": datetime(1970, 1, 5, 23, tzinfo=UTC)}, [(4, 2)], ""),
        ({"span": "scheduled-1", "scheduled": datetime(1970, 1, 5, tzinfo=UTC)}, [(3, 1)], ""),
        ({"span": "scheduled - 1", "scheduled": datetime(1970, 1, 5, tzinfo=UTC), "count": 3}, [(3, 1)], ""),
    ],
)
def test_one_a_range_or_a_window(
    gapped: Path, asked: dict[str, object], spans: list[tuple[int, int]], gaps: str
) -> None:
    chosen = found(gapped / "{SPAN}/{VERSION}", **asked)
    assert (keys(chosen), chosen.gaps) == (spans, gaps)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"span": "5"}, "there is no span 5; there are 3, 4, 6"),
        ({"span": "8-9"}, "there is no span from 8 to 9; there are 3, 4, 6"),
        ({"span": "7-3"}, "span is 7-3: the range is backwards; give 3-7"),
        ({"span": "2026-11-02/2026-11-01"}, "the range is backwards; give 2026-11-01/2026-11-02"),
        ({"span": "2026-02-30"}, "span is 2026-02-30: there is no such day"),
        ({"span": "2026-02-30/2026-03-02"}, "span is 2026-02-30: there is no such day"),
        ({"span": "9" * 19}, "the number of a span has at most 18 digits"),
        ({"span": "newest"}, "span is 'newest': give a number (5), a date"),
        ({"span": "2026-13-01"}, "span is 2026-13-01: there is no such day"),
        (
            {"span": "scheduled", "scheduled": datetime(1970, 1, 6, tzinfo=UTC)},
            "there is no span 5 (scheduled); there are 3, 4, 6",
        ),
    ],
)
def test_what_cannot_be_read(gapped: Path, asked: dict[str, object], error: str) -> None:
    with pytest.raises(InputError) as raised:
        found(gapped / "{SPAN}/{VERSION}", **asked)
    assert error in str(raised.value)


@pytest.mark.parametrize(
    ("pattern", "error"),
    [
        ("{SPAN}/{SPAN}", "has {SPAN} twice"),
        ("{SPAN}/{SPAN:2}", "has {SPAN} twice"),
        ("{SPAN}/{VERSION}-{VERSION}", "has {VERSION} twice"),
        ("v{VERSION}", "has {VERSION} without {SPAN} or a date"),
        ("{YYYY}-{MM}", "has {YYYY} without {DD}"),
        ("{DD}", "has {DD} without {YYYY}"),
        ("{YYYY}-{MM}-{DD}-{SPAN}", "has {SPAN} and a date"),
        ("{SPAN:0}", "a width is a number of digits"),
        ("{SPAN:two}", "a width is a number of digits"),
        ("{YYYY:4}{MM}{DD}", "a width is a number of digits, of SPAN and VERSION"),
        ("{SPAN}{VERSION}", "nobody can tell where the one number ends"),
        ("{SPAN}/{VERSON}", "no placeholder {VERSON}, did you mean 'VERSION'?"),
    ],
)
def test_patterns_that_cannot_be_told_apart(tmp_path: Path, pattern: str, error: str) -> None:
    with pytest.raises(InputError) as raised:
        found(tmp_path / pattern)
    assert error in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("files", "patterns", "error"),
    [
        (["1/a", "01/a"], {"all": "{SPAN}/*"}, "/01 and /1 are both span 1; remove one of them"),
        (
            ["1/v1/a", "01/v1/a"],
            {"all": "{SPAN}/v{VERSION}/*"},
            "/01/v1 and /1/v1 are both span 1, version 1; remove one of them",
        ),
        (["x1"], {"all": "{SPAN}/*"}, "{SPAN}/*: nothing there has a number in the place of {SPAN}"),
        (["x1"], {"all": "{YYYY}{MM}{DD}/*"}, "nothing there has a date in the place of {YYYY}, {MM} and {DD}"),
        (["20261301/a"], {"all": "{YYYY}{MM}{DD}/*"}, "20261301 says 2026-13-01, and there is no such date"),
        ([f"{'9' * 19}/a"], {"all": "{SPAN}/*"}, "has a number of more than 18 digits; rename it"),
        (["train-2", "eval-1"], {"train": "train-{SPAN}", "eval": "eval-{SPAN}"}, "no file of span 2 matches"),
        (
            ["train-1/1", "eval-1"],
            {"train": "train-{SPAN}/{VERSION}", "eval": "eval-{SPAN}"},
            "that of the split 'eval' lacks {VERSION}, which others have",
        ),
    ],
)
def test_places_that_are_no_one_span(tmp_path: Path, files: list[str], patterns: dict[str, str], error: str) -> None:
    with pytest.raises(InputError) as raised:
        found(made(tmp_path, files), patterns)
    assert error in str(raised.value).replace(f"{tmp_path}/", "/")


def test_two_names_of_a_span_that_is_not_read_hinder_nobody(tmp_path: Path) -> None:
    assert keys(found(made(tmp_path, ["1/a", "01/a", "2/a"]) / "{SPAN}")) == [(2, None)]


def test_what_is_read_decides_what_is_stored(gapped: Path) -> None:
    pattern = gapped / "{SPAN}/{VERSION}"
    before = found(pattern).stored()
    assert before == found(pattern, span="6").stored(), "the same span, however it is asked for"
    (gapped / "3/1/b").write_text("")
    assert found(pattern).stored() == before, "an older span is not read"
    made(gapped, ["3/2/a"])
    late = found(pattern).stored()
    assert late != before, "a new version of an older one is news"
    made(gapped, ["7/1/a"])
    newer = found(pattern).stored()
    assert newer != late
    (gapped / "7/1/a").write_text("of another size")
    assert found(pattern).stored() != newer


def test_the_metadata_tell_spans_versions_and_dates(gapped: Path) -> None:
    of = found(gapped / "{SPAN}/{VERSION}", count=2).metadata
    assert of == {"spans": [4, 6], "span_versions": [2, 1], "span_gaps": "5", "span_versions_there": {"3": 1}}
    assert span_words.told(of) == "spans 4 (version 2), 6 (version 1)"
    assert span_words.newest_versions(of) == {3: 1, 4: 2, 6: 1}
    dated = {"spans": [20784.0, 20785.0, 20786.0, 20788.0], "span_dates": ["2026-11-27"]}
    assert span_words.told(dated) == "spans 2026-11-27 to 2026-11-29, 2026-12-01"
    assert span_words.told({}) == ""
    assert len(span_words.told({"spans": list(range(0, 4000, 2))})) < 200


@pytest.mark.parametrize("scheme", SCHEMES)
def test_object_storage_is_listed_level_by_level(tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "storage"
    made(root / "raw", ["days/2026/11/29/v1/a.csv", "days/2026/11/29/v2/a.csv", "days/2026/10/30/v3/a.csv"])
    with raw_buckets(root, scheme, monkeypatch) as raw:
        chosen = found(raw.uri("raw/days/{YYYY}/{MM}/{DD}/v{VERSION}"))
        [span] = chosen.spans
        assert (span.number, span.version) == (20786, 2)
        assert span.data == raw.uri("raw/days/2026/11/29/v2")
        assert span.prefix == "2026/11/29/v2/"
        assert chosen.place == raw.shown("raw/days")
        with pytest.raises(InputError) as raised:
            found(raw.uri("raw/days/{YYYY}/{MM}/{DD}/v{VERSION}"), span="2026-11-30")
        said = "there is no span 2026-11-30; there are 2026-10-30, 2026-11-29"
        assert str(raised.value) == f"{raw.shown('raw/days')}: {said}"
        # Across folders too, and what changes there is news.
        before = found(raw.uri("raw/days/2026/**/v{SPAN}"))
        assert [each.number for each in before.spans] == [3]
        made(root / "raw", ["days/2026/11/29/v4/a.csv"])
        after = found(raw.uri("raw/days/2026/**/v{SPAN}"))
        assert [each.number for each in after.spans] == [4]
        assert after.stored() != before.stored()


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("2026-11-30T02:00:00Z", True),
        ("2026-11-30T02:00:00.123456+00:00", True),
        ("{{$.pipeline_job_schedule_time_utc}}", False),
        ("", False),
        ("1970-01-01T00:00:00Z", False),
    ],
)
def test_the_time_of_a_schedule(text: str, known: bool) -> None:
    assert (moment(text) is not None) == known


def test_the_time_of_a_schedule_is_utc() -> None:
    told = moment("2026-11-30T23:30:00-02:00")
    assert told is not None
    assert told.date().isoformat() == "2026-12-01"
