"""Small inputs that went wrong once, each run as its finder ran it: the right value, or one clear line."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Run, run
from tests.support import ROOT

pytestmark = pytest.mark.slow

CASES = ROOT.parent / "shared" / "cases"
NAMES = {
    "space": "sepal length (cm)", "slash": "od280/od315", "dash": "sepal-length",
    "underscore": "_id", "keyword": "class", "umlaut": "größe",
}  # fmt: skip


def case(name: str) -> Path:
    if not CASES.is_dir():
        pytest.skip("needs test data that is not here: cases")
    return CASES / name


def model(folder: Path, *sources: Path) -> Path:
    """A model's folder of the files of others, later ones in place of earlier ones."""
    target = folder / "model"
    for source in sources:
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "data"))
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target


def error(result: Run) -> str:
    """The run's one line of error."""
    lines = [line for line in (result.output + result.errors).splitlines() if "error" in line]
    assert lines, result.output
    assert "Traceback" not in result.output + result.errors
    return " ".join(str(result.record["error"]).split())


def metrics(result: Run) -> dict[str, Any]:
    return result.metadata("evaluate", "metrics")


def test_00_a_regression_has_calibration_and_no_roc(tmp_path: Path) -> None:
    folder = case("00-regression-model")
    result = run(tmp_path / "root", str(model(tmp_path, folder)), "--data", str(folder / "data"))
    assert result.exit_code == 0, result.output + result.errors
    assert "confidenceMetrics" not in result.metadata("evaluate", "classification")
    page = result.path("evaluate", "report").read_text()
    assert "ROC" not in page
    assert "residual" in page.lower()


