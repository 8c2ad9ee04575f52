"""A run that exports what it pushes, and one of a smaller network that learns from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import run
from tests.runners.cluster_support import call
from tests.support import ROOT

SETTINGS = """
pipeline_name: taxi
ingest: {{format: csv, splits: {{train: 2, eval: 1}}}}
transform: {{module_file: {taxi}/preprocessing.py}}
train: {{module_file: {taxi}/model.py, train_steps: 200, eval_steps: 10{distil}}}
evaluate: {{eval_config_file: {taxi}/evaluation.pbtxt}}
export:
  formats:
    litert: {{}}
    phone: {{format: litert, quantise: int8}}
    bare: {{format: saved_model, sparsity: 0.99}}
"""
DISTIL = ", distil: {alpha: 0.9}, custom_config: {hidden_units: [8]}"


@pytest.mark.slow
def test_exports_go_with_the_version_and_a_student_learns_from_it(taxi_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "taxi"
    folder.mkdir()
    (folder / "settings.yaml").write_text(SETTINGS.format(taxi=ROOT / "models" / "taxi", distil=""))
    first = run(tmp_path / "root", str(folder), "--data", str(taxi_data), timeout=1200)
    assert first.exit_code == 0, first.output + first.errors
    assert first.states["export"] == first.states["push"] == "done"
    made = first.metadata("export", "export_blessing")
    assert sorted(made["exports"]) == ["litert", "phone"]
    assert made["exports_refused"]["bare"].startswith("auc 0.")
    assert "2 exports, 1 refused" in first.output
    version = first.root / "serving" / "taxi" / "1"
    assert (version / "assets.extra" / "exports" / "phone" / "model.tflite").stat().st_size > 0
    assert not (version / "assets.extra" / "exports" / "bare").exists()
    page = (first.root / "runs" / first.record["id"] / "report.html").read_text()
    assert "What it costs" in page
    told = json.loads(call("--root", first.root, "versions", str(folder), "--verify", "--json").out)["versions"]
    assert [(each["exports"], each["damage"]) for each in told] == [(["litert", "phone"], None)]

    (folder / "settings.yaml").write_text(SETTINGS.format(taxi=ROOT / "models" / "taxi", distil=DISTIL))
    second = run(first.root, str(folder), "--data", str(taxi_data), timeout=1200)
    assert second.exit_code == 0, second.output + second.errors
    assert second.metadata("resolve-base", "baseline_model")["version"] == 1
    log = (second.root / "runs" / second.record["id"] / "train.log").read_text()
    assert "learning from the model in service: temperature 2, alpha 0.9\n" in log
    page = (second.root / "runs" / second.record["id"] / "report.html").read_text()
    assert "taught by" in page
