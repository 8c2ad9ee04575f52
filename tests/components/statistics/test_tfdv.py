"""TFDV as stages import it, without TensorFlow and Beam, against the whole library: an upgrade may need more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tensorflow_data_validation as whole
from google.protobuf import text_format
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_data_validation.statistics.generators.basic_stats_generator import BasicStatsGenerator
from tensorflow_data_validation.statistics.generators.top_k_uniques_sketch_stats_generator import (
    TopKUniquesSketchStatsGenerator,
)
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.runtime.data import tfdv
from components.runtime.data.records import batches
from components.runtime.data.statistics import ComparedCounts, Statistics, compute, generators, tidy
from components.runtime.data.tfmd import STATISTICS_FILE
from tests.support import ROOT, executor_input
from tests.support_tfdv import Row, write_examples

_SCHEMA = """
feature { name: "code" type: INT int_domain { is_categorical: true }
          drift_comparator { infinity_norm { threshold: 0.01 } } }
feature { name: "price" type: FLOAT skew_comparator { jensen_shannon_divergence { threshold: 0.01 } } }
feature { name: "kind" type: BYTES domain: "kinds" presence { min_fraction: 1 } }
feature { name: "absent" type: INT presence { min_fraction: 1 } }
string_domain { name: "kinds" value: "a" value: "b" }
dataset_constraints { num_examples_drift_comparator { min_fraction_threshold: 0.9 } }
"""


class _Counts(ComparedCounts, TopKUniquesSketchStatsGenerator):
    """Those of the whole library."""


def _rows(count: int, offset: int) -> list[Row]:
    """Numbers, NaN, infinity, lists, nothing, text, bytes that are no text, long ones, more values than are shown."""
    return [
        {
            "code": (number + offset) % 7,
            "price": [float("nan"), float("inf"), number / 3, -number * 1e30][number % 4],
            "many": [number] * (number % 4) if number % 4 else None,
            "kind": ["a", "b", "ü", "x" * 2000][number % 4],
            "bytes": bytes([200, number % 256]),
            "id": f"id {number}",
            "nothing": None,
        }
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    return write_examples(folder, {"train": _rows(5000, 0), "eval": _rows(2000, 3)}, shards=2)


@pytest.fixture(scope="module", params=[False, True], ids=["without a schema", "with a schema"])
def schema(request: pytest.FixtureRequest) -> schema_pb2.Schema | None:
    return text_format.Parse(_SCHEMA, schema_pb2.Schema()) if request.param else None


def _by_the_whole_library(files: list[Path], schema: schema_pb2.Schema | None) -> Statistics:
    parts = generators(schema, BasicStatsGenerator, _Counts)
    decoder = ExamplesToRecordBatchDecoder()
    states: list[list[Any]] = [[] for _ in parts]
    for file in files:
        for part, of_files in zip(parts, states, strict=True):
            state = part.create_accumulator()
            for batch in batches([file]):
                state = part.add_input(state, decoder.DecodeBatch(batch))
            of_files.append(state)
    merged = [part.merge_accumulators(of_files) for part, of_files in zip(parts, states, strict=True)]
    return tidy(stats_impl.extract_statistics_output(merged, parts))


def _bytes(message: Any) -> bytes:
    content: bytes = message.SerializeToString(deterministic=True)
    return content


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_statistics_schema_and_anomalies_are_those_of_the_whole_library(
    examples: Path, schema: schema_pb2.Schema | None
) -> None:
    assert tfdv.BasicStatsGenerator is not BasicStatsGenerator
    splits = []
    for split in ("train", "eval"):
        files = sorted((examples / f"Split-{split}").glob("*.gz"))
        splits.append(compute(files, lambda _: None, schema))
        assert _bytes(splits[-1]) == _bytes(_by_the_whole_library(files, schema))
    train, evaluated = splits
    inferred = tfdv.infer_schema(train)
    assert _bytes(inferred) == _bytes(whole.infer_schema(train))
    assert _bytes(tfdv.update_schema(inferred, evaluated)) == _bytes(whole.update_schema(inferred, evaluated))
    held_to = schema or inferred
    for given in ({}, {"previous_statistics": train, "serving_statistics": train}):
        found = tfdv.validate_statistics(evaluated, held_to, **given)
        assert _bytes(found) == _bytes(whole.validate_statistics(evaluated, held_to, **given))
        assert found.anomaly_info or schema is None


_STAGES = """
import json, sys
from components.runtime.stage.executor import run_stage
from components.runtime.stage.imports import StandIn
for stage, file in json.loads(sys.argv[1]).items():
    try:
        run_stage(f"components.{stage}.{stage}:{stage}", ["--executor-input", f"@{file}"])
    except SystemExit as end:
        assert end.code == 0, stage
heavy = {name.partition(".")[0] for name in sys.modules} & {"tensorflow", "keras", "apache_beam", "scipy"}
held = [name for name, module in list(sys.modules.items()) for value in list(getattr(module, "__dict__", {}).values())
        if isinstance(value, StandIn)]
print(json.dumps([sorted(heavy), held]))
"""


def test_no_stage_imports_tensorflow_or_beam_and_no_module_keeps_what_stood_in_for_them(
    tmp_path: Path, examples: Path
) -> None:
    statistics, schema = tmp_path / "a" / "statistics", tmp_path / "b" / "schema"
    calls = {
        "statistics": executor_input(
            tmp_path / "a",
            parameters={"schema_file": "", "beam_options": []},
            inputs={"examples": examples},
            outputs=["statistics", "report"],
        ),
        "schema": executor_input(
            tmp_path / "b", parameters={"schema_file": ""}, inputs={"statistics": statistics}, outputs=["schema"]
        ),
        "validate": executor_input(
            tmp_path / "c",
            parameters={"on_anomalies": "warn", "previous_statistics": ""},
            inputs={"statistics": statistics, "schema": schema},
            outputs=["anomalies", "report"],
            output_parameters=["valid"],
        ),
    }
    files = {}
    for stage, arguments in calls.items():
        files[stage] = str(tmp_path / f"{stage}.json")
        Path(files[stage]).write_text(json.dumps(arguments))
    done = subprocess.run(
        [sys.executable, "-c", _STAGES, json.dumps(files)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [[], []]
    assert (statistics / "Split-eval" / STATISTICS_FILE).exists()
