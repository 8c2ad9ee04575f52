"""Drift of the real complaints from 2014 to 2015, by the model's own schema, between splits and between runs."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.runtime.errors import InputError
from components.runtime.stage.executor import Execution
from tests.support import ROOT, shared
from tests.support_tfdv import Row, run_statistics, run_validate, write_examples

SCHEMA = (ROOT / "models" / "complaints" / "schema.pbtxt").read_text()


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schema")
    (folder / "schema.pbtxt").write_text(SCHEMA)
    return folder


@pytest.fixture(scope="module")
def statistics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of the complaints with a label: two halves of 2014; 2014 as train with 2015 as eval; 2015 alone."""
    years: dict[str, list[Row]] = {"2014": [], "2015": []}
    with shared("complaints/tabular.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            if row["label_disputed"] and row["date_received"][:4] in years:
                years[row["date_received"][:4]].append({name: value or None for name, value in row.items()})
    assert {year: len(rows) for year, rows in years.items()} == {"2014": 4947, "2015": 22882}
    halves: dict[str, list[Row]] = {"train": [], "eval": []}
    for row in years["2014"]:
        odd = hashlib.sha256(str(row["complaint_id"]).encode()).digest()[0] % 2
        halves["eval" if odd else "train"].append(row)
    folder = tmp_path_factory.mktemp("statistics")
    found = {}
    splits = {"halves": halves, "years": {"train": years["2014"], "eval": years["2015"]}}
    splits["later"] = {"train": years["2015"]}
    for name, rows in splits.items():
        run_statistics(write_examples(folder / name / "examples", rows), folder / name)
        found[name] = folder / name / "statistics"
    return found


def drifted(folder: Path, split: str) -> set[str]:
    content = (folder / "anomalies" / f"Split-{split}" / "SchemaDiff.pb").read_bytes()
    found = anomalies_pb2.Anomalies.FromString(content).anomaly_info
    kinds = {reason.type for info in found.values() for reason in info.reason}
    assert kinds <= {anomalies_pb2.AnomalyInfo.COMPARATOR_L_INFTY_HIGH}
    return set(found)


def is_valid(execution: Execution) -> bool:
    return bool(execution.outputs["anomalies"].metadata["valid"])


def test_two_years_as_splits_of_one_run(statistics: dict[str, Path], schema: Path, tmp_path: Path) -> None:
    execution = run_validate(statistics["years"], schema, tmp_path)
    assert not is_valid(execution)
    assert drifted(tmp_path, "eval") == {"product", "issue"}
    assert drifted(tmp_path, "train") == set()
    summary = execution.outputs["anomalies"].metadata["summary"]
    assert "eval: issue: The Linfty distance" in summary
    assert "eval: product: The Linfty distance" in summary


def test_halves_of_one_year_are_alike(statistics: dict[str, Path], schema: Path, tmp_path: Path) -> None:
    assert is_valid(run_validate(statistics["halves"], schema, tmp_path))
    assert drifted(tmp_path, "eval") == set()
    assert "too far" not in (tmp_path / "report").read_text()


def test_a_year_against_an_earlier_run(statistics: dict[str, Path], schema: Path, tmp_path: Path) -> None:
    alone = run_validate(statistics["later"], schema, tmp_path / "alone")
    assert is_valid(alone)
    compared = run_validate(statistics["later"], schema, tmp_path / "out", previous=statistics["years"])
    assert not is_valid(compared)
    assert drifted(tmp_path / "out", "train") == {"product", "issue"}
    assert "the earlier run" in (tmp_path / "out" / "report").read_text()
    same = run_validate(statistics["later"], schema, tmp_path / "same", previous=statistics["later"])
    assert is_valid(same)


def test_what_cannot_be_compared_is_told(statistics: dict[str, Path], schema: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"previous_statistics .*/nowhere: no such folder"):
        run_validate(statistics["later"], schema, tmp_path / "1", previous=tmp_path / "nowhere")
    (tmp_path / "schema").mkdir()
    plain = "\n".join(line for line in SCHEMA.splitlines() if "drift_comparator" not in line)
    (tmp_path / "schema" / "schema.pbtxt").write_text(plain)
    with pytest.raises(InputError, match="the schema has no drift_comparator"):
        run_validate(statistics["later"], tmp_path / "schema", tmp_path / "2", previous=statistics["years"])
