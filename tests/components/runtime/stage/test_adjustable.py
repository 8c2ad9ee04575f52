"""Thresholds that a person moves on a page: what they come to, in a browser, and within other pages."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from components.runtime.stage import report
from runners.history.pages.embedding import embed
from tests.runners.history.explorer.chromium import Window, needs_chromium, window

AT = [0.0, 0.5, None]
GROUPS: list[dict[str, Any]] = [
    {"name": "<b>old</b>", "rows": 10, "labelled": 4, "right": [4, 3, 0], "wrong": [6, 1, 0]},
    {"name": "script: onload=x", "rows": 30, "labelled": 20, "right": [20, 5, 0], "wrong": [10, 5, 0]},
]
CHOSEN = {"one for all": [1, 1], "parity": [0, 2]}


@pytest.fixture(scope="module")
def document() -> str:
    return report.page("T", report.section("Thresholds", report.adjustable(AT, GROUPS, CHOSEN)))


def rows(page: Window) -> list[list[str]]:
    told = page.evaluate("[...document.querySelectorAll('tbody tr')].map(r => [...r.cells].map(c => c.textContent))")
    return [list(row) for row in told]


def move(page: Window, name: str, step: int) -> None:
    page.evaluate(
        f"(() => {{ const found = document.querySelector({json.dumps(f'[aria-label={json.dumps(name)}]')});"
        f" found.value = {step}; found.dispatchEvent(new Event('input')); }})()"
    )


@needs_chromium
def test_what_thresholds_come_to(document: str, tmp_path: Path) -> None:
    # As the page of a run has it: the content of a stage's page, and a script of its own.
    whole = report.page("Run", embed(document, "p0"))
    (tmp_path / "page.html").write_text(whole)
    with window() as page:
        page.call("Page.navigate", url=f"file://{tmp_path}/page.html")
        page.wait("document.querySelectorAll('tbody tr').length === 4")
        old, other = GROUPS[0]["name"], GROUPS[1]["name"]
        assert rows(page) == [
            ["all of these", "40", "0.50", "35.0 %", "57.1 %", "33.3 %", "37.5 %", "45.0 %"],
            [old, "10", "0.50", "40.0 %", "75.0 %", "75.0 %", "16.7 %", "80.0 %"],
            [other, "30", "0.50", "33.3 %", "50.0 %", "25.0 %", "50.0 %", "33.3 %"],
            ["largest gap between groups", "", "", "6.7 %", "25.0 %", "50.0 %", "33.3 %", "46.7 %"],
        ]
        move(page, "threshold of all of these", 2)
        # Where nothing is accepted nobody knows how much of it is right.
        assert rows(page)[1:] == [
            [old, "10", "none", "0.0 %", "–", "0.0 %", "0.0 %", "60.0 %"],
            [other, "30", "none", "0.0 %", "–", "0.0 %", "0.0 %", "33.3 %"],
            ["largest gap between groups", "", "", "0.0 %", "–", "0.0 %", "0.0 %", "26.7 %"],
        ]
        move(page, f"threshold of {old}", 0)
        assert [row[2:4] for row in rows(page)] == [
            ["differ", "25.0 %"], ["0.00", "100.0 %"], ["none", "0.0 %"], ["", "100.0 %"],
        ]  # fmt: skip
        move(page, "threshold of all of these", 1)
        page.evaluate("document.querySelectorAll('button')[1].click()")
        assert [row[2] for row in rows(page)] == ["differ", "0.00", "none", ""]


def test_it_is_no_foreign_page_and_the_script_is_not_taken_from_it(document: str) -> None:
    assert document.count("<script>") == 1
    body = embed(document, "p0")
    assert "iframe" not in body
    assert "<script" not in body
    found = re.search('data-adjustable="([^"]*)"', body)
    assert found
    assert json.loads(html.unescape(found[1])) == {"at": AT, "groups": GROUPS, "chosen": CHOSEN}


def test_pages_without_have_no_script() -> None:
    assert "<script" not in report.page("T", report.section("One", report.paragraph("data")))
