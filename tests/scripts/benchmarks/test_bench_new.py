from __future__ import annotations

from pathlib import Path

from scripts.benchmarks import bench_new
from scripts.benchmarks.bench_new import Measured


def measured(name: str, ours: float, *, blessed: bool = True) -> Measured:
    return Measured(
        name=name, rows=1500, columns=4, metric="r2_score", ours=ours, boosting=0.9, standard_error=0.01,
        blessed=blessed, seconds=61.2, commit="1234abc",
    )  # fmt: skip


def test_the_table_of_the_page_is_that_of_the_kept_results() -> None:
    begin, end = bench_new.MARKS
    written = bench_new.PAGE.read_text().partition(begin)[2].partition(end)[0].strip()
    assert written == bench_new.table(bench_new.results(bench_new.RESULTS))


def test_what_misses_the_promise_is_bold_and_counted() -> None:
    table = bench_new.table([measured("iris", 0.881), measured("cars", 0.879, blessed=False)])
    assert "| iris | 1,500 | 4 | R² | 88.1 | 90.0 | -1.9 | 1.0 | yes | 61 | 1234abc |" in table
    assert "| cars | 1,500 | 4 | R² | 87.9 | 90.0 | **-2.1** | 1.0 | **no** | 61 | 1234abc |" in table
    told = " ".join(table.split())
    assert "Of these 2 tables 1 are at most 2 behind the boosting; 1 are blessed. Not measured: wine, " in told


def test_a_later_result_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    for name, ours in (("cars", 0.8), ("iris", 0.7), ("cars", 0.9)):
        bench_new.keep(file, measured(name, ours))
    assert [(each.name, each.ours) for each in bench_new.results(file)] == [("iris", 0.7), ("cars", 0.9)]
