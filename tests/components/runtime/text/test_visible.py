"""Characters that nobody sees are shown, on pages and in terminals; what people write with them stays."""

from __future__ import annotations

import html

import pytest

from components.runtime.stage import progress, report
from components.runtime.text.visible import in_one_line, visible
from runners.terminal import text

UNSEEN = {
    "\x00": r"\x00",
    "\x1b[31m": r"\x1b[31m",
    "\x9b": r"\x9b",
    "a\rb": r"a\rb",
    "gpj.\u202egnp": r"gpj.\u202egnp",
    "\u2066a\u2069": r"\u2066a\u2069",
    "\u200ea\u200f": r"\u200ea\u200f",
    "pass\u200bword": r"pass\u200bword",
    "pass\u200dword": r"pass\u200dword",
    "\u200c": r"\u200c",
    "soft\xadhyphen": r"soft\xadhyphen",
    "\ufeffname": r"\ufeffname",
    "a\u2028b": r"a\u2028b",
    "tag\U000e0041": r"tag\U000e0041",
    "half\ud83d": r"half\ud83d",
}
SEEN = [
    "größe",
    "日本語",
    "a b\tc\nd",
    "👩\u200d👩\u200d👧 🇦🇹",
    "می\u200cخواهم",
    "क्\u200dष",
    "\xa0wide",
    "e\u0301",
    "❤\ufe0f",
]


@pytest.mark.parametrize(("written", "shown"), UNSEEN.items())
def test_the_unseen_is_shown_wherever_it_comes_out(
    written: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert visible(written) == shown
    assert html.unescape(report.escape(written)) == shown
    page = report.page(written, report.section(written, report.table([written], [[written]])))
    assert written not in page
    assert page.count(html.escape(shown)) == 5
    text.table([written], [[written], [(written, "red")]], title="")
    progress.report(written)
    output = capsys.readouterr().out
    assert written not in output
    assert output.count(shown) == 4


@pytest.mark.parametrize("written", SEEN)
def test_what_is_seen_stays(written: str) -> None:
    assert visible(written) == written


def test_a_name_is_one_line() -> None:
    assert in_one_line("a\nb\tc") == r"a\nb\tc"
    assert visible("a\r\nb") == "a\nb"


def test_a_drawing_shows_them_too() -> None:
    figure = report.figure(2, 2)
    figure.subplots().set_xlabel("pass\u200bword \u202e")
    drawn = report.drawing(figure, "of \u202e")
    assert "\u202e" not in drawn
    assert "\u200b" not in drawn
    assert r"pass\u200bword \u202e" in drawn


def test_messages_and_model_cards_show_them_too() -> None:
    from components.notify.message import _line
    from components.runtime.text.markdown import markdown_code, markdown_text

    assert _line("a\u202eb") == r"a\u202eb"
    assert markdown_text("a\u202eb") == r"a\\u202eb"
    assert markdown_code("a\u202eb") == r"`a\u202eb`"
