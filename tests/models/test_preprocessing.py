"""The models' own features: those of taxi against the recorded TFX run, those of digits against their pixels."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from components.runtime.data import examples, tfrecord
from components.runtime.errors import InputError
from tests.components.transform.transform_support import read_split, run_transform, write_examples
from tests.support import ROOT, shared

TAXI = str(ROOT / "models" / "taxi" / "preprocessing.py")
DIGITS = str(ROOT / "models" / "digits" / "preprocessing.py")
NUMBERS = {"trip_miles_xf", "trip_seconds_xf", "fare_xf"}
OOV_BUCKETS = 10

Columns = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def recorded() -> Path:
    return shared("tfx_testdata/recorded_run")


@pytest.fixture(scope="module")
def ours(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our transformation of the recorded run's own tf.Examples by its own schema."""
    folder = tmp_path_factory.mktemp("taxi")
    shutil.copytree(recorded / "CsvExampleGen" / "examples" / "train", folder / "examples" / "Split-train")
    return run_transform(folder / "out", folder / "examples", recorded / "SchemaGen" / "schema", TAXI)


def columns(rows: list[dict[str, list[Any]]]) -> Columns:
    return {name: np.array([row[name][0] for row in rows]) for name in rows[0]}


@pytest.fixture(scope="module")
def our_columns(ours: Path) -> Columns:
    return columns(read_split(ours, "train"))


@pytest.fixture(scope="module")
def their_columns(recorded: Path) -> Columns:
    files = sorted((recorded / "Transform" / "transformed_examples" / "train").glob("*.gz"))
    return columns([examples.decode(record) for file in files for record in tfrecord.read(file)])


def in_one_order(table: Columns) -> Columns:
    """Rows sorted by all columns, floats to what both agree on: TFX shuffles its output."""
    keys = [np.round(table[name], 3) if table[name].dtype.kind == "f" else table[name] for name in sorted(table)]
    order = np.lexsort(keys)
    return {name: values[order] for name, values in table.items()}


def test_taxi_features_are_those_of_the_recorded_run(
    our_columns: Columns, their_columns: Columns, recorded: Path, ours: Path
) -> None:
    assert our_columns.keys() == their_columns.keys()
    schemas = [
        tft.TFTransformOutput(str(graph)).transformed_feature_spec()
        for graph in (ours / "transform_graph", recorded / "Transform" / "transform_graph")
    ]
    assert schemas[0] == schemas[1]


def test_taxi_integers_equal_those_of_the_recorded_run(our_columns: Columns, their_columns: Columns) -> None:
    for name in their_columns.keys() - NUMBERS:
        ours, theirs = (
            dict(zip(*np.unique(table[name], return_counts=True), strict=True))
            for table in (our_columns, their_columns)
        )
        assert ours == theirs, name


def test_taxi_rows_equal_those_of_the_recorded_run(our_columns: Columns, their_columns: Columns) -> None:
    ours, theirs = in_one_order(our_columns), in_one_order(their_columns)
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-4, rtol=0, err_msg=name)


def test_taxi_vocabularies_have_the_recorded_order(ours: Path, recorded: Path) -> None:
    assets = recorded / "Transform" / "transform_graph" / "transform_fn" / "assets"
    output = tft.TFTransformOutput(str(ours / "transform_graph"))
    # The recorded files are called after the order of calls, ours after the features.
    for name, theirs in (
        ("payment_type", "compute_and_apply_vocabulary"),
        ("company", "compute_and_apply_vocabulary_1"),
    ):
        expected = (assets / f"vocab_{theirs}_vocabulary").read_bytes().splitlines()
        assert output.vocabulary_by_name(name) == expected


def test_taxi_label_is_computed_in_float32(our_columns: Columns) -> None:
    # 2,244 in float64.
    assert our_columns["tips_xf"].sum() == 2250


def test_taxi_records_are_canonical(ours: Path) -> None:
    file = sorted((ours / "transformed_examples" / "Split-train").iterdir())[0]
    assert all(record == examples.canonical(record)[0] for record in tfrecord.read(file))


def test_taxi_records_stay_in_the_order_of_the_input(our_columns: Columns, recorded: Path) -> None:
    files = sorted((recorded / "CsvExampleGen" / "examples" / "train").glob("*.gz"))
    raw = [examples.decode(record) for file in files for record in tfrecord.read(file)]
    hours = [row["trip_start_hour"][0] for row in raw]
    assert our_columns["trip_start_hour_xf"].tolist() == hours


