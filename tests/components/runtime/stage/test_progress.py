"""The lines in which a stage says how far it is."""

from __future__ import annotations

import multiprocessing
import time

import pytest

from components.runtime.stage import progress
from components.runtime.stage.progress import Count

COUNTS = {
    "[82000/200000 rows] transforming": Count(82000, 200000, "rows", "transforming"),
    "[120/500 steps, loss 0.4312, eval auc 0.81]": Count(120, 500, "steps", values={"loss": 0.4312, "eval auc": 0.81}),
    "[7 files]": Count(7, None, "files"),
    "[0/3 trials, loss 1e-05] trial 1 of 3: units 8": Count(0, 3, "trials", "trial 1 of 3: units 8", {"loss": 1e-05}),
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has said nothing yet."""
    monkeypatch.setattr(progress, "_last", 0.0)
    monkeypatch.setattr(progress, "_begun", 0.0)


@pytest.mark.parametrize(("line", "count"), COUNTS.items())
def test_a_line_says_what_a_count_is(line: str, count: Count) -> None:
    assert str(count) == line
    assert Count.read(line) == count


@pytest.mark.parametrize(
    "line", ["", "step 1/2", "[x/2 rows]", "[1/2]", "[1/2 rows", "[1/2 rows, loss much]", "[1/2 Rows]"]
)
def test_a_text_is_no_count(line: str) -> None:
    assert Count.read(line) is None


def test_odd_names_of_values_do_no_harm() -> None:
    odd = Count(1, 2, "steps", values={"a, b]": 1.0})
    assert Count.read(str(odd)) == Count(1, 2, "steps", values={"a_ b_": 1.0})


def test_a_loop_prints_little(capsys: pytest.CaptureFixture[str]) -> None:
    for done in range(10_000):
        progress.count(done, 10_000)
    assert 1 <= len(capsys.readouterr().out.splitlines()) <= 3


def test_in_a_long_stage_lines_are_further_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = time.monotonic()
    monkeypatch.setattr(progress, "_begun", begun)
    assert [progress._interval(begun + age) for age in (0, 100, 3600)] == pytest.approx([0.5, 1.0, 5.0])


def _work(number: int) -> None:
    for _ in range(number):
        progress.advance(10)


def test_processes_count_together(capsys: pytest.CaptureFixture[str]) -> None:
    context = multiprocessing.get_context("fork")
    with progress.counting(3000, "rows", "working"):
        workers = [context.Process(target=_work, args=(100,)) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "progress: [0/3000 rows] working"
    assert lines[-1] == "progress: [3000/3000 rows] working"
    progress.advance(1)
    assert not capsys.readouterr().out, "nobody counts any more"


def test_a_second_pass_is_told_as_one_and_a_wrong_total_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    for repeats in (True, False):
        with progress.counting(100, "rows", "analysing", repeats=repeats):
            progress.advance(130)
    last = [line for line in capsys.readouterr().out.splitlines() if "30" in line]
    assert set(last) == {"progress: [30/100 rows] analysing, pass 2", "progress: [130 rows] analysing"}


def test_no_total_is_no_share(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.counting(None, "rows", "reading"):
        progress.advance(5)
    assert capsys.readouterr().out.splitlines()[-1] == "progress: [5 rows] reading"
