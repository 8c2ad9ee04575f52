"""The analysis by whole batches gives what TFMA's own Beam pipeline gives."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.extractors import slice_key_extractor
from tensorflow_model_analysis.proto import config_pb2, metrics_for_slice_pb2
from tensorflow_model_analysis.slicer import slicer_lib

from components.runtime.data import examples as tf_examples
from components.runtime.data import tfrecord
from components.runtime.errors import InputError
from components.runtime.evaluation import faults
from components.runtime.evaluation.computation import batches, local, on_beam, slicing
from components.runtime.evaluation.configuration import reading
from components.runtime.evaluation.configuration.saved_model import SavedModelFacts
from tests.components.evaluate import evaluation_support as support
from tests.support import ROOT, shared

TRIPS = (
    (ROOT / "models" / "taxi" / "evaluation.pbtxt").read_text()
    + """
slicing_specs { feature_keys: "trip_start_hour" feature_values { key: "payment_type" value: "Cash" } }
metrics_specs {
  metrics { class_name: "MeanLabel" }
  metrics { class_name: "MeanPrediction" }
  metrics { class_name: "Calibration" }
  metrics { class_name: "BinaryCrossentropy" }
  metrics { class_name: "MeanSquaredError" }
  metrics { class_name: "FallOut" config: '"thresholds": [0.3, 0.7]' }
  metrics { class_name: "SpecificityAtSensitivity" config: '"sensitivity": 0.5' }
  metrics { class_name: "ConfusionMatrixAtThresholds" config: '"thresholds": [0.25, 0.5, 0.75]' }
  metrics { class_name: "TopLift" module: "components.evaluate.metrics" config: '"share": 0.2' }
}
"""
)

DIGITS = (
    (ROOT / "models" / "digits" / "evaluation.pbtxt").read_text()
    + """
