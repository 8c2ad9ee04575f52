"""A model that is tuned before it is trained, and starts from the last blessed one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from runners.local.environments import interpreter
from tests.e2e.conftest import Run, run
from tests.runners.command_line import command
from tests.support import ROOT

SETTINGS = """
ingest: {{format: csv, splits: {{train: 2, eval: 1}}}}
transform: {{module_file: {taxi}/preprocessing.py}}
tune: {{module_file: {taxi}/model.py, train_steps: 40, eval_steps: 10, max_trials: 2}}
train: {{module_file: {taxi}/model.py, train_steps: 100, eval_steps: 10, warm_start: true}}
evaluate: {{eval_config_file: {taxi}/evaluation.pbtxt}}
cluster: {{volume: {{claim: work}}}}
"""

Tuned = tuple[Path, Run]


@pytest.fixture(scope="module")
def tuned(taxi_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """The model's folder, and its first run."""
    folder = tmp_path_factory.mktemp("models") / "tuned"
    folder.mkdir()
    (folder / "settings.yaml").write_text(SETTINGS.format(taxi=ROOT / "models" / "taxi"))
    return folder, run(folder.parent / "root", str(folder), "--data", str(taxi_data), timeout=1200)


@pytest.mark.slow
def test_best_hyperparameters_and_the_last_model_reach_the_training(taxi_data: Path, tuned: Tuned) -> None:
    folder, first = tuned
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


@pytest.mark.slow
def test_a_trial_of_an_exported_experiment_scores_as_that_of_the_stage(tuned: Tuned, tmp_path: Path) -> None:
    folder, first = tuned
    file = tmp_path / "experiment.yaml"
    done = command(
        "--root", str(first.root), "katib", "export", str(folder), "--run", first.record["id"], "--output", str(file)
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "warning: Katib knows no limit of time: max_minutes is not in the Experiment"
    assert (
        f"warning: run {first.record['id']} was made here: its data has to lie on the cluster's volume" in done.stderr
    )
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    refused = command("--root", str(first.root), "katib", "export", str(other), "--run", first.record["id"])
    assert refused.returncode == 65
    assert refused.stderr.splitlines()[-1].endswith(
        f"is of the pipeline {first.record['pipeline']}, not of other; name one of its own"
    )
    template = yaml.safe_load(file.read_text())["spec"]["trialTemplate"]
    *_, trial = json.loads((first.path("tune", "trials") / "trials.json").read_text())["trials"]
    (container,) = template["trialSpec"]["spec"]["template"]["spec"]["containers"]
    line = container["args"][0].replace("/millrace/artifacts", f"{first.root}/artifacts")
    for parameter in template["trialParameters"]:
        line = line.replace(f"${{trialParameters.{parameter['name']}}}", str(trial["values"][parameter["reference"]]))
    python = interpreter("ml")
    ran = subprocess.run(
        [*container["command"], line],
        cwd=ROOT,
        env={"PATH": f"{python.parent}{os.pathsep}/usr/bin:/bin", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert ran.stdout.splitlines()[-1].split(" ")[1] == f"val_auc={trial['score']!r}"
