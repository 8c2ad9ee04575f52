"""Ingest on real data, against what TFX made of the same rows."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from components.runtime.data import tfrecord
from tests.components.ingest.ingest_support import Ingested, ingested
from tests.support import run_stage, shared


@pytest.fixture(scope="module")
def taxi(tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    return ingested(tmp_path_factory.mktemp("taxi") / "out", shared("taxi"))


def recorded() -> list[bytes]:
    folder = shared("tfx_testdata/recorded_run/CsvExampleGen/examples/train")
    return [record for shard in sorted(folder.iterdir()) for record in tfrecord.read(shard)]


def test_taxi_records_are_those_of_tfx_byte_for_byte(taxi: Ingested) -> None:
    # The recorded run put all rows into its split `train`; ours are spread over two.
    assert Counter(taxi.records("train") + taxi.records("eval")) == Counter(recorded())


def test_ingesting_what_tfx_wrote_gives_the_same_splits(taxi: Ingested, tmp_path: Path) -> None:
    again = ingested(tmp_path / "out", shared("tfx_testdata/recorded_run/CsvExampleGen/examples/train"))
    assert again.metadata["format"] == "tfrecord"
    for split in ("train", "eval"):
        assert Counter(again.records(split)) == Counter(taxi.records(split))


def test_taxi_metadata(taxi: Ingested) -> None:
    metadata = taxi.metadata
    assert metadata["splits"] == ["eval", "train"]
    assert metadata["rows"] == 9911 == metadata["rows_train"] + metadata["rows_eval"]
    assert 0.64 < metadata["rows_train"] / 9911 < 0.69
    assert metadata["format"] == "csv"
    assert metadata["files"] == 1
    assert metadata["input_bytes"] == shared("taxi/data.csv").stat().st_size
    assert metadata["columns"]["fare"] == "float32"
    assert metadata["columns"]["company"] == "bytes"
    assert metadata["columns"]["dropoff_census_tract"] == "int64"
    assert metadata["content"].startswith("sha256:")


def test_the_same_input_gives_the_same_bytes_in_a_process_of_its_own(taxi: Ingested, tmp_path: Path) -> None:
    parameters = {
        "data": str(shared("taxi")),
        "format": "auto",
        "splits": {"eval": 1, "train": 2},
        "split_patterns": {},
        "text_columns": [],
        "leave_out_without": [],
    }
    again = Ingested(run_stage("ingest", tmp_path / "out", parameters=parameters, outputs=["examples", "sample"]))
    assert again.result.exit_code == 0, again.result.stderr
    assert again.files() == taxi.files()
    assert again.metadata["digest"] == taxi.metadata["digest"]


@pytest.mark.parametrize("name", ["complaints/product_narrative.csv", "complaints/full_schema.csv"])
def test_real_text_with_quotes_and_line_breaks_is_read_as_python_reads_it(name: str, tmp_path: Path) -> None:
    file = shared(name)
    result = ingested(tmp_path / "out", file)
    with file.open(encoding="utf-8-sig", newline="") as stream:
        expected = list(csv.DictReader(stream))
    texts = [column for column, kind in result.metadata["columns"].items() if kind == "bytes"]
    assert len(texts) > 1
    assert Counter(tuple(row[column] for column in texts) for row in expected) == Counter(
        tuple(b"".join(row[column]).decode() for column in texts) for row in result.rows()
    )
