"""The stage: what it answers, what it writes in each format, and what it refuses."""

from __future__ import annotations

import csv
import gzip
import json
import math
import resource
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from components.runtime.data import examples as tf_examples
from components.runtime.data import tfrecord, validity
from components.runtime.stage.artifacts import OutputArtifact, content_digest
from tests.components.bulk_infer.conftest import BIG, EVAL, TRAIN, Predict, Row, write
from tests.components.push.serving_support import make_blessing
from tests.support import StageResult, executor_input
from tests.support_tfdv import call

FORMATS = {"parquet": ".parquet", "csv": ".csv", "tfrecord": ".tfrecord.gz"}


def files(result: StageResult, split: str) -> list[Path]:
    assert result.exit_code == 0, result.stderr
    return sorted((result.folder / "predictions" / f"Split-{split}").iterdir())


def read(result: StageResult, split: str) -> list[Row]:
    """The rows that were written, whatever the format; of CSV as texts, of tf.Examples as they are decoded."""
    found: list[Row] = []
    for file in files(result, split):
        if file.name.endswith(".parquet"):
            found += parquet.read_table(file).to_pylist()
        elif file.name.endswith(".csv"):
            with file.open(newline="", encoding="utf-8") as stream:
                found += csv.DictReader(stream)
        else:
            found += [tf_examples.decode(record) for record in tfrecord.read(file)]
    return found


def refused(result: StageResult) -> str:
    """The one line, of a stage that leaves nothing."""
    assert result.exit_code == 65, result.stderr
    assert list(result.folder.iterdir()) == []
    return result.error


def test_every_row_is_answered_in_order_beside_its_columns(predict: Predict, model: Path) -> None:
    result = predict(apart=True)
    for split, rows in (("eval", EVAL), ("train", TRAIN)):
        assert [file.name for file in files(result, split)] == [
            f"predictions-{n:05d}-of-00003.parquet" for n in range(3)
        ]
        assert read(result, split) == [{**row, "prediction": row["x"] * 2} for row in map(_sorted, rows)]
    metadata = result.metadata("predictions")
    assert {name: metadata[name] for name in ("predicted", "splits", "rows", "rows_eval", "rows_train", "version")} == {
        "predicted": True, "splits": ["eval", "train"], "rows": 70, "rows_eval": 50, "rows_train": 20, "version": 3,
    }  # fmt: skip
    assert metadata["columns"] == {
        "id": "int64", "label": "int64", "text": "string", "x": "float", "prediction": "float",
    }  # fmt: skip
    assert (metadata["format"], metadata["signature"]) == ("parquet", "from_examples")
    assert metadata["model_digest"] == content_digest(model)
    metrics = result.metadata("metrics")
    assert (metrics["rows"], metrics["prediction_nan_rows"]) == (70, 0)
    expected = [row["x"] * 2 for row in [*EVAL, *TRAIN]]
    assert metrics["prediction_mean"] == pytest.approx(sum(expected) / 70)
    assert (metrics["prediction_min"], metrics["prediction_max"]) == (min(expected), max(expected))
    assert result.output["parameterValues"] == {"rows": 70}
    assert "70/70 rows" in result.stdout or "[70 rows]" in result.stdout
    page = (result.folder / "report").read_text()
    assert "version 3" in page
    assert "<svg" in page
    assert f"<td>{BIG}</td>" in page


def test_csv_keeps_ids_texts_and_what_is_missing(predict: Predict) -> None:
    rows = read(predict(output_format="csv", columns=["id", "text"]), "eval")
    assert [int(row["id"]) for row in rows] == [row["id"] for row in EVAL]
    assert [row["text"] or None for row in rows] == [row["text"] for row in EVAL]
    assert [float(row["prediction"]) for row in rows] == [row["x"] * 2 for row in EVAL]
    assert list(rows[0]) == ["id", "text", "prediction"]


