from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.runtime.errors import InputError
from scripts.benchmarks.bench import BEGIN, END, Measured, main, tables, write_page


def task(name: str, **facts: Any) -> dict[str, Any]:
    return {
        "name": name,
        "stage": name,
        "state": "done",
        "seconds": 3.0,
        "start_up_seconds": 1.0,
        "rows": None,
        "peak_memory_bytes": 500_000_000,
    } | facts


def test_start_up_is_apart_from_work_and_rows_are_per_second_of_work() -> None:
    run = Measured(
        "generated, 10", 10, 9.0, 2.0, 8.0, [task("ingest", rows=1000), task("push"), task("reject", state="skipped")]
    )
    text = tables([run], {"ingest": 40_000.0, "beam": 2_000.0}, 500)
    assert "| generated, 10 | 10 | 9.0 | 8.0 | 2.0 |" in text
    assert "| ingest | 2.00 | 1.00 | 1,000 | 500 | 0.50 |" in text
    assert "| push | 2.00 | 1.00 |  |  | 0.50 |" in text
    assert "reject" not in text
    assert "| ingest is faster by | 20.0 times |" in text


def test_page_keeps_what_stands_around_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for _ in range(2):
        write_page(page, "new")
    assert page.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert list(tmp_path.iterdir()) == [page]


def test_page_is_made_where_there_is_none(tmp_path: Path) -> None:
    write_page(tmp_path / "page.md", "measured")
    assert f"{BEGIN}\nmeasured\n{END}" in (tmp_path / "page.md").read_text()


def test_page_without_marks_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("mine")
    with pytest.raises(InputError, match="marks"):
        write_page(tmp_path / "page.md", "new")
    assert (tmp_path / "page.md").read_text() == "mine"


@pytest.mark.parametrize("part", [["--rows", "10"], ["--large", "10"], ["--images", "10"]])
def test_page_without_marks_is_refused_before_anything_is_measured(
    tmp_path: Path, part: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page.md").write_text("mine")
    scratch = tmp_path / "scratch"
    assert main([*part, "--page", str(tmp_path / "page.md"), "--scratch", str(scratch)]) == 65
    assert "the marks" in capfd.readouterr().err
    assert not scratch.exists()


@pytest.mark.parametrize("count", ["0", "-5", "many"])
def test_nothing_is_not_measured(count: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([f"--large={count}"])
    assert f"argument --large: expected a whole number of at least 1, not '{count}'" in capfd.readouterr().err
