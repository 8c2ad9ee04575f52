"""Whatever a stage runs on, what it makes is the same: one process with one core, all cores, workers of Beam apart.

Beam's workers are those of every job server that was built: Prism, Flink, Spark. The first way is a run of the command:
processes that are forked off warm ones, with all cores. There is so much data that stages use several processes where
there are several cores.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from components.runtime.data import examples as tf_examples
from components.runtime.data import tfrecord
from components.runtime.stage.artifacts import BOOKKEEPING, file_digests
from tests.beam_workers import JOB_SERVERS, built, workers
from tests.e2e.conftest import Run, run
from tests.same_artifacts import differing
from tests.stages_again import ONE_CORE, again, begun, finished
from tests.support import ROOT, StageResult

pytestmark = pytest.mark.slow

FILES = 10
SHARDS = 3
FORKED = """
import os
os.sched_getaffinity = lambda process: {0, 1, 2}
from components.transform import dataset
dataset.PARALLEL_BYTES = 0
"""
"""Has transform fork off processes for little data too."""
INFER: dict[str, Any] = {
    "example_splits": [],
    "output_format": "parquet",
    "columns": ["*"],
    "signature": "",
    "batch_size": 0,
    "sample_rows": 10,
    "beam_options": [],
}
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


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What only the stages see, no worker: their temporary files, and the model's code, with a metric of its own."""
    folder = tmp_path_factory.mktemp("own")
    model = folder / "taxi"
    shutil.copytree(ROOT / "models" / "taxi", model)
    # A metric of one's own is computed by Beam in every way, which takes its time: few rows are evaluated.
    settings = (model / "settings.yaml").read_text().replace("{train: 2, eval: 1}", "{train: 9, eval: 1}")
    (model / "settings.yaml").write_text(settings)
    (model / "generous_tips.py").write_text(METRIC)
    (model / "names.py").write_text("FACTOR = 2\n")
    with (model / "evaluation.pbtxt").open("a") as text:
        text.write('metrics_specs { metrics { class_name: "Generous" module: "generous_tips" } }\n')
    return folder


@pytest.fixture(scope="module")
def trips(tmp_path_factory: pytest.TempPathFactory, taxi_data: Path, own: Path) -> Run:
    """A run over the real trips in several files, more of them than one process is thought to be enough for."""
    data = tmp_path_factory.mktemp("trips")
    content = next(taxi_data.glob("*.csv")).read_bytes()
    header, _, rows = content.partition(b"\n")
    for number in range(FILES):
        # (The same trips in every file would be the same statistics of every shard.)
        (data / f"trips-{number}.csv").write_bytes(
            header + b"\n" + b"\n".join(rows.splitlines()[number * 50 :]) + b"\n"
        )
    assert sum(file.stat().st_size for file in data.iterdir()) > 10 << 20
    made = run(tmp_path_factory.mktemp("root"), str(own / "taxi"), "--data", str(data), "--until", "evaluate")
    assert made.exit_code == 0, made.errors
    return made


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory, own: Path) -> Iterator[list[dict[str, list[str]]]]:
    """Beam's options, of each job server those by environment: each has a pool, whose workers see the artifacts and
    nothing else of the stage."""
    folder = tmp_path_factory.mktemp("workers")
    with ExitStack() as running:
        yield [
            {
                environment: running.enter_context(workers(folder, environment, own, server)).options
                for environment in ("data", "ml")
            }
            for server in built(*JOB_SERVERS)
        ]


