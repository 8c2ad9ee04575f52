"""Stages on Beam's portable runner, with workers that share nothing with them but the artifacts' place."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.runtime.data import examples, tfrecord
from components.runtime.stage.artifacts import BOOKKEEPING, file_digests
from runners.local.environments import environment_of, interpreter
from tests.beam_workers import Workers, workers
from tests.e2e.conftest import Run
from tests.support import ROOT, StageResult, executor_input

pytestmark = pytest.mark.slow

METRIC = """
import apache_beam as beam
from tensorflow_model_analysis.metrics import metric_types

import names


class Sum(beam.CombineFn):
    def __init__(self, key):
        self.key = key

    def create_accumulator(self):
        return 0.0

    def add_input(self, accumulator, element):
        return accumulator + float(element.labels[0])

    def merge_accumulators(self, accumulators):
        return sum(accumulators)

    def extract_output(self, accumulator):
        return {self.key: accumulator * names.FACTOR}


def compute(name, **_):
    key = metric_types.MetricKey(name)
    return [metric_types.MetricComputation(keys=[key], preprocessors=None, combiner=Sum(key))]


class Generous(metric_types.Metric):
    def __init__(self, name="generous"):
        super().__init__(compute, name=name)
"""

INFER: dict[str, Any] = {
    "example_splits": [],
    "output_format": "parquet",
    "columns": ["*"],
    "signature": "",
    "batch_size": 0,
    "sample_rows": 10,
}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What only the stages see: their temporary files, and the model's code."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(ROOT / "models" / "taxi", folder / "taxi")
    return folder


@pytest.fixture(scope="module")
def data_workers(tmp_path_factory: pytest.TempPathFactory, own: Path) -> Iterator[Workers]:
    with workers(tmp_path_factory.mktemp("workers"), "data", own) as found:
        yield found


@pytest.fixture(scope="module")
def ml_workers(tmp_path_factory: pytest.TempPathFactory, own: Path) -> Iterator[Workers]:
    with workers(tmp_path_factory.mktemp("workers"), "ml", own) as found:
        yield found


def again(taxi: Run, stage: str, folder: Path, own: Path, options: list[str], **parameters: str) -> StageResult:
    """Runs a stage of a run once more, with other options of Beam."""
    record = taxi.execution(stage)
    given = record["parameters"] | {"beam_options": options} | parameters
    outputs, output_parameters = list(record["outputs"]), list(record["output_parameters"])
    return finished(begun(stage, folder, own, given, record["inputs"], outputs, output_parameters), folder)


def finished(process: subprocess.Popen[str], folder: Path) -> StageResult:
    out, err = process.communicate(timeout=400)
    return StageResult(process.returncode, out, err, folder)


def begun(
    stage: str,
    folder: Path,
    own: Path,
    parameters: dict[str, Any],
    inputs: dict[str, dict[str, Any]],
    outputs: list[str],
    output_parameters: list[str],
) -> subprocess.Popen[str]:
    """A stage that works, whose temporary files no worker sees."""
    folder.mkdir()
    given = executor_input(
        folder,
        parameters=parameters,
        inputs={name: Path(each["uri"]) for name, each in inputs.items()},
        metadata={name: each["metadata"] for name, each in inputs.items()},
        outputs=outputs,
        output_parameters=output_parameters,
    )
    file = own / f"{folder.name}.json"
    file.write_text(json.dumps(given))
    return subprocess.Popen(
        [str(interpreter(environment_of(stage))), "-m", f"components.{stage}", "--executor-input", f"@{file}"],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(own)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def count(examples: Path, folder: Path, own: Path, options: list[str]) -> subprocess.Popen[str]:
    """The stage statistics, which has begun."""
    parameters = {"schema_file": "", "beam_options": options}
    given = {"examples": {"uri": str(examples), "metadata": {}}}
    return begun("statistics", folder, own, parameters, given, ["statistics", "report"], [])


def failed(process: subprocess.Popen[str], folder: Path) -> tuple[int, str]:
    """Exit code and the one line of a stage that left nothing."""
    out, err = process.communicate(timeout=200)
    assert list(folder.iterdir()) == []
    return process.returncode, StageResult(process.returncode, out, err, folder).error


def test_statistics_are_the_same_bytes(taxi: Run, data_workers: Workers, own: Path, tmp_path: Path) -> None:
    made = again(taxi, "statistics", tmp_path / "statistics", own, data_workers.options)
    assert made.exit_code == 0, made.stderr
    assert file_digests(made.folder / "statistics") == file_digests(taxi.path("statistics", "statistics"))
    # The workers tell how far they are.
    rows = taxi.metadata("ingest", "examples")["rows"]
    assert f"[{rows}/{rows} rows] computing statistics" in made.stdout


def test_transformed_examples_are_the_same_bytes(taxi: Run, ml_workers: Workers, own: Path, tmp_path: Path) -> None:
    module = str(own / "taxi" / "preprocessing.py")
    made = again(taxi, "transform", tmp_path / "transform", own, ml_workers.options, module_file=module)
    assert made.exit_code == 0, made.stderr
    for name in ("transformed_examples", "transform_graph"):
        found, expected = file_digests(made.folder / name), file_digests(taxi.path("transform", name))
        # TensorFlow numbers what it traces by what it traced before: two runs here differ in it too.
        for numbered in ("transform_fn/saved_model.pb", "transform_fn/fingerprint.pb"):
            assert found.pop(numbered, "") != "" or name == "transformed_examples"
            expected.pop(numbered, "")
        assert found == expected


def test_the_evaluation_is_the_same(taxi: Run, ml_workers: Workers, own: Path, tmp_path: Path) -> None:
    config = own / "taxi" / "evaluation.pbtxt"
    (own / "taxi" / "generous_tips.py").write_text(METRIC)
    (own / "taxi" / "names.py").write_text("FACTOR = 2\n")
    with config.open("a") as text:
        text.write('metrics_specs { metrics { class_name: "Generous" module: "generous_tips" } }\n')
    here, there = (
        again(taxi, "evaluate", tmp_path / name, own, options, eval_config_file=str(config))
        for name, options in (("here", []), ("workers", ml_workers.options))
    )
    assert (here.exit_code, there.exit_code) == (0, 0), here.stderr + there.stderr
    for name in ("metrics", "classification"):
        facts = [
            {key: value for key, value in made.metadata(name).items() if key not in BOOKKEEPING}
            for made in (here, there)
        ]
        assert facts[0] == facts[1]
    assert here.metadata("metrics")["generous"] > 0
    # With every metric of every slice, to the last digit.
    assert file_digests(here.folder / "blessing") == file_digests(there.folder / "blessing")


def test_predictions_are_the_same_bytes(taxi: Run, ml_workers: Workers, own: Path, tmp_path: Path) -> None:
    inputs = {
        "examples": taxi.execution("ingest")["outputs"]["examples"],
        "model": taxi.execution("train")["outputs"]["model"],
    }
    outputs = ["predictions", "metrics", "report"]
    digests = []
    for name, options in (("here", []), ("workers", ml_workers.options)):
        parameters = INFER | {"beam_options": options}
        folder = tmp_path / name
        made = finished(begun("bulk_infer", folder, own, parameters, inputs, outputs, ["rows"]), folder)
        assert made.exit_code == 0, made.stderr
        digests.append(file_digests(made.folder / "predictions"))
    assert digests[0] == digests[1]
    assert len(digests[0]) >= 2


def test_a_damaged_file_is_told_as_here(data_workers: Workers, own: Path, tmp_path: Path) -> None:
    file = tmp_path / "examples" / "Split-train" / "data.gz"
    file.parent.mkdir(parents=True)
    tfrecord.write(file, [examples.encode({"x": 1.0})] * 100)
    file.write_bytes(file.read_bytes()[:-20])
    process = count(tmp_path / "examples", tmp_path / "out", own, data_workers.options)
    code, error = failed(process, tmp_path / "out")
    assert (code, str(file) in error) == (65, True), error


def test_artifacts_that_workers_do_not_see(data_workers: Workers, own: Path, tmp_path: Path) -> None:
    file = own / "examples" / "Split-train" / "data.gz"
    file.parent.mkdir(parents=True)
    tfrecord.write(file, [examples.encode({"x": 1.0})])
    process = count(own / "examples", tmp_path / "out", own, data_workers.options)
    code, error = failed(process, tmp_path / "out")
    assert (code, f"do not see {file};" in error) == (65, True), error


def test_no_pool_answers(own: Path, tmp_path: Path, taxi: Run) -> None:
    with workers(tmp_path, "data", own) as ended:
        os.killpg(ended.pool.pid, signal.SIGKILL)
        ended.pool.wait()
        process = count(taxi.path("ingest", "examples"), tmp_path / "out", own, ended.options)
        code, error = failed(process, tmp_path / "out")
    assert code == 75, error
    assert "a worker pool that does not answer" in error


def test_a_worker_dies(own: Path, tmp_path: Path) -> None:
    # A file that never ends: whoever opens it to write waits until a worker reads it.
    file = tmp_path / "examples" / "Split-train" / "data.gz"
    file.parent.mkdir(parents=True)
    os.mkfifo(file)
    with workers(tmp_path, "data", own) as found:
        process = count(tmp_path / "examples", tmp_path / "out", own, found.options)
        with file.open("wb"):
            os.killpg(found.pool.pid, signal.SIGKILL)
            code, error = failed(process, tmp_path / "out")
    assert code == 75, error
    assert "lost its workers" in error
