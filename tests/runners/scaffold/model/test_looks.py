"""What columns look like, and what becomes of them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from components.runtime.errors import InputError
from runners.scaffold.model import text_forms
from runners.scaffold.model.profile import Feature
from tests.runners.scaffold.model.model_support import data_set, plan

ROWS = 300
CHANCE = random.Random(7)
LABEL = [CHANCE.randrange(2) for _ in range(ROWS)]


def numbers(low: float, high: float) -> list[float]:
    return [round(CHANCE.uniform(low, high), 3) for _ in range(ROWS)]


def chosen(*values: Any) -> list[Any]:
    return [CHANCE.choice(values) for _ in range(ROWS)]


def treated(folder: Path, name: str, values: list[Any], **options: Any) -> Feature:
    """What becomes of a column in a table beside another one and the label."""
    data = data_set(folder, {"other": numbers(0, 1), name: values, "label": LABEL})
    found = {feature.column: feature for feature in plan(data, "label", **options).features}
    return found[name]


@pytest.mark.parametrize(
    ("name", "values", "treatment", "line"),
    [
        ("Alter (Jahre)", numbers(18, 90), "z-score", '"alter_jahre_xf": tft.scale_to_z_score('),
        ("income", [10 ** CHANCE.uniform(2, 7) for _ in range(ROWS)], "log, z-score", "tf.math.log1p("),
        ("latitude", numbers(41, 42), "buckets", "tft.bucketize("),
        ("plan", chosen("basic", "plus", "pro"), "vocabulary", '"plan_xf": category(inputs["plan"], "plan"),'),
        ("cylinders", chosen(4, 6, 8), "vocabulary", "category("),
        ("zip code", [10_000 + CHANCE.randrange(40) for _ in range(ROWS)], "vocabulary", "category("),
        ("visits", [CHANCE.randrange(100) for _ in range(ROWS)], "z-score", "columns.number("),
        ("flag", chosen(0, 1), "z-score", "columns.number("),
        ("review", [f"it is word{n} and word{n * 7} here" for n in range(ROWS)], "text", "columns.text("),
        ("since", [f"20{10 + n % 9}-0{1 + n % 9}-{10 + n % 18}" for n in range(ROWS)], "date", "columns.days("),
        ("created_at", [1_500_000_000 + 7_200 * n for n in range(ROWS)], "date", "columns.days("),
        ("seen", [1_500_000_000_000 + 7_200_000 * n for n in range(ROWS)], "date",
         'columns.number(inputs["seen"]) / 86400000'),
        ("note", [None] * (ROWS - 1) + ["x"], "missing or not", "columns.is_missing("),
    ],
)  # fmt: skip
def test_treatments(tmp_path: Path, name: str, values: list[Any], treatment: str, line: str) -> None:
    feature = treated(tmp_path, name, values)
    assert feature.treatment == treatment, feature
    assert line in feature.lines[0]


@pytest.mark.parametrize(
    ("name", "is_code"),
    [
        ("store", True), ("StoreID", True), ("zip_code_2", True), ("hour of day", True), ("month number", True),
        ("region-centroid-col", False), ("product price", False), ("class_size", False), ("day_count", False),
    ],
)  # fmt: skip
def test_a_code_is_told_by_what_a_name_is_of(tmp_path: Path, name: str, is_code: bool) -> None:
    feature = treated(tmp_path, name, [5 + CHANCE.randrange(30) for _ in range(ROWS)])
    assert feature.treatment == ("vocabulary" if is_code else "z-score"), feature


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("country", ["DE"] * ROWS, "constant: every row has 'DE'"),
        ("void", [None] * ROWS, "empty"),
        ("customer_id", [9_000_000 + 17 * n for n in range(ROWS)], "an id"),
        ("row", list(range(ROWS)), "an id"),
        ("who", [f"person {n}" for n in range(ROWS)], "an id"),
        ("email", [f"{n % 200}@example.org" for n in range(ROWS)], "200 different values in 300 rows"),
        ("answer", ["yes" if one else "no" for one in LABEL], "a leak? alone it tells 'label' of 100.0% of the rows"),
        ("score", [one + CHANCE.uniform(0, 0.4) for one in LABEL], "a leak?"),
        ("blob", [b"\xff\x00"] * ROWS, "bytes that are no text"),
        ("tags", [["a", "b"]] * ROWS, "several values in a row"),
        ("price", [f"${n},{n % 9}10" for n in range(100, 100 + ROWS)], "numbers written as '$100,110': clean them"),
        ("rate", [f"{n % 9}.5 %" for n in range(ROWS)], "numbers written as '0.5 %': clean them"),
        ("zip", [10_000 + 7 * (n % 200) for n in range(ROWS)], "200 different values in 300 rows: hardly one"),
        ("day", [f"{1 + n % 28}.3.2015" for n in range(ROWS)], "dates that are not written as 2015-01-31"),
    ],
)
def test_what_is_left_out(tmp_path: Path, name: str, values: list[Any], why: str) -> None:
    feature = treated(tmp_path, name, values)
    assert (feature.treatment, feature.lines) == ("", ())
    assert feature.why.startswith(why), feature
    assert feature.remarks


def test_an_id_that_goes_with_the_label_is_left_out_and_told(tmp_path: Path) -> None:
    years = [1900 + number // 5 + CHANCE.randrange(9) for number in range(ROWS)]
    data = data_set(tmp_path, {"id": list(range(7, 7 + 3 * ROWS, 3)), "x": numbers(0, 1), "year": years})
    (feature,) = plan(data, "year").left_out
    assert feature.remarks[0] == "an id: every row has a number of its own"
    assert "goes with 'year' (rank correlation 0.9" in feature.remarks[1]


def test_dates_of_typed_tables(tmp_path: Path) -> None:
    units = {"born": "days since 1970-01-01"}
    data = data_set(tmp_path, {"born": [n * 30 for n in range(ROWS)], "label": LABEL}, units)
    (feature,) = plan(data, "label").features
    assert (feature.treatment, feature.why) == ("date", "1970-01-01 to 1994-07-24")
    assert feature.lines[0] == '"born_xf": tft.scale_to_z_score(columns.number(inputs["born"])),'


def test_codes_and_dates_as_integers_are_told(tmp_path: Path) -> None:
    zips = treated(tmp_path / "1", "zip", [1_000 + n % 40 for n in range(ROWS)])
    assert zips.remarks[1].endswith("in a CSV --ingest 'text_columns=[zip]' keeps them")
    days = treated(tmp_path / "2", "d", [20_200_101 + n % 31 for n in range(ROWS)])
    assert days.remarks == ("dates as integers, such as 20150131: write them as 2015-01-31",)


def test_what_looks_like_a_leak_can_be_kept_and_anything_left_out(tmp_path: Path) -> None:
    answer = ["yes" if one else "no" for one in LABEL]
    assert treated(tmp_path / "1", "answer", answer, kept=["answer"]).treatment == "vocabulary"
    assert treated(tmp_path / "2", "age", numbers(1, 2), left_out=["age"]).why == "asked for with --leave-out"


@pytest.mark.filterwarnings("error")
def test_infinite_values(tmp_path: Path) -> None:
    """Arithmetic with them would warn in words that nobody asked for."""
    values = [float("inf"), *numbers(0, 1)[1:]]
    data = data_set(tmp_path, {"x": values, "label": numbers(0, 9)})
    (feature,) = plan(data, "label").features
    assert (feature.treatment, feature.remarks) == ("buckets", ("infinite values",))


def test_a_leak_of_a_number(tmp_path: Path) -> None:
    celsius = numbers(-20, 40)
    data = data_set(tmp_path, {"f": [c * 1.8 + 32 for c in celsius], "other": numbers(0, 1), "celsius": celsius})
    assert [feature.column for feature in plan(data, "celsius").left_out] == ["f"]


def test_missing_values_are_filled_and_told(tmp_path: Path) -> None:
    values = [None if number % 10 == 0 else 4.0 + number % 3 for number in range(ROWS)]
    feature = treated(tmp_path, "depth", [value and value + CHANCE.uniform(0, 1e-3) for value in values])
    assert ", missing=5." in feature.lines[0]
    assert feature.lines[1] == '"depth_missing_xf": columns.is_missing(inputs["depth"]),'
    assert "10.0% missing" in feature.why


def test_many_columns_of_a_kind_are_read_in_a_loop(tmp_path: Path) -> None:
    pixels = {f"pixel {number}": [CHANCE.randrange(4) for _ in range(ROWS)] for number in range(20)}
    found = plan(data_set(tmp_path, pixels | {"label": LABEL}), "label")
    assert list(found.looped) == list(pixels)
    assert [row.columns for row in found.rows] == ["pixel 0 … pixel 19 (20)"]


def test_numbers_kept_from_being_some_by_a_word_for_nothing(tmp_path: Path) -> None:
    data = data_set(tmp_path, {"a": ["1", "NA", "2.5"] * 10, "b": ["1", "x", "2"] * 10, "c": ["NA", "yes", "no"] * 10})
    assert {name: text_forms.spelt_missing(column) for name, column in data.columns.items()} == {
        "a": ("NA",), "b": (), "c": (),
    }  # fmt: skip


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    data = data_set(tmp_path, {"a": ["x"] * ROWS, "label": LABEL})
    with pytest.raises(InputError, match=r"no column to learn from .a: constant.*--keep COLUMN"):
        plan(data, "label")