metrics_specs {
  binarize { class_ids { values: [0, 3] } }
  metrics { class_name: "Precision" }
  metrics { class_name: "AUC" config: '"num_thresholds": 200' }
}
metrics_specs {
  aggregate { micro_average: true top_k_list { values: [1, 3] } }
  metrics { class_name: "Recall" config: '"name": "micro_recall"' }
}
"""
)


def results(folder: Path) -> tuple[dict[Any, dict[str, Any]], dict[Any, dict[str, Any]], Any]:
    """Metrics and plots by slice, and the validation."""
    metrics = {
        entry.slice_key.SerializeToString(): {str(pair.key): value(pair.value) for pair in entry.metric_keys_and_values}
        for entry in tfma.load_metrics(str(folder))
    }
    plots = {
        entry.slice_key.SerializeToString(): {
            str(pair.key): text_format.MessageToString(pair.value) for pair in entry.plot_keys_and_values
        }
        for entry in tfma.load_plots(str(folder))
    }
    return metrics, plots, tfma.load_validation_result(str(folder))


def value(message: metrics_for_slice_pb2.MetricValue) -> float | str:
    kind = message.WhichOneof("type")
    return message.double_value.value if kind == "double_value" else text_format.MessageToString(message)


def both(tmp_path: Path, text: str, examples: Path, schema: Path, model: Path, baseline: Path | None) -> None:
    """Runs both analyses and compares every number."""
    read = reading.read_schema(schema)
    written = reading.with_baseline(text_format.Parse(text, config_pb2.EvalConfig()), baseline is not None)
    folders = {"": model} if baseline is None else {"candidate": model, "baseline": baseline}
    models = {name: SavedModelFacts(folder / "Format-Serving") for name, folder in folders.items()}
    assert local.can(written, models, read)
    paths = {name: facts.folder for name, facts in models.items()}
    files = sorted(map(str, (examples / "Split-eval").glob("*.gz")))
    for name in ("local", "beam"):
        (tmp_path / name).mkdir()
    specs = {spec.name: spec for spec in written.model_specs}
    loaded = {name: batches.Model(folder, specs[name]) for name, folder in paths.items()}
    local.analyse(files, "eval", written, loaded, read, tmp_path / "local")
    on_beam.analyse(files, "eval", written, paths, read, tmp_path / "beam", [])
    ours, theirs = results(tmp_path / "local"), results(tmp_path / "beam")
    assert ours[0].keys() == theirs[0].keys()
    for key, metrics in theirs[0].items():
        assert ours[0][key].keys() == metrics.keys()
        for name, number in metrics.items():
            found = ours[0][key][name]
            if isinstance(number, float):
                # Sums in another order: equal but for the last bits, in single precision where Keras counts.
                assert found == pytest.approx(number, rel=2e-6, abs=1e-6, nan_ok=True), (key, name)
            else:
                assert found == number, (key, name)
    assert ours[1].keys() == theirs[1].keys()
    for key, plots in theirs[1].items():
        assert ours[1][key].keys() == plots.keys()
        for name, plot in plots.items():
            assert numbers(ours[1][key][name]) == pytest.approx(numbers(plot), rel=1e-6, abs=1e-7, nan_ok=True), (
                key,
                name,
            )
    assert ours[2].validation_ok == theirs[2].validation_ok
    failures = [
        sorted(
            str(failure.metric_key) for entry in result[2].metric_validations_per_slice for failure in entry.failures
        )
        for result in (ours, theirs)
    ]
    assert failures[0] == failures[1]
    runs = [json.loads((tmp_path / name / "eval_config.json").read_text()) for name in ("local", "beam")]
    assert runs[0] == runs[1]


def numbers(text: str) -> list[float]:
    found = []
    for line in text.splitlines():
        tail = line.rpartition(": ")[2]
        try:
            found.append(float(tail))
        except ValueError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize("rows", [500, -1], ids=["some", "all"])
def test_binary_on_real_examples_with_a_baseline(tmp_path: Path, good_model: Path, hour_model: Path, rows: int) -> None:
    run = shared("tfx_testdata/recorded_run")
    split = tmp_path / "examples" / "Split-eval"
    split.mkdir(parents=True)
    path = sorted((run / "CsvExampleGen" / "examples" / "train").glob("*.gz"))[0]
    with tf.io.TFRecordWriter(str(split / path.name), "GZIP") as writer:
        for record in tf.data.TFRecordDataset(str(path), "GZIP").take(rows):
            writer.write(record.numpy())
    both(tmp_path, TRIPS, tmp_path / "examples", run / "SchemaGen" / "schema", hour_model, good_model)


@pytest.mark.slow
def test_classes_with_binarized_and_aggregated_metrics(
    tmp_path: Path, digit_examples: Path, digit_schema: Path
) -> None:
    model = support.save(support.DigitModel(accuracy=0.7), tmp_path / "model")
    both(tmp_path, DIGITS, digit_examples, digit_schema, model, None)


def test_same_input_gives_the_same_bytes(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path
) -> None:
    arguments = support.arguments(trip_examples, good_model, trip_schema, ROOT / "models" / "taxi" / "evaluation.pbtxt")
    first, second = (support.evaluate_in_process(tmp_path / name, **arguments) for name in ("a", "b"))
    # Of metrics, which are no files, the metadata are all there is.
    assert {name: entry.get("digest", entry) for name, entry in first.items()} == {
        name: entry.get("digest", entry) for name, entry in second.items()
    }


def test_nan_predictions_with_auc_leave_the_model_unblessed(
    tmp_path: Path, trip_examples: Path, trip_schema: Path
) -> None:
    model = support.save(support.TripModel(card=math.nan, hour=0.0), tmp_path / "model")
    arguments = support.arguments(trip_examples, model, trip_schema, ROOT / "models" / "taxi" / "evaluation.pbtxt")
    metadata = support.evaluate_in_process(tmp_path / "out", **arguments)
    assert metadata["blessing"]["blessed"] is False
    assert metadata["blessing"]["reason"].startswith("the model predicts NaN for 600 of 600 examples")
    assert list(metadata["metrics"].keys() & {"example_count", "auc"}) == ["example_count"]


METRIC = """
import apache_beam as beam
from tensorflow_model_analysis.metrics import metric_types


class Sum(beam.CombineFn):
    def __init__(self, key):
        self.key = key

    def create_accumulator(self):
        return 0.0

    def add_input(self, accumulator, element):
        return accumulator + float(element.labels[0]) * (element.predictions[0] > 0.5)

    def merge_accumulators(self, accumulators):
        return sum(accumulators)

    def extract_output(self, accumulator):
        return {self.key: accumulator}


