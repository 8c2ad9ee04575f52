"""Bad input through the command line: one clear line, exit code 65, nothing left behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.conftest import run
from tests.support import ROOT

HEADER = "fare,tips,payment_type\n"


def _model(folder: Path, settings: str, **files: str) -> str:
    """The taxi model under other settings, with some files replaced."""
    folder.mkdir()
    for file in (ROOT / "models" / "taxi").glob("*.*"):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "settings.yaml").write_text(settings)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return str(folder)


def _error_lines(output: str) -> list[str]:
    return [line for line in output.splitlines() if "rror" in line]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param({}, "trips", marks=pytest.mark.slow),
        pytest.param({"a.csv": ""}, "a.csv", marks=pytest.mark.slow),
        pytest.param({"a.csv": HEADER}, "a.csv", marks=pytest.mark.slow),
        ({"a.csv": HEADER + "1,2,Cash\n1,2\n"}, "a.csv: line 3"),
        pytest.param({"a.csv": "fare,fare\n1,2\n"}, "fare", marks=pytest.mark.slow),
        pytest.param({"a.csv": HEADER + "1,2,Cash\n", "notes.txt": "hello"}, "notes.txt", marks=pytest.mark.slow),
        ({"a.csv": HEADER + "1,2,Cash\n"}, "split"),
    ],
    ids=[
        "empty folder",
        "empty file",
        "header only",
        "ragged row",
        "duplicate column",
        "stray file",
        "all in one split",
    ],
)
def test_raw_data(tmp_path: Path, files: dict[str, str], message: str) -> None:
    data = tmp_path / "trips"
    data.mkdir()
    for name, text in files.items():
        (data / name).write_text(text)
    # Up to ingest, so that no other stage's libraries are loaded meanwhile.
    result = run(tmp_path / "root", "taxi", "--data", str(data), "--until", "ingest")
    assert result.exit_code == 65, result.output + result.errors
    assert message in result.output
    assert "Traceback" not in result.output + result.errors
    left = {path.parent.name for path in tmp_path.glob("root/artifacts/*/*/*")}
    assert not left
    assert result.record["state"] == "failed"
    assert message in result.record["error"]


def test_a_missing_folder(tmp_path: Path) -> None:
    result = run(tmp_path / "root", "taxi", "--data", str(tmp_path / "absent"), "--until", "ingest")
    assert result.exit_code == 65
    assert result.errors.startswith(f"error: --data {tmp_path / 'absent'}: there is no such file or folder; ")
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("taxy",), "did you mean 'taxi'"),
        (("taxi", "--param", "steps=3"), "no parameter 'steps'"),
        (("taxi", "--param", "train_steps=many"), "expected a whole number"),
        (("taxi", "--until", "trian"), "no task 'trian'"),
        (("taxi", "--only", "train"), "run the whole pipeline first"),
        (("taxi", "--data", ""), "--data is empty; name a file or folder, or leave it out"),
        (("taxi", "--from", "taxi-1"), "--from taxi-1 names the run whose artifacts --only goes on from"),
    ],
)
def test_the_command_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run(tmp_path / "root", *arguments)
    assert result.exit_code == 65, result.output + result.errors
    assert message in result.errors + result.output
    assert len((result.errors + result.output).strip().splitlines()) == 1
    assert not (tmp_path / "root").exists()


def test_a_model_whose_own_folder_of_data_is_missing(tmp_path: Path) -> None:
    result = run(tmp_path / "root", _model(tmp_path / "mine", "{}"))
    assert result.exit_code == 65
    place = tmp_path / "mine" / "data"
    assert result.errors == f"error: there is no {place}; put your data there, or name its place: --data FOLDER\n"
    assert not (tmp_path / "root").exists()


@pytest.mark.slow
def test_a_schema_that_the_data_contradicts_stops_the_run_and_the_report_is_there(
    tmp_path: Path,
) -> None:
    (tmp_path / "trips").mkdir()
    rows = "".join(f"{fare}.5,{fare % 3},Cash\n" for fare in range(60))
    (tmp_path / "trips" / "trips.csv").write_text(HEADER + rows)
    model = _model(tmp_path / "strict", "schema: {schema_file: schema.pbtxt}\n")
    (tmp_path / "strict" / "schema.pbtxt").write_text(
        'feature { name: "fare" type: BYTES presence { min_count: 1 } }\n'
        'feature { name: "tips" type: INT }\nfeature { name: "payment_type" type: BYTES }\n'
        'feature { name: "wanted" type: INT presence { min_fraction: 1.0 min_count: 1 } }\n'
    )
    result = run(tmp_path / "root", model, "--data", str(tmp_path / "trips"))
    assert result.exit_code == 65, result.output + result.errors
    states = result.states
    assert states["validate"] == "done"
    assert states["transform"] == "failed"
    assert states["train"] == states["push"] == "skipped"
    assert result.record["error"].startswith("transform: the data did not pass validate: ")
    assert "fare: " in result.record["error"]
    assert "wanted: " in result.record["error"]
    assert "wanted" in result.path("validate", "report").read_text()
    assert "wanted" in (tmp_path / "root" / "runs" / result.record["id"] / "report.html").read_text()
    assert [line for line in result.output.splitlines() if "validate" in line][1].startswith("! validate  ")
    assert "wanted: " in next(line for line in result.output.splitlines() if line.startswith("data      invalid: "))
    # Where the task that fails for it is not run, the run fails for it, and so it does with what the cache has.
    for selection in ("--until", "validate"), ("--only", "validate"), ("--until", "train"):
        part = run(tmp_path / "root", model, "--data", str(tmp_path / "trips"), *selection)
        assert part.exit_code == part.record["exit_code"] == 65, part.output + part.errors
        assert (part.record["state"], part.states["validate"]) == ("failed", "cached")
        assert re.search(r"^! validate  cached, \d errors$", part.output, re.MULTILINE)
        assert "\ndata      invalid: " in part.output
        assert "wanted: " in part.record["error"]
    # No setting of transform is at fault, and what validate says now counts when it is run again.
    (tmp_path / "strict" / "settings.yaml").write_text(
        "schema: {schema_file: schema.pbtxt}\nvalidate: {on_anomalies: warn}\n"
    )
    late = run(tmp_path / "root", model, "--data", str(tmp_path / "trips"), "--only", "transform")
    assert late.exit_code == 65
    assert "since which its on_anomalies changed; --only validate --only transform" in late.record["error"]
    assert late.errors.startswith("warning: validate is not run again: its result is of the run ")
    assert "\nsettings  " not in late.output
    other = run(tmp_path / "root", model, "--data", str(tmp_path), "--only", "transform")
    assert (other.exit_code, f"where it was {tmp_path / 'trips'}; leave it out" in other.errors) == (65, True)


@pytest.mark.slow
def test_mistakes_in_a_users_modules_name_their_line(tmp_path: Path, taxi_data: Path) -> None:
    """Three mistakes in one model, mended one after the other: what was finished before is not done again."""
    model = _model(tmp_path / "mine", "{}", preprocessing="def preprocessing_fn(inputs)\n    return inputs\n")
    first = run(tmp_path / "root", model, "--data", str(taxi_data))
    assert first.exit_code == 65, first.output + first.errors
    assert "preprocessing.py:1" in first.record["error"]
    good = (ROOT / "models" / "taxi" / "preprocessing.py").read_text()
    (tmp_path / "mine" / "preprocessing.py").write_text(good)
    (tmp_path / "mine" / "model.py").write_text("def train(fn_args):\n    pass\n")
    second = run(tmp_path / "root", model, "--data", str(taxi_data))
    assert second.exit_code == 65, second.output + second.errors
    assert "run_fn" in second.record["error"]
    assert second.states["statistics"] == "cached"
    assert second.states["transform"] == "done"
