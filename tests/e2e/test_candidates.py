"""Three models on the same real trips: trained side by side, the best one or each of them published."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from components.runtime.publish.serving import MANIFEST
from components.runtime.stage.artifacts import content_digest
from tests.e2e.conftest import Run, run
from tests.support import ROOT

NAMES = ("wide", "deep", "scaled")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Taxi with three candidates; one has features of its own."""
    folder = tmp_path_factory.mktemp("models") / "rivals"
    shutil.copytree(ROOT / "models" / "taxi", folder, ignore=shutil.ignore_patterns("data", "__pycache__"))
    features = (folder / "preprocessing.py").read_text()
    (folder / "preprocessing_scaled.py").write_text(features.replace("tft.scale_to_z_score", "tft.scale_to_0_1"))
    return folder


def settings(model: Path, **more: object) -> None:
    content = {
        "candidates": {
            "wide": {"train": {"custom_config": {"hidden_units": []}}},
            "deep": {"train": {"train_steps": 80, "custom_config": {"hidden_units": [64, 32]}}},
            "scaled": {"transform": {"module_file": "preprocessing_scaled.py"}},
        },
        "train": {"train_steps": 60, "eval_steps": 10},
    }
    (model / "settings.yaml").write_text(yaml.safe_dump(content | more, sort_keys=False))


@pytest.fixture(scope="module")
def best(model: Path, taxi_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings(model)
    return run(tmp_path_factory.mktemp("root"), str(model), "--data", str(taxi_data), timeout=900)


@pytest.mark.slow
def test_the_best_blessed_one_is_published(best: Run) -> None:
    assert best.exit_code == 0, best.output + best.errors
    assert set(best.states.values()) == {"done"}
    aucs = {name: best.metadata(f"evaluate-{name}", "metrics")["auc"] for name in NAMES}
    assert all(best.metadata(f"evaluate-{name}", "blessing")["blessed"] for name in NAMES)
    chosen = max(NAMES, key=aucs.__getitem__)
    pushed = best.metadata("push", "pushed_model")
    assert (pushed["candidate"], pushed["version"]) == (chosen, 1)
    assert best.path("push", "pushed_model")
    assert best.execution("train-deep")["parameters"]["train_steps"] == 80
    assert best.execution("train-wide")["parameters"]["train_steps"] == 60
    # What is served is that candidate's model, byte for byte.
    served = json.loads((best.root / "serving" / "rivals" / "1" / MANIFEST).read_text())
    assert served["model_digest"] == content_digest(best.path(f"train-{chosen}", "model"))
    assert f"{chosen} is the best of 3 blessed candidates by auc" in served["blessing"]
    assert f"blessed   yes: {chosen} is the best of 3 blessed candidates by auc" in best.output
    for name in NAMES:
        assert f"candidate {name}: auc {aucs[name]:.4g}, blessed: " in best.output
    page = (best.root / "runs" / best.record["id"] / "report.html").read_text()
    assert "ROC curves of " in page
    assert "The choice between the candidates" in page


@pytest.mark.slow
def test_what_has_not_changed_is_not_done_again_and_each_goes_to_its_own_place(
    best: Run, model: Path, taxi_data: Path
) -> None:
    settings(model, choose={"push": "each"})
    again = run(best.root, str(model), "--data", str(taxi_data), timeout=600)
    assert again.exit_code == 0, again.output + again.errors
    assert {again.states[f"train-{name}"] for name in NAMES} == {"cached"}
    for name in NAMES:
        assert again.metadata(f"push-{name}", "pushed_model")["candidate"] == name
        served = json.loads((best.root / "serving" / "rivals" / name / "1" / MANIFEST).read_text())
        assert served["model_digest"] == content_digest(again.path(f"train-{name}", "model"))
        assert f"{name}: " in again.output