def compute(name, **_):
    key = metric_types.MetricKey(name)
    return [metric_types.MetricComputation(keys=[key], preprocessors=None, combiner=Sum(key))]


class Hits(metric_types.Metric):
    def __init__(self, name="hits"):
        super().__init__(compute, name=name)
"""


def test_metric_of_the_users_own_beside_the_configuration(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path
) -> None:
    (tmp_path / "hits_metric.py").write_text(METRIC)
    (tmp_path / "evaluation.pbtxt").write_text(
        'model_specs { signature_name: "from_examples" preprocessing_function_names: "transform_features" '
        'label_key: "tips_xf" } metrics_specs { metrics { class_name: "Hits" module: "hits_metric" '
        "threshold { value_threshold { lower_bound { value: 1 } } } } }"
    )
    arguments = support.arguments(trip_examples, good_model, trip_schema, tmp_path / "evaluation.pbtxt")
    metadata = support.evaluate_in_process(tmp_path / "out", **arguments)
    hits = sum(row["payment_type"] == "Credit Card" and row["tips"] > 2 for row in support.trips(600))
    assert metadata["metrics"]["hits"] == hits
    assert metadata["blessing"]["reason"].startswith("the one threshold holds")


class _Bucketed:
    """Stands for a loaded model: labels, predictions and a feature to slice by."""

    threads = 2

    def __init__(self, bucket: int) -> None:
        self._bucket = bucket

    def __call__(self, examples: tf.Tensor) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        column = np.zeros((len(examples), 1))
        return column, column, {"bucket": np.full(column.shape, self._bucket)}

    def row_bytes(self) -> int:
        return 1


def test_rows_of_slices_are_those_that_tfma_finds_row_by_row() -> None:
    config = text_format.Parse(
        'slicing_specs {} slicing_specs { feature_keys: ["kind", "bucket"] } slicing_specs { feature_keys: "tags" } '
        'slicing_specs { feature_keys: "kind" feature_values { key: "level" value: "2" } }',
        config_pb2.EvalConfig(),
    )
    schema = text_format.Parse(
        'feature { name: "kind" type: BYTES } feature { name: "tags" type: BYTES } feature { name: "level" type: INT }',
        schema_pb2.Schema(),
    )
    raw = [
        {"kind": f"k{row % 3}" if row % 5 else None, "tags": ["a", "b", "c"][: row % 4], "level": row % 3}
        for row in range(200)
    ]
    records = tf.constant([tf_examples.encode(row) for row in raw])
    bucket = (np.arange(200) % 4).astype(np.float32)[:, np.newaxis]
    found = slicing.Slicer(config, schema)(records, [{"bucket": bucket, "other": bucket}])
    specs = [slicer_lib.SingleSliceSpec(spec=spec) for spec in config.slicing_specs]
    expected: dict[Any, list[int]] = {}
    for number, row in enumerate(raw):
        given = {
            name: np.array(value if isinstance(value, list) else [value])
            for name, value in row.items()
            if value not in (None, [])
        }
        for key in set(slicer_lib.get_slices_for_features_dicts([{"bucket": bucket[number]}], given, specs)):
            expected.setdefault(key, []).append(number)
    assert {key: rows.tolist() for key, rows in found.items()} == expected
    assert len(expected) == 17


def test_nan_is_one_slice_of_all_batches() -> None:
    config = text_format.Parse(
        'slicing_specs { feature_keys: "miles" } slicing_specs { feature_keys: ["miles", "bucket"] }',
        config_pb2.EvalConfig(),
    )
    schema = text_format.Parse('feature { name: "miles" type: FLOAT }', schema_pb2.Schema())
    slicer = slicing.Slicer(config, schema)
    found: dict[Any, int] = {}
    for rows in (4, 6):
        records = tf.constant([tf_examples.encode({"miles": [math.nan, 1.0][row % 2]}) for row in range(rows)])
        bucket = np.arange(rows)[:, np.newaxis] % 4
        for key, members in slicer(records, [{"bucket": bucket}]).items():
            found[key] = found.get(key, 0) + len(members)
    told = {str(key): rows for key, rows in found.items()}
    assert len(found) == len(told) == 6
    assert told["(('miles', nan),)"] == told["(('miles', 1.0),)"] == 5


def test_examples_are_answered_thousands_at_once_but_never_many_megabytes(tmp_path: Path) -> None:
    slicer = slicing.Slicer(config_pb2.EvalConfig(), schema_pb2.Schema())
    for number, records in enumerate(([b"small"] * 9000, [b"small"] * 16 + [b"x" * (1 << 20)] * 24)):
        file = tmp_path / f"{number}.gz"
        tfrecord.write(file, records)
        found = list(batches.read([str(file)], {"": _Bucketed(1)}, slicer))
        assert [each.rows for each in found] == ([8192, 808] if number == 0 else [40])
    # Nor two batches of which the first is large.
    tfrecord.write(tmp_path / "large.gz", [b"small"] * 1000 + [b"x" * (1 << 20)] * 9 + [b"small"] * 1100)
    found = list(batches.read([str(tmp_path / "large.gz")], {"": _Bucketed(1)}, slicer))
    assert [each.rows for each in found] == [1024, 1085]
    assert all(list(each.slices) == [()] for each in found)


class _Widening(_Bucketed):
    """Its labels are padded batch by batch."""

    def __call__(self, examples: tf.Tensor) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        labels, predictions, features = super().__call__(examples)
        return np.repeat(labels, 1 + len(examples) % 2, axis=1), predictions, features


def test_labels_of_several_shapes_are_the_inputs_fault(tmp_path: Path) -> None:
    tfrecord.write(tmp_path / "1.gz", [b"small"] * 1025)
    slicer = slicing.Slicer(config_pb2.EvalConfig(), schema_pb2.Schema())
    with pytest.raises(InputError, match=r"the model's labels have several shapes, \[1\] and \[2\] among them"):
        list(batches.read([str(tmp_path / "1.gz")], {"": _Widening(1)}, slicer))


def test_a_slice_that_is_no_text_is_told_without_its_value() -> None:
    config = text_format.Parse('slicing_specs { feature_keys: "company" }', config_pb2.EvalConfig())
    schema = text_format.Parse('feature { name: "company" type: BYTES }', schema_pb2.Schema())
    records = tf.constant([tf_examples.encode({"company": b"\x80cab"})])
    with pytest.raises(ValueError, match="non-UTF8") as caught:
        slicing.Slicer(config, schema)(records, [{}])
    told = faults.explained(caught.value, "evaluation.pbtxt", [])
    assert isinstance(told, InputError)
    assert str(told).startswith("a value of 'company', by which evaluation.pbtxt slices, is no text in UTF-8")
    assert "cab" not in str(told)


def test_slices_by_a_transformed_feature_are_the_candidates(tmp_path: Path) -> None:
    text = 'model_specs { name: "candidate" } model_specs { name: "baseline" is_baseline: true } '
    both = text_format.Parse(text + 'slicing_specs { feature_keys: "bucket" }', config_pb2.EvalConfig())
    examples = support.write_split(tmp_path / "examples", "eval", support.trips(4))
    files = [str(path) for path in (examples / "Split-eval").iterdir()]
    models: dict[str, Any] = {"candidate": _Bucketed(1), "baseline": _Bucketed(2)}
    (batch,) = batches.read(files, models, slicing.Slicer(both, schema_pb2.Schema()))
    assert {key: rows.tolist() for key, rows in batch.slices.items()} == {(("bucket", 1),): [0, 1, 2, 3]}
    transformed = {name: {"bucket": np.array([number])} for number, name in enumerate(("candidate", "baseline"), 1)}
    element = {constants.FEATURES_KEY: {}, constants.TRANSFORMED_FEATURES_KEY: transformed}
    specs = [slicer_lib.SingleSliceSpec(spec=spec) for spec in both.slicing_specs]
    (found,) = slice_key_extractor.ExtractSliceKeysFn(both, False).process(element, specs)
    assert [tuple(key) for key in found[constants.SLICE_KEY_TYPES_KEY]] == [(("bucket", 1),)]
    assert found[constants.TRANSFORMED_FEATURES_KEY] == transformed
