"""A whole run that explains its model and writes its card, and the version that comes of it served and asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.conftest import Run, run
from tests.runners.command_line import command as call
from tests.support import ROOT

SECTIONS = """
pipeline_name: taxi
explain: {rows: 40, sample_rows: 300}
model_card: {intended_use: Shifts., limits: [Cash.], owners: [anna]}
"""


@pytest.mark.slow
def test_a_version_is_explained_and_has_its_card(taxi: Run, taxi_data: Path, tmp_path: Path) -> None:
    mine = tmp_path / "taxi"
    shutil.copytree(ROOT / "models" / "taxi", mine)
    with (mine / "settings.yaml").open("a") as settings:
        settings.write(SECTIONS)
    place = f"serving_directory={tmp_path / 'serving'}"
    made = run(taxi.root, str(mine), "--data", str(taxi_data), "--param", place)
    assert made.exit_code == 0, made.output + made.errors
    explained = json.loads((made.path("explain", "explanations") / "explanations.json").read_text())
    assert (explained["task"], explained["explained"]) == ("binary", 40)
    assert explained["importance"][0]["feature"] == "payment_type"
    for row in explained["rows"]:
        assert sum(row["attributions"].values()) == pytest.approx(row["answer"][0] - explained["baseline"][0], abs=1e-5)
    # The network alone answers as the signature does.
    assert explained["integrated_gradients"]["not_added_up"] < 0.05
    assert {each["feature"] for each in explained["thresholds"]} == {"trip_start_hour", "payment_type"}
    page = (taxi.root / "runs" / made.record["id"] / "report.html").read_text()
    for title in ("Explanations", "Model card", "Partial dependence", "Decision thresholds by trip_start_hour"):
        assert title in page
    told = call(
        "--root", str(taxi.root), "versions", str(mine), "--card", "1", "--serving-directory", str(tmp_path / "serving")
    )
    assert told.returncode == 0, told.stderr
    for said in ("Shifts.", "- Cash.", "| owners | anna |", made.record["id"], "By payment\\_type", "What it goes by"):
        assert said in told.stdout
    metrics = made.metadata("evaluate", "metrics")
    assert f"| auc | {metrics['auc']:.6g} |" in told.stdout
