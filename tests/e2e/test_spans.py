"""Spans end to end: a window of days; what is told of gaps and late versions, is cached, and who made what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Run, run
from tests.runners.command_line import command as call
from tests.support import shared


def add(data: Path, day: str, version: int, rows: list[str]) -> None:
    folder = data / day / f"v{version}"
    folder.mkdir(parents=True)
    (folder / "trips.csv").write_text("\n".join(rows) + "\n")


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """Trips of three days, of which the second comes in two versions and the third not at all."""
    head, *rows = (shared("taxi") / "data.csv").read_text().splitlines()
    data = tmp_path / "data"
    for number, (day, version) in enumerate(
        (("2026-11-26", 1), ("2026-11-27", 1), ("2026-11-27", 2), ("2026-11-29", 1))
    ):
        add(data, day, version, [head, *rows[number::4]])
    return data


def at(root: Path, data: Path, *arguments: str) -> Run:
    return run(root, "taxi", "--data", f"{data}/{{YYYY}}-{{MM}}-{{DD}}/v{{VERSION}}", *arguments)


def document(root: Path, *arguments: str) -> dict[str, Any]:
    process = call("--root", str(root), *arguments, "--json")
    assert process.returncode == 0, process.stderr
    found: dict[str, Any] = json.loads(process.stdout)
    return found


@pytest.mark.slow
def test_what_is_read_is_told_from_the_run_to_the_version(tmp_path: Path, days: Path) -> None:
    root = tmp_path / "root"
    window = at(root, days, "--spans", "3", "--param", "train_steps=100")
    assert window.exit_code == 0, window.errors
    told = "spans 2026-11-26 (version 1), 2026-11-27 (version 2), 2026-11-29 (version 1)"
    ingest = next(task for task in window.record["tasks"] if task["name"] == "ingest")
    assert ingest["facts"].endswith(f"{told}; not there: 2026-11-28")
    assert ingest["alert"] == "warning"
    assert document(root, "versions", "taxi")["versions"][0]["spans"] == told
    assert f"({told}, " in call("--root", str(root), "lineage", "taxi@1", "--up").stdout
    report = (root / "runs" / window.record["id"] / "report.html").read_text()
    assert f"Of {told}." in report, "on the page of the statistics"

    # The same content, however it is asked for; the older days are not looked at.
    part = ("--until", "statistics")
    same = at(root, days, "--param", "span=2026-11-26/2026-11-29", *part)
    assert same.states["ingest"] == same.states["statistics"] == "cached"
    assert at(root, days, "--span", "2026-11-29", *part).states["ingest"] == "done"
    assert at(root, days, *part).states["ingest"] == "cached"

    # A late version of a day that is not read is no reason to compute anything, and one to say so.
    add(days, "2026-11-27", 3, (days / "2026-11-27" / "v2" / "trips.csv").read_text().splitlines())
    late = at(root, days, *part)
    assert (late.states["ingest"], late.states["statistics"]) == ("done", "cached")
    assert "span 2026-11-27 has version 3 now, the last run that read it used 2" in late.output
    again = at(root, days, "--spans", "3", *part)
    assert again.states["ingest"] == "done"
    assert again.metadata("ingest", "examples")["span_versions"] == [1, 3, 1]
    assert "has version 3 now" not in at(root, days, *part).output

    missing = at(root, days, "--span", "2026-11-28", *part)
    assert missing.exit_code == 65
    assert missing.record["error"] == (
        f"ingest: {days}: there is no span 2026-11-28; there are 2026-11-26, 2026-11-27, 2026-11-29"
    )