def test_tfrecord_has_tf_examples(predict: Predict) -> None:
    rows = read(predict(output_format="tfrecord", columns=["text", "id"]), "eval")
    assert rows == [
        {"id": [row["id"]], "prediction": [row["x"] * 2], "text": [row["text"].encode()] if row["text"] else []}
        for row in EVAL
    ]


def test_batches_of_any_size_answer_the_same(predict: Predict) -> None:
    whole, pieces = predict("whole"), predict("pieces", batch_size=7)
    assert read(whole, "eval") == read(pieces, "eval")
    assert whole.metadata("metrics")["prediction_mean"] == pieces.metadata("metrics")["prediction_mean"]


@pytest.mark.parametrize("output_format", FORMATS)
def test_several_outputs_lists_and_texts(predict: Predict, output_format: str) -> None:
    rows = read(predict(signature="several", columns=[], output_format=output_format, example_splits=["eval"]), "eval")
    given = [(row["x"], row["text"] or "") for row in EVAL]
    names = [f"prediction_{name}" for name in ("count", "half", "said", "scores", "words")]
    expected: list[list[Any]] = [
        [len(text.encode()), x, f"{text}!", [x, -x, 0.0], [f"{text}?", f"{text}?"]] for x, text in given
    ]
    if output_format == "tfrecord":
        expected = [
            [[count], [half], [said.encode()], scores, [word.encode() for word in words]]
            for count, half, said, scores, words in expected
        ]
    if output_format == "csv":
        parse = [int, float, str, json.loads, json.loads]
        assert [[make(row[name]) for make, name in zip(parse, names, strict=True)] for row in rows] == expected
        return
    assert [[row[name] for name in names] for row in rows] == expected


def test_the_signature_for_plain_features_answers_the_same(predict: Predict) -> None:
    plain, by_examples = predict("plain", signature="serving_default"), predict("examples", signature="from_examples")
    assert read(plain, "eval") == read(by_examples, "eval")
    assert read(plain, "train") == read(by_examples, "train")


def test_nan_stays_nan_and_is_told(predict: Predict, tmp_path: Path) -> None:
    rows: list[Row] = [{"id": number, "x": 200.0 if number == 1 else 1.0} for number in range(4)]
    data = write(tmp_path / "data", {"all": rows})
    result = predict(data=data)
    predicted = [row["prediction"] for row in read(result, "all")]
    assert math.isnan(predicted.pop(1))
    assert predicted == [2.0, 2.0, 2.0]
    assert "warning: the model answers NaN in 1 of 4 rows" in result.stdout
    assert result.metadata("predictions")["not_a_number"] == 1
    metrics = result.metadata("metrics")
    assert (metrics["prediction_nan_rows"], metrics["prediction_mean"]) == (1, 2.0)
    assert "1 row is NaN, of 4" in (result.folder / "report").read_text()
    lines = files(predict("csv", data=data, output_format="csv", columns=["id"]), "all")[0].read_text().splitlines()
    assert lines[2] == "1,nan"


def test_a_list_in_the_last_row_makes_a_column_of_lists(predict: Predict, tmp_path: Path) -> None:
    rows: list[Row] = [{"x": 1.0, "tags": ["a"]}, {"x": 2.0, "tags": []}, {"x": 3.0, "tags": ["b", "c"]}]
    result = predict(data=write(tmp_path / "data", {"all": rows}))
    assert [row["tags"] for row in read(result, "all")] == [["a"], None, ["b", "c"]]


def test_bytes_that_are_no_text_are_kept_where_they_are_named(predict: Predict, tmp_path: Path) -> None:
    rows: list[Row] = [{"x": 1.0, "image": b"\xff\xd8\xff"}, {"x": 2.0, "image": b"plain"}]
    data = write(tmp_path / "data", {"all": rows})
    assert list(read(predict("all", data=data), "all")[0]) == ["x", "prediction"]
    named = read(predict("named", data=data, columns=["image"]), "all")
    assert [row["image"] for row in named] == [b"\xff\xd8\xff", b"plain"]


