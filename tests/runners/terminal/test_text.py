"""Numbers, durations, sizes and styles as a person reads them."""

from __future__ import annotations

import pytest

from runners.terminal import text


@pytest.mark.parametrize(
    ("value", "expected"),
    [(500.0, "500"), (64000.0, "64000"), (22450.12, "22450.1"), (1.0, "1.0000"), (0.0, "0.0000"), (0.95001, "0.9500"),
     (1e-5, "1e-05"), (1.5e12, "1500000000000"), (float("nan"), "nan"), (0, "0"), (1, "1"), (-3, "-3")],
)  # fmt: skip
def test_numbers(value: float, expected: str) -> None:
    assert text.number(value) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "-"),
        (0.0, "<0.1 s"),
        (0.04, "<0.1 s"),
        (0.06, "0.1 s"),
        (41.2, "41 s"),
        (200.0, "3 min 20 s"),
        (7500.0, "2 h 5 min"),
    ],
)
def test_durations(seconds: float | None, expected: str) -> None:
    assert text.duration(seconds) == expected


def test_sizes() -> None:
    assert [text.size(each) for each in (None, 12, 4601, 357_000_000, 2.1e9)] == [
        "-",
        "12 B",
        "5 kB",
        "357 MB",
        "2.10 GB",
    ]


def test_no_color_and_dumb_terminals_are_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert text.styled("done", "bold green") == "\x1b[32m\x1b[1mdone\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert text.styled("done", "bold green") == "\x1b[1mdone\x1b[0m"
    monkeypatch.setenv("TERM", "dumb")
    assert text.styled("done", "bold green") == "done"
