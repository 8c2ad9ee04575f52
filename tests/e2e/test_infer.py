"""New data, from a file of a person's to a file with the answers of the model that was pushed."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from components.runtime.data import examples, tfrecord
from runners.local.environments import interpreter
from scripts.data import taxi_trips
from tests.e2e.conftest import run
from tests.e2e.test_taxi import ASK
from tests.runners.command_line import command

ROWS = 300
LABEL = "tips"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline root with a version of taxi, whose label `stable` it has."""
    folder = tmp_path_factory.mktemp("infer")
    (folder / "data").mkdir()
    taxi_trips.write(folder / "data" / "trips.csv", 20_000, 1)
    made = run(folder / "root", "taxi", "--data", str(folder / "data"), "--param", "train_steps=100")
    assert made.exit_code == 0, made.output + made.errors
    promoted = command("--root", str(folder / "root"), "promote", "taxi", "1", "--label", "stable")
    assert promoted.returncode == 0, promoted.stderr
    return folder / "root"


@pytest.fixture(scope="module")
def trips(root: Path) -> list[dict[str, str]]:
    """New trips as texts, without the label and with an id; miles and fares happen to be whole numbers."""
    file = root.parent / "new" / "trips.csv"
    file.parent.mkdir()
    taxi_trips.write(file, ROWS, 2)
    with file.open(newline="") as stream:
        rows = [{"trip_id": f"{number:06d}", **row} for number, row in enumerate(csv.DictReader(stream), 1)]
    for row in rows:
        del row[LABEL]
        row |= {name: row[name].partition(".")[0] for name in ("fare", "trip_miles")}
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows


def infer(root: Path, data: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return command("--root", str(root), "infer", "taxi", "--data", str(data), "--out", str(out), *options, timeout=400)


def data_of(root: Path) -> Path:
    return root.parent / "new" / "trips.csv"


def test_each_trip_is_answered_as_the_version_answers_it(
    root: Path, trips: list[dict[str, str]], tmp_path: Path
) -> None:
    called = infer(root, data_of(root), tmp_path / "out.csv", "--columns", "trip_id", "--json")
    assert called.returncode == 0, called.stdout + called.stderr
    told = json.loads(called.stdout)
    assert (told["pipeline"], told["rows"], told["version"]) == ("taxi-infer", ROWS, 1)
    assert told["predictions"] == str(tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [row["trip_id"] for row in found] == [trip["trip_id"] for trip in trips]

    asked = tmp_path / "rows.json"
    asked.write_text(json.dumps(trips))
    model = root / "serving" / "taxi" / "1"
    answers = subprocess.run(
        [interpreter("ml"), "-c", ASK, str(model), str(asked)], check=True, capture_output=True, text=True
    )
    expected = json.loads(answers.stdout.splitlines()[-1])["plain"]
    assert [float(row["prediction"]) for row in found] == pytest.approx(expected, rel=1e-5)

    page = Path(told["report"]).read_text()
    assert f"{ROWS} rows answered by version 1" in page
    lineage = command("--root", str(root), "lineage", "taxi@1")
    assert "bulk-infer/predictions" in lineage.stdout
    runs = command("--root", str(root), "runs")
    assert "taxi-infer" in runs.stdout


def test_the_same_trips_in_other_formats_are_answered_the_same(
    root: Path, trips: list[dict[str, str]], tmp_path: Path
) -> None:
    texts = dict.fromkeys(("trip_id", "payment_type", "company"), pa.string())
    options = arrow_csv.ConvertOptions(column_types=texts, strings_can_be_null=True)
    table = arrow_csv.read_csv(data_of(root), convert_options=options)
    parquet.write_table(table, tmp_path / "trips.parquet")
    found = infer(root, tmp_path / "trips.parquet", tmp_path / "out.parquet", "--label", "stable")
    assert found.returncode == 0, found.stdout + found.stderr
    answered = parquet.read_table(tmp_path / "out.parquet")
    assert answered["trip_id"].to_pylist() == [trip["trip_id"] for trip in trips]
    assert set(answered.column_names) == {*table.column_names, "prediction"}

    found = infer(root, data_of(root), tmp_path / "out", "--format", "tfrecord", "--columns", "trip_id")
    assert found.returncode == 0, found.stdout + found.stderr
    [shard] = (tmp_path / "out").iterdir()
    records = [examples.decode(record) for record in tfrecord.read(shard)]
    assert [record["prediction"][0] for record in records] == answered["prediction"].to_pylist()
    again = infer(root, data_of(root), tmp_path / "out", "--format", "tfrecord", "--columns", "trip_id")
    assert again.returncode == 65
    assert "is there already; give --overwrite" in again.stderr


def test_a_version_that_does_not_tell_its_data_is_asked_by_the_record_of_its_run(
    root: Path, trips: list[dict[str, str]], tmp_path: Path
) -> None:
    inside = root / "serving" / "taxi" / "1" / "assets.extra" / "trained_on"
    inside.rename(tmp_path / "aside")
    try:
        found = infer(root, data_of(root), tmp_path / "out.csv")
    finally:
        (tmp_path / "aside").rename(inside)
    assert found.returncode == 0, found.stdout + found.stderr
    assert len((tmp_path / "out.csv").read_text().splitlines()) == ROWS + 1


def test_data_that_the_model_does_not_know_is_refused(root: Path, trips: list[dict[str, str]], tmp_path: Path) -> None:
    faults = {"fare": "fare: Column is completely missing", "": "header but no rows"}
    for without, said in faults.items():
        with (tmp_path / "rows.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, [name for name in trips[0] if name != without], extrasaction="ignore")
            writer.writeheader()
            writer.writerows(trips if without else [])
        found = infer(root, tmp_path / "rows.csv", tmp_path / "out.csv")
        assert found.returncode == 65
        assert said in found.stdout + found.stderr
        assert not (tmp_path / "out.csv").exists()