@pytest.fixture(scope="module")
def sharded(trips: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The examples of the run in several shards of each split: what is added up in another order may differ."""
    folder = tmp_path_factory.mktemp("sharded") / "examples"
    for split in ("train", "eval"):
        (folder / f"Split-{split}").mkdir(parents=True)
        [shard] = (trips.path("ingest", "examples") / f"Split-{split}").iterdir()
        records = list(tfrecord.read(shard))
        for number in range(SHARDS):
            file = folder / f"Split-{split}" / f"data_tfrecord-{number:05d}-of-{SHARDS:05d}.gz"
            tfrecord.write(file, records[number * len(records) // SHARDS : (number + 1) * len(records) // SHARDS])
    return {"examples": {"uri": str(folder), "metadata": trips.metadata("ingest", "examples")}}


def made_in_every_way(
    stage: str, trips: Run, beam_options: list[list[str]], folder: Path, own: Path, inputs: Mapping[str, Any] = {}
) -> tuple[StageResult, ...]:
    """The stage with all cores, with one, and on Beam's workers."""
    ways: list[dict[str, Any]] = [{}, {"before": ONE_CORE}, *({"beam_options": each} for each in beam_options)]
    made = tuple(again(trips, stage, folder / str(number), own, inputs, **way) for number, way in enumerate(ways))
    for each in made:
        assert each.exit_code == 0, each.stderr
    return made


def of(options: list[dict[str, list[str]]], environment: str) -> list[list[str]]:
    return [each[environment] for each in options]


def facts(metadata: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if name not in BOOKKEEPING}


def test_ingest(trips: Run, options: list[dict[str, list[str]]], own: Path, tmp_path: Path) -> None:
    assert trips.metadata("ingest", "examples")["files"] == FILES
    for made in made_in_every_way("ingest", trips, of(options, "ml"), tmp_path, own):
        for name in ("examples", "sample"):
            assert file_digests(made.folder / name) == file_digests(trips.path("ingest", name))
            assert made.metadata(name)["digest"] == trips.metadata("ingest", name)["digest"]
            assert facts(made.metadata(name)) == facts(trips.metadata("ingest", name))


def test_statistics(
    trips: Run, sharded: dict[str, dict[str, Any]], options: list[dict[str, list[str]]], own: Path, tmp_path: Path
) -> None:
    first, *others = made_in_every_way("statistics", trips, of(options, "data"), tmp_path, own, sharded)
    for made in others:
        for name in ("statistics", "report"):
            assert file_digests(made.folder / name) == file_digests(first.folder / name)
    # The workers tell how far they are.
    rows = trips.metadata("ingest", "examples")["rows"]
    assert f"[{rows}/{rows} rows] computing statistics" in others[-1].stdout


def test_transform(
    trips: Run, sharded: dict[str, dict[str, Any]], options: list[dict[str, list[str]]], own: Path, tmp_path: Path
) -> None:
    first, *others = made_in_every_way("transform", trips, of(options, "ml"), tmp_path, own, sharded)
    forked = again(trips, "transform", tmp_path / "forked", own, sharded, before=FORKED)
    assert forked.exit_code == 0, forked.stderr
    for made in (forked, *others):
        for name in ("transformed_examples", "transform_graph"):
            assert differing(made.folder / name, first.folder / name) == []


@pytest.mark.parametrize("split", ["train", "eval"])
def test_a_row_that_does_not_fit_is_told_by_any_process(
    split: str, trips: Run, sharded: dict[str, dict[str, Any]], own: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "examples"
    shutil.copytree(sharded["examples"]["uri"], damaged)
    file = damaged / f"Split-{split}" / f"data_tfrecord-00001-of-0000{SHARDS}.gz"
    records = list(tfrecord.read(file))
    records[70] = tf_examples.encode({"fare": [1.0, 2.0]})
    tfrecord.write(file, records)
    inputs = {"examples": sharded["examples"] | {"uri": str(damaged)}}
    for before in ("", FORKED):
        made = again(trips, "transform", tmp_path / f"out{len(before)}", own, inputs, before=before)
        assert made.exit_code == 65
        assert f"{file}: record 71 does not fit the schema: feature " in made.error


def test_a_process_of_transform_that_is_killed_is_a_passing_fault(
    trips: Run, sharded: dict[str, dict[str, Any]], own: Path, tmp_path: Path
) -> None:
    killed = "from components.transform import apply\napply._load = lambda *_: os.kill(os.getpid(), 9)\n"
    made = again(trips, "transform", tmp_path / "out", own, sharded, before=FORKED + killed)
    assert made.exit_code == 75
    assert "a process that transforms rows was killed, most likely for memory" in made.error


def test_evaluate(
    trips: Run, sharded: dict[str, dict[str, Any]], options: list[dict[str, list[str]]], own: Path, tmp_path: Path
) -> None:
    first, *others = made_in_every_way("evaluate", trips, of(options, "ml"), tmp_path, own, sharded)
    assert first.metadata("metrics")["generous"] > 0
    for made in others:
        # With every metric of every slice, to the last digit.
        assert file_digests(made.folder / "blessing") == file_digests(first.folder / "blessing")
        for name in ("metrics", "classification"):
            assert facts(made.metadata(name)) == facts(first.metadata(name))


def test_bulk_infer(
    trips: Run, sharded: dict[str, dict[str, Any]], options: list[dict[str, list[str]]], own: Path, tmp_path: Path
) -> None:
    inputs = sharded | {"model": trips.execution("train")["outputs"]["model"]}
    outputs = ["predictions", "metrics", "report"]
    digests = []
    ways: list[dict[str, Any]] = [{}, {"before": ONE_CORE}, *({"beam_options": each} for each in of(options, "ml"))]
    for number, way in enumerate(ways):
        folder = tmp_path / str(number)
        given = INFER | {"beam_options": way.pop("beam_options", [])}
        made = finished(begun("bulk_infer", folder, own, given, inputs, outputs, ["rows"], **way), folder)
        assert made.exit_code == 0, made.stderr
        digests.append(file_digests(made.folder / "predictions"))
    assert all(each == digests[0] for each in digests)
    assert len(digests[0]) == 2 * SHARDS


def test_functions_of_python_are_called_where_they_are(
    trips: Run, sharded: dict[str, dict[str, Any]], own: Path, tmp_path: Path
) -> None:
    module = own / "calls_python.py"
    module.write_text(
        "import tensorflow as tf\n"
        "def preprocessing_fn(inputs):\n"
        "    miles = tf.reshape(tf.cast(inputs['trip_miles'], tf.float32), [-1])\n"
        "    doubled = tf.py_function(lambda values: 2 * values, [miles], tf.float32)\n"
        "    doubled.set_shape([None])\n"
        "    return {'doubled': doubled}\n"
    )
    made = [
        again(trips, "transform", tmp_path / str(number), own, sharded, before=before, module_file=str(module))
        for number, before in enumerate((ONE_CORE, FORKED))
    ]
    for each in made:
        assert each.exit_code == 0, each.stderr
    assert differing(made[1].folder / "transformed_examples", made[0].folder / "transformed_examples") == []
