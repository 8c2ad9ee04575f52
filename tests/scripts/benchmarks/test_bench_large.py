"""What is measured of many rows: whether memory grows with them, and the page that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.benchmarks.bench_images import Stage, run_stage
from scripts.benchmarks.bench_large import tables
from scripts.data import taxi_trips

_GROWN_BYTES = 150e6
"""More rows go through more pieces of memory of the same size, not always in the same order."""


def test_rows_a_second_are_those_of_each_stage() -> None:
    ingest = Stage("ingest", 10_000_000, 40.0, 70.0, 350_000_000)
    evaluate = Stage("evaluate", 3_300_000, 33.0, 50.0, 900_000_000)
    text = tables([ingest, evaluate])
    assert text.startswith("10,000,000 generated trips in files of 1,000,000")
    assert tables([Stage("ingest", 50_000, 1.0, 1.0, 1)]).startswith("50,000 generated trips in one file, each stage")
    assert "| ingest | 10,000,000 | 40.0 | 250,000 | 70.0 | 7.0 | 0.35 |" in text
    assert "| evaluate | 3,300,000 | 33.0 | 100,000 | 50.0 | 15.2 | 0.90 |" in text


@pytest.mark.slow
def test_memory_of_ingest_and_statistics_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    peaks: dict[str, list[int]] = {"ingest": [], "statistics": []}
    for rows in (200_000, 1_000_000):
        scratch = tmp_path / str(rows)
        (scratch / "trips").mkdir(parents=True)
        taxi_trips.write(scratch / "trips" / "trips.csv", rows, 1, 0.0)
        parameters = {"data": str(scratch / "trips"), "splits": {"train": 2, "eval": 1}, "split_patterns": {}}
        peaks["ingest"].append(run_stage("ingest", scratch, rows, parameters, {}).peak_memory_bytes)
        examples = {"examples": scratch / "ingest" / "examples"}
        statistics = run_stage("statistics", scratch, rows, {"schema_file": "", "beam_options": []}, examples)
        peaks["statistics"].append(statistics.peak_memory_bytes)
    for few, many in peaks.values():
        assert many < few + _GROWN_BYTES, peaks