@pytest.mark.parametrize("columns", [["x", "image"], ["*"]])
def test_bytes_that_are_no_text_are_left_out_of_csv(predict: Predict, tmp_path: Path, columns: list[str]) -> None:
    # (Both are UTF-8, as numbers below 128 are.)
    rows: list[Row] = [{"x": 1.0, "image": b"\r\x10\x07"}, {"x": 2.0, "image": b"\x00\x0d"}]
    result = predict(data=write(tmp_path / "data", {"all": rows}), output_format="csv", columns=columns)
    assert files(result, "all")[0].read_bytes() == b'"x","prediction"\n1,2\n2,4\n'
    assert result.stdout.count("warning: left out of the CSV, for it is bytes that are no text: 'image'") == 1
    assert result.metadata("predictions")["left_out"] == ["image"]


def test_a_model_without_a_blessing_answers_nothing(predict: Predict, tmp_path: Path, model: Path) -> None:
    blessing = make_blessing(tmp_path / "blessing", blessed=False, model=model)
    result = predict(inputs={"blessing": blessing})
    assert result.exit_code == 0, result.stderr
    assert result.output["parameterValues"] == {"rows": 0}
    metadata = result.metadata("predictions")
    assert metadata["predicted"] is False
    assert metadata["reason"] == "the model is not blessed: auc 0.71 < 0.85 (overall)"
    assert [entry.name for entry in (result.folder / "predictions").iterdir()] == ["millrace-empty.txt"]
    assert "auc 0.71" in (result.folder / "report").read_text()