def test_taxi_missing_values_and_unknown_words_at_serving_time(ours: Path) -> None:
    output = tft.TFTransformOutput(str(ours / "transform_graph"))
    spec = output.raw_feature_spec()
    full = {
        "fare": 10.0,
        "tips": 2.5,
        "trip_miles": 1.0,
        "trip_start_hour": 3,
        "trip_start_day": 1,
        "trip_start_month": 2,
    }
    full |= {"payment_type": "Cash", "trip_start_timestamp": 5}
    rows = [
        full,
        full | {"fare": None},
        full | {"tips": 2.0},
        full | {"payment_type": "Bitcoin"},
        full | {"tips": None},
    ]
    needed = {
        name: value for name, value in spec.items() if name in full or not isinstance(value, tf.io.FixedLenFeature)
    }
    answers = output.transform_raw_features(tf.io.parse_example([examples.encode(row) for row in rows], needed))
    assert answers["tips_xf"].numpy().tolist() == [1, 0, 0, 1, 0]
    assert answers["company_xf"].shape == (5,)
    known = len(output.vocabulary_by_name("payment_type"))
    words = answers["payment_type_xf"].numpy()
    assert words[0] < known <= words[3] < known + OOV_BUCKETS


@pytest.fixture(scope="module")
def digits() -> list[dict[str, Any]]:
    """tf.Examples of scikit-learn's digits: 64 pixels from 0 to 16 in a row, then the digit."""
    with shared("digits/sklearn-digits/digits.csv").open() as stream:
        table = [
            [int(float(cell)) for cell in line] for line in csv.reader(stream) if line[0].replace(".", "").isdigit()
        ]
    return [{"image_raw": bytes(line[:64]), "height": 8, "width": 8, "depth": 1, "label": line[64]} for line in table]


def test_digits_become_images_between_0_and_1(digits: list[dict[str, Any]], tmp_path: Path) -> None:
    data = write_examples(tmp_path / "examples", {"train": digits[:200], "eval": digits[200:210]})
    made = run_transform(tmp_path / "out", data, ROOT / "models" / "digits", DIGITS, custom_config={"image_size": 8.0})
    spec = tft.TFTransformOutput(str(made / "transform_graph")).transformed_feature_spec()
    assert spec == {
        "image_xf": tf.io.FixedLenFeature([8, 8, 1], tf.float32),
        "label_xf": tf.io.FixedLenFeature([], tf.int64),
    }
    for row, raw in zip(read_split(made, "train"), digits[:200], strict=True):
        np.testing.assert_array_equal(np.array(row["image_xf"]) * 16, list(raw["image_raw"]))
        assert row["label_xf"] == [raw["label"]]
    assert max(max(row["image_xf"]) for row in read_split(made, "train")) == 1.0


def test_images_of_another_size_are_refused(digits: list[dict[str, Any]], tmp_path: Path) -> None:
    data = write_examples(tmp_path / "examples", {"train": digits[:8]})
    # Four images of 64 pixels could be taken for one of 256.
    with pytest.raises(InputError, match=r"rows 1 to 8: the transformation by preprocessing_fn fails: .*64.*256"):
        run_transform(tmp_path / "out", data, ROOT / "models" / "digits", DIGITS, custom_config={"image_size": 16})


def test_mnist_by_its_settings(tmp_path: Path) -> None:
    records = list(tfrecord.read(shared("digits/mnist/mnist_tfx_example_dev.tfrecord")))[:3]
    rows = []
    for index, record in enumerate(records):
        floats = next(value for value in examples.decode(record).values() if len(value) == 784)
        pixels = np.round(np.array(floats) * (255 if max(floats) <= 1 else 1)).astype(np.uint8)
        rows.append({"image_raw": pixels.tobytes(), "height": 28, "width": 28, "depth": 1, "label": index})
    data = write_examples(tmp_path / "examples", {"train": rows})
    config = {"image_size": 28, "pixel_max": 255}
    made = run_transform(tmp_path / "out", data, ROOT / "models" / "digits", DIGITS, custom_config=config)
    image = np.array(read_split(made, "train")[0]["image_xf"])
    assert image.shape == (784,)
    assert 0.9 < image.max() <= 1.0
