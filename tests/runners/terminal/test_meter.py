"""How far a task is, as a terminal draws it: what is known, and nothing else."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any
from unittest import mock

import pytest
from rich.cells import cell_len
from rich.console import Console

from components.runtime.stage.progress import Count
from runners.terminal.display import LineDisplay
from runners.terminal.meter import Meter, about, sparkline


def meter(counts: Sequence[tuple[float, Count]]) -> Meter:
    made = Meter()
    for now, count in counts:
        made.add(count, now)
    return made


def rows(*points: tuple[float, int], total: int | None = 100_000, text: str = "transforming") -> Meter:
    return meter([(now, Count(done, total, "rows", text)) for now, done in points])


STEADY = [(float(second), 1000 * second) for second in range(31)]
LOSSES = [
    (second, Count(100 * second, 3000, "steps", values={"loss": 1 / second, "auc": 0.9})) for second in range(1, 11)
]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (4, ""),
        (6, " 30 %"),
        (16, " 30 %  ~1 min"),
        (25, "━━━───────   30 %  ~1 min"),
        (45, "━━━───────   30 %   30k/100k rows  ~1 min"),
        (59, "━━━───────   30 %   30,000/100,000 rows  about 1 min left"),
        (
            110,
            "━━━━━━──────────────   30 %   30,000/100,000 rows  1,000 rows/s  about 1 min left  transforming",
        ),
    ],
)
def test_as_much_as_has_room(width: int, expected: str) -> None:
    line = rows(*STEADY).line(30.0, width)
    assert line.strip() == expected.strip()
    assert cell_len(line) <= width


@pytest.mark.parametrize("width", range(0, 130, 3))
def test_never_more_than_there_is_room_for(width: int) -> None:
    for made in (rows(*STEADY), meter(LOSSES), rows((0.0, 0)), rows(*STEADY, total=None)):
        assert cell_len(made.line(30.0, width)) <= width


def test_without_a_total_there_are_rows_and_their_rate_and_no_bar() -> None:
    line = rows(*STEADY, total=None).line(30.0, 80)
    assert line == "30,000 rows  1,000 rows/s  transforming"


def test_more_than_the_total_is_no_share() -> None:
    assert "%" not in rows(*STEADY, total=20_000).line(30.0, 80)


def test_nothing_is_foretold_in_the_first_second_nor_at_the_end() -> None:
    assert rows((0.0, 0), (0.4, 1000), (0.8, 2000)).left(0.8) is None
    assert rows((0.0, 0), (0.6, 1000), (1.2, 2000)).left(1.2) == pytest.approx(58.8)
    assert rows((0.0, 0), (1.0, 50_000), (2.0, 100_000)).left(2.0) is None
    assert "transforming" in rows((0.0, 0), (1.0, 50_000), (2.0, 100_000)).line(2.0, 60), "what it still does"


def test_what_comes_before_the_first_unit_slows_nothing() -> None:
    compiled = rows((0.0, 0), (60.0, 1000), (61.0, 2000))
    assert compiled.rate(61.0) == pytest.approx(1000)


def test_a_training_that_goes_on_counts_what_it_does_itself() -> None:
    resumed = [(0.0, 800), (30.0, 801), (31.0, 861), (32.0, 921)]
    made = meter([(now, Count(done, 2000, "steps")) for now, done in resumed])
    assert made.rate(32.0) == pytest.approx(60.0)


def test_trials_that_end_together_are_no_rate() -> None:
    made = meter([(now, Count(done, 6, "trials")) for now, done in [(0.0, 0), (8.0, 1), (8.5, 2)]])
    assert made.rate(8.5) == pytest.approx(2 / 8.5)
    assert made.left(8.5) == pytest.approx(4 * 8.5 / 2)


def test_time_left_goes_down_between_two_reports_and_ends_where_nothing_moves() -> None:
    made = rows(*STEADY)
    assert made.left(30.0) == pytest.approx(70.0)
    assert made.left(34.0) == pytest.approx(66.0)
    assert made.left(45.0) is None


def test_something_new_begins_anew() -> None:
    made = rows(*STEADY)
    made.add(Count(0, 100_000, "rows", "second pass"), 31.0)
    assert made.left(31.0) is None
    assert "second pass" in made.line(31.0, 60)


def test_what_the_loss_does_is_seen() -> None:
    made = meter(LOSSES)
    assert made.line(10.0, 44) == "━━━───────   33 %  ~20 s  loss 0.1 █▃▃▂▂▁▁▁"
    assert made.line(10.0, 41) == "━━━───────   33 %  ~20 s  loss 0.1 █▃▂▁▁"
    wide = made.line(10.0, 120)
    assert "loss 0.1 █▃▃▂▂▁▁▁  auc 0.9" in wide
    assert " 1,000/3,000 steps" in wide
    assert made.line(10.0) == "33 %  1,000/3,000 steps  100 steps/s  about 20 s left  loss 0.1 █▃▃▂▂▁▁▁  auc 0.9"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "5 s"), (12, "10 s"), (58, "1 min"), (125, "2 min"), (3580, "1 h"), (7300, "2 h"), (9000, "2 h 30 min")],
)
def test_times_do_not_pretend_to_be_exact(seconds: float, said: str) -> None:
    assert about(seconds) == f"about {said}"
    assert about(seconds, short=True) == f"~{said}"


def test_a_curve_needs_two_points_that_are_numbers() -> None:
    assert sparkline([(1, 0.5)], 8) == ""
    assert sparkline([(1, 0.5), (2, float("nan"))], 8) == ""
    assert sparkline([(1, 0.5), (2, 0.5)], 8) == "▁▁"
    assert sparkline([(1, 0.0), (2, 1.0)], 8) == "▁█"


def test_bytes_are_told_as_people_say_them() -> None:
    made = meter([(float(second), Count(second * 4_000_000, 100_000_000, "bytes", "copying")) for second in range(6)])
    assert made.line(5.0, 100).startswith("━━━━────────────────   20 %  20 MB of 100 MB  4 MB/s  about 20 s left")


def test_in_a_pipe_there_are_lines_at_intervals_that_grow() -> None:
    stream = io.StringIO()
    display = LineDisplay(Console(file=stream, width=80), errors=False)
    task: dict[str, Any] = {"name": "train", "state": "running", "seconds": None, "facts": "", "error": ""}
    with mock.patch("runners.terminal.display.time") as clock:
        clock.monotonic.return_value = 0.0
        display.change(task)
        for second in range(1, 3601):
            clock.monotonic.return_value = float(second)
            display.change(task, str(Count(second, 7200, "steps", values={"loss": 0.5})))
            display.change(task, "a text, which is in the log")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "▶ train"
    assert lines[1] == "▶ train  0 %  10/7,200 steps  1 steps/s  about 2 h left  loss 0.5 ▁▁▁▁▁▁▁▁"
    assert 25 <= len(lines) <= 40
    assert not any("a text" in line for line in lines)