def test_a_blessed_model_answers(predict: Predict, tmp_path: Path, model: Path) -> None:
    blessing = make_blessing(tmp_path / "blessing", model=model)
    assert len(read(predict(inputs={"blessing": blessing}), "eval")) == 50


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (
            {"output_format": "parket"},
            "output_format is 'parket', did you mean 'parquet'?; write one of parquet, csv, tfrecord",
        ),
        ({"columns": ["idd"]}, "columns: the data has no column 'idd', did you mean 'id'?; it has: id, label, text, x"),
        ({"columns": [""]}, "columns: '' is no name of a column"),
        (
            {"signature": "from_example"},
            "signature 'from_example': the model has none of this name, did you mean 'from_examples'?; "
            "it has: from_examples, serving_default, several, total",
        ),
        (
            {"signature": "total"},
            "the output 'outputs' of the signature 'total' is of shape () for 17 rows, while it has to hold an answer "
            "for each; name another signature",
        ),
        (
            {"example_splits": ["test"]},
            "examples: no split 'test', it has: eval, train; name one of these in the settings",
        ),
        ({"batch_size": -1}, "batch_size is -1: give a number of rows, or 0 for as many as there is room for"),
        ({"sample_rows": 101}, "sample_rows is 101: give a number from 0 to 100"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_refused(predict: Predict, parameters: dict[str, Any], said: str) -> None:
    assert refused(predict(**parameters)) == said


def test_a_column_that_ingest_did_not_see_is_refused_before_the_model_is_loaded(predict: Predict) -> None:
    told = {"format": "parquet", "columns": {"id": "int64", "x": "float32"}}
    error = refused(
        predict(metadata={"examples": told}, columns=["x", "nope"], signature="none", example_splits=["no"])
    )
    assert error == "columns: the data has no column 'nope'; it has: id, x"


def test_a_row_that_the_model_refuses_is_named(predict: Predict, tmp_path: Path) -> None:
    rows: list[Row] = [{"x": None if number == 37 else 1.0} for number in range(100)]
    error = refused(predict(data=write(tmp_path / "data", {"all": rows}), batch_size=16))
    assert "data_tfrecord-00000-of-00001.gz, row 38: the model refuses it:" in error
    assert "Feature: x (data type: float) is required but could not be found" in error


def test_damaged_examples_are_refused(predict: Predict, tmp_path: Path) -> None:
    data = write(tmp_path / "data", {"all": TRAIN})
    [file] = (data / "Split-all").iterdir()
    error = refused(predict("fewer", data=data, metadata={"examples": {"rows_all": 21}}))
    assert "the split 'all' is damaged: 20 of 21 rows could be read; run ingest again" in error
    # Beyond the first rows, which the size of the batches is taken from.
    records = list(tfrecord.read(file))
    tfrecord.write(file, records, gzip=False)
    content = bytearray(file.read_bytes())
    content[-10] ^= 1
    file.write_bytes(gzip.compress(content))
    error = refused(predict("other", data=data, columns=[]))
    assert (
        error
        == f"{file}: not a whole TFRecord (corrupted record at {len(content) - 4 - len(records[-1])}); run ingest again"
    )


def test_invalid_data_is_refused(predict: Predict, tmp_path: Path) -> None:
    anomalies = OutputArtifact("anomalies", str(tmp_path / "anomalies"))
    validity.write(anomalies, valid=False, summary="all: x: Column is completely missing")
    anomalies.publish()
    assert refused(predict(inputs={"anomalies": tmp_path / "anomalies"})) == (
        "the data did not pass validate: all: x: Column is completely missing; its report has them: correct the data "
        "or the schema"
    )


def test_a_blessing_of_another_model_is_refused(predict: Predict, tmp_path: Path, examples: Path) -> None:
    blessing = make_blessing(tmp_path / "blessing", model=examples)
    assert refused(predict(inputs={"blessing": blessing})) == (
        "the blessing is of another model and was not used: evaluate the model that is to answer"
    )


def test_a_column_that_is_called_prediction_is_refused(predict: Predict, tmp_path: Path) -> None:
    data = write(tmp_path / "data", {"all": [{"x": 1.0, "prediction": 2.0}]})
    assert refused(predict("all", data=data)) == (
        "columns: the data has a column 'prediction', as what is predicted is called; name the columns to keep "
        "without it"
    )
    assert read(predict("named", data=data, columns=["x"]), "all") == [{"x": 1.0, "prediction": 2.0}]


@pytest.mark.slow
@pytest.mark.parametrize("output_format", FORMATS)
def test_beam_writes_the_same_bytes(predict: Predict, output_format: str) -> None:
    here = predict("here", output_format=output_format)
    beam = predict("beam", output_format=output_format, beam_options=["--runner=FnApiRunner"])
    for split in ("eval", "train"):
        assert [file.read_bytes() for file in files(here, split)] == [file.read_bytes() for file in files(beam, split)]
    assert here.metadata("predictions")["digest"] == beam.metadata("predictions")["digest"]
    assert "by Beam" in (beam.folder / "report").read_text()


@pytest.mark.slow
def test_memory_stays_flat(tmp_path: Path, model: Path) -> None:
    def peak(name: str) -> int:
        """The largest memory of this process so far, in bytes, in which the stage runs."""
        arguments = executor_input(
            tmp_path / name,
            inputs={"examples": tmp_path / f"data-{name}", "model": model},
            parameters={
                "example_splits": [], "output_format": "parquet", "columns": ["*"], "signature": "",
                "batch_size": 0, "sample_rows": 10, "beam_options": [],
            },
            outputs=["predictions", "metrics", "report"],
            output_parameters=["rows"],
        )  # fmt: skip
        call("bulk_infer", arguments)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

    for name, count in (("small", 20_000), ("large", 200_000)):
        place = tmp_path / f"data-{name}" / "Split-all"
        place.mkdir(parents=True)
        records = (tf_examples.encode({"id": each, "x": 1.0, "text": f"{each} text " * 400}) for each in range(count))
        tfrecord.write(place / "data_tfrecord-00000-of-00001.gz", records)
    small = peak("small")
    # All rows are 900 MB; what allocators keep of their batches differs from time to time.
    assert peak("large") - small < 300 << 20


def _sorted(row: Row) -> Row:
    return {name: row[name] for name in sorted(row)}
