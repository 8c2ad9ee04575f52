from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import csv

from components.runtime.data import examples, tfrecord
from scripts.data import sample_data, taxi_trips
from tests.support import shared

Column = np.ndarray[Any, np.dtype[np.float64]]


def read(path: Path) -> pa.Table:
    return csv.read_csv(path, convert_options=csv.ConvertOptions(strings_can_be_null=True))


def numbers(table: pa.Table, name: str) -> Column:
    return np.asarray(table[name].cast(pa.float64()).to_numpy(zero_copy_only=False))


def generous(table: pa.Table) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """The label, in float32 as in the model."""
    fare, tips = numbers(table, "fare").astype(np.float32), numbers(table, "tips").astype(np.float32)
    return np.asarray(tips > fare * np.float32(0.2))


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    path = tmp_path_factory.mktemp("trips") / "trips.csv"
    taxi_trips.write(path, 20_000, 1)
    return read(path)


@pytest.fixture(scope="module")
def real() -> pa.Table:
    return read(shared("taxi/data.csv"))


def test_a_city_that_has_changed_has_dearer_trips_and_other_ways_to_pay(tmp_path: Path) -> None:
    tables = {}
    for drift in (0.0, 0.5, 1.0):
        taxi_trips.write(tmp_path / "trips.csv", 3000, 1, drift)
        tables[drift] = read(tmp_path / "trips.csv")
    old = {"Cash", "Credit Card", "No Charge", "Unknown", "Pcard", "Dispute"}
    assert set(tables[0.0]["payment_type"].to_pylist()) <= old
    assert {"Prcard", "Mobile"} < set(tables[0.5]["payment_type"].to_pylist())
    assert set(tables[1.0]["payment_type"].to_pylist()) == {"Prcard", "Mobile"}
    fares = {drift: np.median(numbers(table, "fare")) for drift, table in tables.items()}
    assert fares[1.0] / fares[0.0] == pytest.approx(1 + taxi_trips.DEARER, rel=0.02)
    # The trips themselves are the same.
    assert tables[1.0]["trip_start_timestamp"].equals(tables[0.0]["trip_start_timestamp"])


def test_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        taxi_trips.write(tmp_path / name, 500, seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_as_many_rows_as_asked_for_over_several_chunks(tmp_path: Path) -> None:
    rows = 2 * taxi_trips.CHUNK_ROWS + 7
    taxi_trips.write(tmp_path / "trips.csv", rows, 1)
    table = read(tmp_path / "trips.csv")
    assert table.num_rows == rows
    assert table.slice(0, 100) != table.slice(taxi_trips.CHUNK_ROWS, 100)


def test_columns_and_types_are_those_of_the_real_trips(generated: pa.Table, real: pa.Table) -> None:
    def kinds(table: pa.Table) -> dict[str, str]:
        return {name: str(kind) for name, kind in zip(table.column_names, table.schema.types, strict=True)}

    assert kinds(generated) == kinds(real)


@pytest.mark.parametrize("name", taxi_trips._COLUMNS)
def test_missing_values_are_as_frequent_as_in_the_real_trips(generated: pa.Table, real: pa.Table, name: str) -> None:
    ours, theirs = (table[name].null_count / table.num_rows for table in (generated, real))
    assert ours == pytest.approx(theirs, abs=0.02)


@pytest.mark.parametrize(("name", "tolerance"), [("fare", 0.25), ("trip_seconds", 0.2), ("trip_miles", 0.25)])
def test_quantiles_are_near_those_of_the_real_trips(
    generated: pa.Table, real: pa.Table, name: str, tolerance: float
) -> None:
    points = [0.25, 0.5, 0.75, 0.9, 0.95]
    ours, theirs = (np.nanquantile(numbers(table, name), points) for table in (generated, real))
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=0.2)


def test_no_row_is_copied(generated: pa.Table, real: pa.Table) -> None:
    names = ["pickup_latitude", "trip_start_timestamp", "fare"]
    ours, theirs = (
        set(map(tuple, zip(*(table[name].to_pylist() for name in names), strict=True))) for table in (generated, real)
    )
    assert not ours & theirs


