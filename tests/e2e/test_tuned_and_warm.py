"""A model that is tuned before it is trained, and starts from the last blessed one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import run
from tests.support import ROOT

SETTINGS = """
ingest: {{format: csv, splits: {{train: 2, eval: 1}}}}
transform: {{module_file: {taxi}/preprocessing.py}}
tune: {{module_file: {taxi}/model.py, train_steps: 40, eval_steps: 10, max_trials: 2}}
train: {{module_file: {taxi}/model.py, train_steps: 100, eval_steps: 10, warm_start: true}}
evaluate: {{eval_config_file: {taxi}/evaluation.pbtxt}}
"""


@pytest.mark.slow
def test_best_hyperparameters_and_the_last_model_reach_the_training(taxi_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tuned"
    folder.mkdir()
    (folder / "settings.yaml").write_text(SETTINGS.format(taxi=ROOT / "models" / "taxi"))
    first = run(tmp_path / "root", str(folder), "--data", str(taxi_data), timeout=1200)
    assert first.exit_code == 0, first.output + first.errors
    assert first.states["tune"] == first.states["train"] == first.states["push"] == "done"
    assert first.metadata("resolve-base", "baseline_model")["found"] is False
    trials = json.loads((first.path("tune", "trials") / "trials.json").read_text())
    assert len(trials["trials"]) == 2
    best = json.loads((first.path("tune", "best_hyperparameters") / "best_hyperparameters.txt").read_text())
    assert best["values"] == max(trials["trials"], key=lambda row: row["score"])["values"]
    page = (first.root / "runs" / first.record["id"] / "report.html").read_text()
    assert "Score by hyperparameter" in page
    log = "runs/{}/train.log"
    assert "base model" not in (first.root / log.format(first.record["id"])).read_text()

    second = run(first.root, str(folder), "--data", str(taxi_data), timeout=1200)
    assert second.exit_code == 0, second.output + second.errors
    assert second.states["tune"] == "cached"
    assert second.states["train"] == "done"
    assert second.metadata("resolve-base", "baseline_model")["version"] == 1
    assert "training on from the base model\n" in (second.root / log.format(second.record["id"])).read_text()
    before, after = (each.metadata("train", "metrics")["train_loss"] for each in (first, second))
    assert after < before