@pytest.mark.parametrize("kind", sorted(NAMES))
def test_01_a_column_is_served_by_its_own_name(tmp_path: Path, kind: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copyfile(case("01-signature-names") / f"{kind}.csv", data / "d.csv")
    result = run(tmp_path / "root", str(model(tmp_path, case("01-signature-names"))), "--data", str(data))
    assert result.exit_code == 0, result.output + result.errors
    saved = next((tmp_path / "root" / "serving").rglob("saved_model.pb")).read_bytes()
    assert NAMES[kind].encode() in saved


def test_02_weights_are_those_of_tfma_and_rows_are_records(tmp_path: Path, taxi: Run, taxi_data: Path) -> None:
    folder = model(tmp_path, ROOT / "models" / "taxi", case("02-example-weights"))
    result = run(taxi.root, str(folder), "--data", str(taxi_data))
    assert result.exit_code == 0, result.output + result.errors
    assert result.metadata("evaluate", "evaluation")["rows"] == taxi.metadata("evaluate", "evaluation")["rows"]
    months = 0
    with (taxi_data / "data.csv").open() as stream:
        months = sum(int(row["trip_start_month"]) for row in csv.DictReader(stream))
    counted = [value for name, value in metrics(result).items() if name.startswith("example_count")]
    # The weighted count is of the eval split, about a third of all.
    assert any(0.25 * months < value < 0.42 * months for value in counted)


def test_03_categories_that_are_integers_drift(tmp_path: Path) -> None:
    folder = case("03-categorical-int-drift")
    code = ("preprocessing.py", "model.py", "evaluation.pbtxt")
    target = model(tmp_path, folder)
    for name in code:
        shutil.copyfile(ROOT / "models" / "taxi" / name, target / name)
    first = run(tmp_path / "root", str(target), "--data", str(folder / "data"), "--until", "statistics")
    assert first.exit_code == 0, first.output + first.errors
    later = tmp_path / "later"
    (later / "train").mkdir(parents=True)
    (later / "eval").mkdir()
    # Tomorrow's data has the stores that today only eval has.
    shutil.copyfile(folder / "data" / "eval" / "a.csv", later / "train" / "a.csv")
    shutil.copyfile(folder / "data" / "eval" / "a.csv", later / "eval" / "a.csv")
    settings = (target / "settings.yaml").read_text()
    earlier = first.path("statistics", "statistics")
    validate = f"validate: {{on_anomalies: warn, previous_statistics: {earlier}}}"
    (target / "settings.yaml").write_text(re.sub(r"validate: .*", validate, settings))
    second = run(tmp_path / "root", str(target), "--data", str(later), "--until", "validate")
    page = second.path("validate", "report").read_text()
    distance = re.search(r"store.*?(0\.\d+)", re.sub(r"<[^>]+>", " ", page), re.DOTALL)
    assert distance, page[:2000]
    assert second.metadata("validate", "anomalies")["anomalies"] > 0
    assert "store" in second.metadata("validate", "anomalies")["summary"] or "store" in page


def test_05_bounds_on_pairs_of_slices_that_hold_bless(tmp_path: Path, taxi: Run, taxi_data: Path) -> None:
    folder = model(tmp_path, ROOT / "models" / "taxi", case("05-cross-slice-threshold"))
    result = run(taxi.root, str(folder), "--data", str(taxi_data))
    assert result.exit_code == 0, result.output + result.errors
    assert result.metadata("evaluate", "blessing")["blessed"] is True


def test_06_a_label_that_is_text_is_told(tmp_path: Path) -> None:
    folder = model(tmp_path, case("00-regression-model"), case("06-string-label"))
    result = run(tmp_path / "root", str(folder), "--data", str(case("00-regression-model") / "data"))
    assert result.exit_code == 65
    assert "group" in error(result)
    assert "text" in error(result)
    assert "g0" not in error(result), "rows of the user's"


def test_07_r2_is_the_same_on_every_way(tmp_path: Path) -> None:
    root, data = tmp_path / "root", str(case("00-regression-model") / "data")
    folder = model(tmp_path, case("00-regression-model"), case("07-r2score"))
    found = []
    for change in ("", "beam", "raw"):
        if change == "beam":
            settings = (folder / "settings.yaml").read_text()
            options = "evaluate: {beam_options: [--direct_num_workers=1], "
            (folder / "settings.yaml").write_text(settings.replace("evaluate: {", options))
        if change == "raw":
            evaluation = (folder / "evaluation.pbtxt").read_text()
            evaluation = evaluation.replace('preprocessing_function_names: "transform_features"', "")
            (folder / "evaluation.pbtxt").write_text(evaluation.replace("target_xf", "target"))
        result = run(root, str(folder), "--data", data)
        assert result.exit_code == 0, result.output + result.errors
        found += [value for name, value in metrics(result).items() if "r2" in name.lower()]
    assert found == pytest.approx([found[0]] * 3, abs=1e-6)
    assert len(found) == 3


@pytest.mark.parametrize(
    ("custom_config", "said"),
    [("dropout: null", "custom_config.dropout"), ("patience: .inf", "custom_config.patience")],
)
def test_08_what_json_cannot_say_is_told_by_its_path(tmp_path: Path, custom_config: str, said: str) -> None:
    folder = model(tmp_path, ROOT / "models" / "taxi", case("08-null-in-custom-config"))
    settings = (folder / "settings.yaml").read_text().replace("dropout: null", custom_config)
    (folder / "settings.yaml").write_text(settings)
    result = run(tmp_path / "root", str(folder), "--data", str(tmp_path))
    assert result.exit_code == 65
    assert said in result.errors
    assert result.errors.count("\n") == 1


SEPARATORS = {
    "semicolon": {"delimiter": ";"},
    "tab": {"delimiter": "\t"},
    "excel-sep-line": {"delimiter": ";"},
    "decimal-comma": {"delimiter": ";"},
}


def ingest(folder: Path, files: Path, **settings: Any) -> Run:
    data = folder / "data"
    data.mkdir(exist_ok=True)
    shutil.copyfile(files, data / "d.csv")
    target = model(folder, ROOT / "models" / "taxi")
    text = re.sub(
        r"(?ms)^ingest:.*?(?=^\S)", f"ingest: {json.dumps(settings)}\n", (target / "settings.yaml").read_text()
    )
    (target / "settings.yaml").write_text(text)
    return run(folder / "root", str(target), "--data", str(data), "--until", "ingest")


@pytest.mark.parametrize("name", sorted(SEPARATORS))
def test_09_another_delimiter_is_guessed_and_read(tmp_path: Path, name: str) -> None:
    file = case("09-separator") / f"{name}.csv"
    refused = ingest(tmp_path, file)
    assert refused.exit_code == 65
    assert "delimiter" in error(refused)
    if name in ("semicolon", "tab"):
        read = ingest(tmp_path, file, splits={"train": 1}, **SEPARATORS[name])
        assert read.exit_code == 0, read.output + read.errors
        columns = read.metadata("ingest", "examples")["columns"]
        assert [columns[key] for key in ("id", "x", "c")] == ["int64", "float32", "bytes"]


def test_10_no_header_is_told_and_names_can_be_given(tmp_path: Path) -> None:
    file = case("10-no-header") / "d.csv"
    refused = ingest(tmp_path, file)
    assert refused.exit_code == 65
    assert "header" in error(refused)
    read = ingest(tmp_path, file, header=False, column_names=["id", "x", "c"])
    assert read.exit_code == 0, read.output + read.errors
    assert read.metadata("ingest", "examples")["rows"] == len(file.read_text().splitlines())


def test_11_marks_of_missing_values_are_named_or_read(tmp_path: Path) -> None:
    file = case("11-marks-of-missing") / "d.csv"
    text = ingest(tmp_path, file)
    assert text.exit_code == 0
    log = next((tmp_path / "root" / "runs").rglob("ingest.log")).read_text()
    assert re.search(r"line \d+", log), log
    marks = [row[1] for row in csv.reader(file.open()) if not re.fullmatch(r"[\d.]+", row[1]) and row[1] != "x"]
    read = ingest(tmp_path, file, null_values=sorted(set(marks)))
    assert read.metadata("ingest", "examples")["columns"]["x"] == "float32"


def test_12_the_feature_that_makes_a_training_diverge_is_named(tmp_path: Path) -> None:
    folder = model(tmp_path, case("00-regression-model"), case("12-nan-feature"))
    result = run(tmp_path / "root", str(folder), "--data", str(case("00-regression-model") / "data"))
    assert result.exit_code == 65
    assert result.states["train"] == "failed"
    # The loss is the first to show it, or the weights, where the processor's relu makes 0 of NaN.
    assert "transformed features are not finite: a_xf: 7 NaN in train, 15 NaN in eval" in error(result)
    assert not list((tmp_path / "root" / "serving").rglob("saved_model.pb"))
    log = next((tmp_path / "root" / "runs").rglob("transform.log")).read_text()
    assert "a_xf" in log