def test_time_columns_agree_with_the_timestamp(generated: pa.Table) -> None:
    start = pc.cast(generated["trip_start_timestamp"], pa.timestamp("s"))
    assert pc.all(pc.equal(pc.hour(start), generated["trip_start_hour"])).as_py()
    assert pc.all(pc.equal(pc.month(start), generated["trip_start_month"])).as_py()
    sunday_first = pc.day_of_week(start, count_from_zero=False, week_start=7)
    assert pc.all(pc.equal(sunday_first, generated["trip_start_day"])).as_py()


def test_tips_follow_the_way_of_paying_and_the_fare(generated: pa.Table, real: pa.Table) -> None:
    for table in (generated, real):
        label, card = generous(table), np.array(table["payment_type"].to_pylist()) == "Credit Card"
        fare = numbers(table, "fare")
        assert 0.2 < label.mean() < 0.25
        assert label[~card].mean() < 0.01
        assert 0.6 < label[card].mean() < 0.75
        assert label[card & (fare < 9)].mean() - label[card & (fare > 9.5) & (fare < 17)].mean() > 0.2


def test_the_way_of_paying_alone_tells_as_much_as_in_the_real_trips(generated: pa.Table, real: pa.Table) -> None:
    def area_under_curve(table: pa.Table) -> float:
        label, card = generous(table), np.array(table["payment_type"].to_pylist()) == "Credit Card"
        return float((card[label].mean() + 1 - card[~label].mean()) / 2)

    assert area_under_curve(generated) == pytest.approx(area_under_curve(real), abs=0.01)
    assert area_under_curve(generated) < 0.95


def test_command_is_idempotent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["taxi", "--rows", "50", "--output", str(tmp_path / "taxi")]
    assert sample_data.main(arguments) == 0
    file = tmp_path / "taxi" / "trips.csv"
    os.utime(file, (1, 1))
    assert sample_data.main(arguments) == 0
    assert file.stat().st_mtime == 1, "a cache that goes by the time of change would miss"
    assert "as before" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["taxi"]
    assert [path.name for path in file.parent.iterdir()] == ["trips.csv"]


def test_failed_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, rows: int, seed: int, drift: float) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(taxi_trips, "write", fail)
    assert sample_data.main(["taxi", "--output", str(tmp_path / "taxi")]) == 75
    assert list(tmp_path.rglob("*")) == [tmp_path / "taxi"]


def test_no_rows_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample_data.main(["taxi", "--rows", "0", "--output", str(tmp_path)]) == 65
    assert capsys.readouterr().err.startswith("error: --rows 0")


Digits = Callable[[], list[dict[str, list[Any]]]]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[Any]]]:
    folder = tmp_path_factory.mktemp("digits")
    assert sample_data.main(["digits", "--output", str(folder)]) == 0
    return [examples.decode(record) for record in tfrecord.read(folder / "digits.tfrecord.gz")]


def test_digits_are_the_1797_of_scikit_learn(digits: list[dict[str, list[Any]]]) -> None:
    assert len(digits) == 1797
    assert {tuple(sorted(digit)) for digit in digits} == {("depth", "height", "image_raw", "label", "width")}
    assert {len(digit["image_raw"][0]) for digit in digits} == {64}
    assert max(max(digit["image_raw"][0]) for digit in digits) == 16
    assert {digit["label"][0] for digit in digits} == set(range(10))


def test_digits_agree_with_another_copy(digits: list[dict[str, list[Any]]]) -> None:
    known = csv.read_csv(shared("digits/sklearn-digits/digits.csv"))
    rows = zip(*(column.to_pylist() for column in known.columns), strict=True)
    theirs = {(bytes(row[:64]), row[64]) for row in rows}
    assert theirs <= {(digit["image_raw"][0], digit["label"][0]) for digit in digits}


def test_mnist_is_downloaded_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample_data.main(["mnist", "--output", str(tmp_path)]) == 65
    assert capsys.readouterr().err == (
        "error: there is no sample of MNIST to make; get the images with: make download MODEL=mnist\n"
    )
