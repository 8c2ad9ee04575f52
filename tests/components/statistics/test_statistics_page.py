"""The page of statistics: distributions that are right, hostile values, and a size that stays bounded."""

from __future__ import annotations

import time
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from components.runtime.data.records import record_files
from components.runtime.data.statistics import compute
from components.statistics import charts
from components.statistics.page import MAX_BYTES, statistics_page
from components.statistics.summary import Summary, summarise, warnings
from tests.support_tfdv import Row, write_examples


def summaries(folder: Path, splits: dict[str, list[Row]]) -> dict[str, dict[str, Summary]]:
    examples = write_examples(folder / "examples", splits)
    return {split: summarise(compute(record_files(examples / f"Split-{split}"), lambda rows: None)) for split in splits}


class TagChecker(HTMLParser):
    """Collects the names of the tags and the links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]


def drawing(page: str) -> ElementTree.Element:
    return ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + len("</svg>")])


def test_the_page_says_of_which_spans_the_data_is(tmp_path: Path) -> None:
    found = summaries(tmp_path, {"train": [{"a": 1}]})
    assert "<p>Of spans 3, 4 (version 2).</p>" in statistics_page(found, "spans 3, 4 (version 2)")
    assert "Of span" not in statistics_page(found)


def test_few_whole_numbers_have_a_bar_each(tmp_path: Path) -> None:
    rows: list[Row] = [{"day": day} for day, count in ((1, 5), (2, 0), (3, 1), (7, 4)) for _ in range(count)]
    numbers = summaries(tmp_path, {"train": rows})["train"]["day"].numbers
    assert numbers is not None
    assert numbers.countable
    # TFDV's buckets carry a thousandth of noise.
    np.testing.assert_allclose(numbers.shares(np.arange(0.5, 8)), [0.5, 0, 0.1, 0, 0, 0, 0.4], atol=0.002)


def test_shares_of_spread_numbers_are_those_of_the_values(tmp_path: Path) -> None:
    values = np.linspace(0, 10, 2001)
    numbers = summaries(tmp_path, {"train": [{"a": float(value)} for value in values]})["train"]["a"].numbers
    assert numbers is not None
    expected, edges = np.histogram(values, bins=5)
    np.testing.assert_allclose(numbers.shares(edges), expected / len(values), atol=0.02)


def test_long_tails_do_not_flatten_the_rest(tmp_path: Path) -> None:
    values = [float(value % 100) / 10 for value in range(1000)] + [1e6]
    numbers = summaries(tmp_path, {"train": [{"a": value} for value in values]})["train"]["a"].numbers
    assert numbers is not None
    bins = charts._bins([numbers])
    assert bins[-1] < 30
    assert (numbers.shares(bins) > 0.03).sum() >= 4


def test_what_stands_out(tmp_path: Path) -> None:
    train: list[Row] = [
        {"half": number if number % 4 == 0 else None, "one": 7, "fine": number, "shift": number} for number in range(40)
    ]
    later: list[Row] = [
        {"half": number, "one": 7, "fine": number, "shift": number if number % 5 else None} for number in range(40)
    ]
    found = summaries(tmp_path, {"train": train, "eval": later})
    notes = {name: warnings({split: found[split][name] for split in found}) for name in found["train"]}
    assert notes == {
        "half": ["75 % missing", "missing more often in train"],
        "one": ["constant"],
        "fine": [],
        "shift": ["missing more often in eval"],
    }
    page = statistics_page(found)
    assert page.index("What stands out") < page.index("75 % missing") < page.index("<svg")


def test_what_is_frequent_in_a_later_split_alone_is_drawn(tmp_path: Path) -> None:
    train: list[Row] = [{"a": value} for value in "abcdef" for _ in range(4)]
    other: list[Row] = [{"a": value} for value in "zzzzzzzzya"]
    page = statistics_page(summaries(tmp_path, {"train": train, "eval": other}))
    texts = [each.text for each in drawing(page).iter()]
    assert "z" in texts
    assert "and 3 more values" in texts


def test_hostile_names_and_values_are_only_text(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>$\\frac{1}$\x00\x1b[31m\u202e]]>"
    rows: list[Row] = [{hostile: hostile, "plain": f"{hostile}{number}"} for number in range(5)]
    page = statistics_page(summaries(tmp_path, {"train": rows}))
    checker = TagChecker()
    checker.feed(page)
    assert "script" not in checker.tags
    assert all(link.startswith("#") for link in checker.links)
    assert "&lt;script&gt;" in page
    assert "\x00" not in page
    assert "\x1b" not in page
    assert "<script>alert(1)" in "".join(drawing(page).itertext())


def test_hundreds_of_features_stay_below_a_megabyte(tmp_path: Path) -> None:
    rows: list[Row] = [
        {f"feature {number} {'x' * 200}": ("word " * 100 if number % 2 else float(row)) for number in range(300)}
        for row in range(3)
    ]
    broken: Row = {f"feature 299 {'x' * 200}": None}
    found = summaries(tmp_path, {"train": [*rows, broken, broken, broken, broken], "eval": rows, "test": rows})
    page = statistics_page(found)
    assert len(page.encode()) <= MAX_BYTES
    assert "features are not drawn: " in page
    assert "features are not listed: " in page


def test_the_taxi_features_are_drawn_in_time(tmp_path: Path) -> None:
    generator = np.random.default_rng(7)
    rows: list[Row] = [
        {f"feature {number}": float(value) for number, value in enumerate(generator.normal(size=18))}
        for _ in range(200)
    ]
    found = summaries(tmp_path, {"train": rows, "eval": rows[:50]})
    statistics_page(found)
    started = time.process_time()
    page = statistics_page(found)
    assert time.process_time() - started < 1
    assert len(page.encode()) < 150_000


@pytest.mark.parametrize("count", [1, 4, 5])
def test_every_feature_has_a_cell(tmp_path: Path, count: int) -> None:
    found = summaries(tmp_path, {"train": [{f"name{number}": row for number in range(count)} for row in range(5)]})
    text = "".join(drawing(statistics_page(found)).itertext())
    assert all(f"name{number}" in text for number in range(count))
