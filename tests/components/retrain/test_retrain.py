"""The retrain stage: what it makes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

from components.runtime.data import tfrecord
from tests.support import StageResult, run_stage


def run(folder: Path, rows: dict[str, int], at_least: int = 1) -> StageResult:
    """Runs the stage on examples with so many rows in each split."""
    examples = folder / "examples"
    examples.mkdir()
    for split, count in rows.items():
        (examples / f"Split-{split}").mkdir()
        tfrecord.write(examples / f"Split-{split}" / "data.gz", [b"a row"] * count)
    return run_stage(
        "retrain",
        folder / "out",
        inputs={"examples": examples},
        parameters={"at_least": at_least},
        outputs=["counts", "report"],
    )


def test_rows_are_counted_and_shown(tmp_path: Path) -> None:
    result = run(tmp_path, {"eval": 2, "train": 5})
    assert result.exit_code == 0, result.stderr
    assert json.loads((tmp_path / "out" / "counts" / "counts.json").read_text()) == {"eval": 2, "train": 5}
    metadata = result.metadata("counts")
    assert (metadata["splits"], metadata["rows"]) == (["eval", "train"], 7)
    assert "progress: train: 5 rows" in result.stdout
    assert '<td>train</td><td class="number">5</td>' in (tmp_path / "out" / "report").read_text()


def test_too_few_rows_are_one_line_and_leave_nothing(tmp_path: Path) -> None:
    result = run(tmp_path, {"eval": 2, "train": 5}, at_least=3)
    assert result.exit_code == 65
    assert result.error == "the split eval has 2 rows, and at_least is 3: give more data, or lower it"
    assert "Traceback" not in result.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_examples_without_splits_are_refused(tmp_path: Path) -> None:
    result = run(tmp_path, {})
    assert result.exit_code == 65
    assert result.error.endswith("holds no splits, which are Split-<name>/; make the examples again")
