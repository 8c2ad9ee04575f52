"""The complaints pipeline: generated complaints here, the real ones with both labels among the slow tests."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Run, run
from tests.support import ROOT, shared

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("complaints")
    command = [sys.executable, "-m", "scripts.data.sample_data", "complaints", "--output", str(folder / "data")]
    subprocess.run(command, cwd=ROOT, check=True)
    return run(folder / "root", "complaints", "--data", str(folder / "data"))


def test_the_sample_is_learned_blessed_and_pushed(complaints: Run) -> None:
    assert complaints.exit_code == 0, complaints.output + complaints.errors
    ingested = complaints.metadata("ingest", "examples")
    assert ingested["rows"] + ingested["rows_left_out"] == 15_000
    assert ingested["rows_left_out"] > 1000
    metrics = complaints.metadata("evaluate", "metrics")
    assert metrics["example_count"] == ingested["rows_eval"]
    assert metrics["auc"] > 0.65
    assert metrics["top_lift"] > 1.5
    assert complaints.metadata("evaluate", "blessing")["blessed"] is True
    assert len(list(complaints.root.glob("serving/complaints/*/saved_model.pb"))) == 1


def test_the_report_compares_products(complaints: Run) -> None:
    page = complaints.path("evaluate", "report").read_text()
    assert "Fairness by product" in page
    assert "Threshold 0.75" in page
    assert "Mortgage" in page


def data(folder: Path, name: str) -> str:
    folder.mkdir(parents=True)
    shutil.copyfile(shared(f"complaints/{name}"), folder / name)
    return str(folder)


def test_real_disputes_reach_what_a_logistic_regression_reaches(tmp_path: Path) -> None:
    done = run(tmp_path / "root", "complaints", "--data", data(tmp_path / "data", "tabular.csv"))
    assert done.exit_code == 0, done.output + done.errors
    assert done.metadata("ingest", "examples")["rows_left_out"] == 3185
    assert done.metadata("evaluate", "metrics")["auc"] >= 0.61
    assert done.metadata("evaluate", "blessing")["blessed"] is True


def test_next_months_disputes_pass_the_gate(tmp_path: Path) -> None:
    """Trained on 2013 and October 2014, evaluated on January 2015: the least that docs/models.md tells of."""
    with shared("complaints/tabular.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    (tmp_path / "data").mkdir()
    for split, wanted in (("train", lambda month: month < "2015"), ("eval", lambda month: month == "2015-01")):
        with (tmp_path / "data" / f"{split}.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(row for row in rows if wanted(row["date_received"][:7]))
    model = ROOT / "models" / "complaints"
    settings = yaml.safe_load((model / "settings.yaml").read_text())
    settings["ingest"].pop("splits")
    settings["ingest"]["split_patterns"] = {"train": "train.csv", "eval": "eval.csv"}
    for section, key in (("transform", "module_file"), ("train", "module_file"), ("evaluate", "eval_config_file")):
        settings[section][key] = str(model / settings[section][key])
    # Products and issues do drift between these months, and validate would say so.
    schema = [line for line in (model / "schema.pbtxt").read_text().splitlines() if "drift_comparator" not in line]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "schema.pbtxt").write_text("\n".join(schema))
    (tmp_path / "mine" / "settings.yaml").write_text(yaml.safe_dump(settings))
    done = run(tmp_path / "root", str(tmp_path / "mine"), "--data", str(tmp_path / "data"))
    assert done.exit_code == 0, done.output + done.errors
    assert 0.56 < done.metadata("evaluate", "metrics")["auc"] < 0.58
    assert done.metadata("evaluate", "blessing")["blessed"] is True


def test_real_products_are_told_from_their_narratives(tmp_path: Path) -> None:
    done = run(tmp_path / "root", "complaints_product", "--data", data(tmp_path / "data", "product_narrative.csv"))
    assert done.exit_code == 0, done.output + done.errors
    assert done.metadata("evaluate", "metrics")["sparse_categorical_accuracy"] >= 0.8
    assert done.metadata("evaluate", "blessing")["blessed"] is True
    # The same module files.
    for task in ("transform", "train"):
        assert done.execution(task)["parameters"]["module_file"].startswith("models/complaints/")
