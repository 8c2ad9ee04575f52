"""Stages on Beam's portable runners, with workers that share only the artifacts' place with them: what goes wrong.

That they make what one process makes is in `test_same_everywhere`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from components.runtime.data import examples, tfrecord
from components.runtime.stage.artifacts import file_digests
from tests.beam_workers import JOB_SERVERS, Workers, built, workers
from tests.e2e.conftest import Run
from tests.s3_server import S3, s3_server
from tests.stages_again import again, begun, failed, finished

pytestmark = pytest.mark.slow

TRIPS = b"miles,company\n" + b"".join(b"%d,cab %d\n" % (row, row % 7) for row in range(300))
READ = {"format": "auto", "splits": {"train": 2, "eval": 1}, "split_patterns": {}}


@pytest.fixture(scope="module", params=JOB_SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    """The job server."""
    return built(request.param)[0]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """What only the stages see."""
    return tmp_path_factory.mktemp(f"own-{server}")


@pytest.fixture(scope="module")
def data_workers(tmp_path_factory: pytest.TempPathFactory, own: Path, server: str) -> Iterator[Workers]:
    with workers(tmp_path_factory.mktemp("workers"), "data", own, server) as found:
        yield found


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def ml_workers(tmp_path_factory: pytest.TempPathFactory, own: Path, server: str, s3: S3) -> Iterator[Workers]:
    with workers(tmp_path_factory.mktemp("workers"), "ml", own, server, s3.variables) as found:
        yield found


# What a worker raises may hold any words.
RAISES = """
import tensorflow as tf
import tensorflow_transform as tft

def preprocessing_fn(inputs):
    miles = tf.reshape(tf.cast(inputs['trip_miles'], tf.float32), [-1])
    with tf.control_dependencies([tf.debugging.assert_less(miles, 0.1, 'UNAVAILABLE: Connection refused')]):
        return {'miles': tft.scale_to_z_score(miles)}
"""


def count(examples: Path, folder: Path, own: Path, options: list[str]) -> subprocess.Popen[str]:
    """The stage statistics, which has begun."""
    parameters = {"schema_file": "", "beam_options": options}
    given = {"examples": {"uri": str(examples), "metadata": {}}}
    return begun("statistics", folder, own, parameters, given, ["statistics", "report"], [])


def read(
    data: Path | str,
    folder: Path,
    own: Path,
    options: list[str],
    variables: Mapping[str, str] = {},
    **more: Any,
) -> subprocess.Popen[str]:
    """The stage ingest, which has begun."""
    parameters = READ | {"data": str(data), "beam_options": options} | more
    return begun("ingest", folder, own, parameters, {}, ["examples", "sample"], [], variables=variables)


def working(found: Workers) -> list[str]:
    """Numbers of the processes that a pool has started for jobs."""
    threads = Path(f"/proc/{found.pool.pid}/task").glob("*/children")
    return [number for children in threads for number in children.read_text().split()]


def files(folder: Path, contents: Mapping[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


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


def test_no_pool_answers(server: str, own: Path, tmp_path: Path, taxi: Run) -> None:
    with workers(tmp_path, "data", own, server) as ended:
        os.killpg(ended.pool.pid, signal.SIGKILL)
        ended.pool.wait()
        process = count(taxi.path("ingest", "examples"), tmp_path / "out", own, ended.options)
        code, error = failed(process, tmp_path / "out")
    assert code == 75, error
    assert "a worker pool that does not answer" in error or "lost its workers" in error


def endless(examples: Path) -> Path:
    """A file of examples that never ends: whoever opens it to write waits until a worker reads it."""
    file = examples / "Split-train" / "data.gz"
    file.parent.mkdir(parents=True)
    os.mkfifo(file)
    return file


def test_a_worker_dies(server: str, own: Path, tmp_path: Path) -> None:
    file = endless(tmp_path / "examples")
    with workers(tmp_path, "data", own, server) as found:
        process = count(tmp_path / "examples", tmp_path / "out", own, found.options)
        with file.open("wb"):
            os.killpg(found.pool.pid, signal.SIGKILL)
            code, error = failed(process, tmp_path / "out")
    assert code == 75, error
    assert "lost its workers" in error


def test_a_stage_that_is_ended_cancels_its_job(server: str, own: Path, tmp_path: Path) -> None:
    if server != "prism":
        pytest.skip("only seen with Prism: a worker of Flink stays at a file that never ends")
    file = endless(tmp_path / "examples")
    with workers(tmp_path, "data", own, server) as found:
        process = count(tmp_path / "examples", tmp_path / "out", own, found.options)
        with file.open("wb"):
            # A worker has opened it to read, and waits.
            assert working(found)
            process.send_signal(signal.SIGTERM)
            code, _ = failed(process, tmp_path / "out")
            assert code == 128 + signal.SIGTERM
            end = time.monotonic() + 20
            while working(found):
                assert time.monotonic() < end, "workers go on"
                time.sleep(0.1)


def test_ingest_of_every_format_is_the_same(ml_workers: Workers, own: Path, tmp_path: Path) -> None:
    records = [examples.encode({"x": float(row), "name": f"n{row % 9}"}) for row in range(200)]
    table = pa.table(
        {
            "when": pa.array(range(200), pa.timestamp("us")),
            "price": pa.array([None if row % 5 == 0 else row for row in range(200)], pa.decimal128(9, 2)),
            "kind": pa.array([f"k{row % 3}" for row in range(200)]).dictionary_encode(),
            "many": pa.array([[row] * (row % 3) for row in range(200)]),
            "none": pa.nulls(200),
            "label": pa.array([row % 2 == 1 for row in range(200)]),
        }
    )
    folders = {
        # Texts of the second file make numbers of the first text, and one file has a header only.
        "csv": files(tmp_path / "csv", {"1.csv": TRIPS, "2.csv": TRIPS + b"n/a,\n", "3.csv": b"company,miles\n"}),
        "tfrecord": tmp_path / "tfrecord",
        "parquet": tmp_path / "parquet",
    }
    for name in ("tfrecord", "parquet"):
        folders[name].mkdir()
    for number in range(3):
        tfrecord.write(folders["tfrecord"] / f"{number}.tfrecord.gz", records[number * 50 :])
        pq.write_table(table.slice(number * 40), folders["parquet"] / f"{number}.parquet", row_group_size=70)
    for name, data in folders.items():
        more = {"leave_out_without": ["price"]} if name == "parquet" else {}
        made = []
        for way, options in (("here", []), ("workers", ml_workers.options)):
            folder = tmp_path / f"{name}-{way}"
            made.append(finished(read(data, folder, own, options, **more), folder))
            assert made[-1].exit_code == 0, made[-1].stderr
        here, there = made
        for output in ("examples", "sample"):
            assert file_digests(here.folder / output) == file_digests(there.folder / output)
            assert here.metadata(output) == there.metadata(output)
        # What is told of the data is the same, in the log as well.
        assert [line for line in here.stdout.splitlines() if "[" not in line] == [
            line for line in there.stdout.splitlines() if "[" not in line
        ]
        assert ("because of 'n/a' in line 302" in there.stdout) == (name == "csv")


def test_ingest_of_a_bucket_is_the_same(ml_workers: Workers, s3: S3, own: Path, tmp_path: Path) -> None:
    data = files(tmp_path / "data", {"a b.csv": TRIPS, "2.csv": TRIPS[:200] + b"\n"})
    bucket = s3.make("trips")
    s3.upload(data, bucket)
    made = []
    for name, place, options in (("here", str(data), []), ("workers", bucket, ml_workers.options)):
        made.append(finished(read(place, tmp_path / name, own, options, s3.variables), tmp_path / name))
        assert made[-1].exit_code == 0, made[-1].stderr
    here, there = made
    assert file_digests(here.folder / "examples") == file_digests(there.folder / "examples")
    assert here.metadata("examples") == there.metadata("examples")


def test_raw_files_that_cannot_be_used(ml_workers: Workers, own: Path, tmp_path: Path) -> None:
    struct = tmp_path / "struct"
    struct.mkdir()
    for number in range(2):
        pq.write_table(pa.table({"a": [1], "b": [{"x": 1}]}), struct / f"{number}.parquet")
    cases = {
        "2.csv: line 302": files(tmp_path / "ragged", {"1.csv": TRIPS, "2.csv": TRIPS + b"1,2,3\n"}),
        "0.parquet: column 'b' is of type struct<x: int64>, which cannot be a feature": struct,
    }
    for number, (said, data) in enumerate(cases.items()):
        process = read(data, tmp_path / f"out-{number}", own, ml_workers.options)
        code, error = failed(process, tmp_path / f"out-{number}")
        assert (code, said in error) == (65, True), error


def test_raw_files_that_workers_do_not_see(ml_workers: Workers, own: Path, tmp_path: Path) -> None:
    data = files(own / "raw", {"1.csv": TRIPS})
    code, error = failed(read(data, tmp_path / "out", own, ml_workers.options), tmp_path / "out")
    assert (code, f"do not see {data / '1.csv'};" in error) == (65, True), error


def test_a_worker_that_reads_dies(server: str, own: Path, tmp_path: Path) -> None:
    data = files(tmp_path / "data", {"1.csv": TRIPS, "2.csv": TRIPS + b"1,cab 1\n" * 3_000_000})
    with workers(tmp_path, "ml", own, server) as found:
        process = read(data, tmp_path / "out", own, found.options)
        while not list(tmp_path.glob("out/.examples.part/.work/types-*.done")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        os.killpg(found.pool.pid, signal.SIGKILL)
        code, error = failed(process, tmp_path / "out")
    assert code == 75, error
    assert "lost" in error


def test_a_fault_of_preprocessing_is_told_as_here(ml_workers: Workers, own: Path, tmp_path: Path, taxi: Run) -> None:
    module = own / "raises.py"
    module.write_text(RAISES)
    here, there = (
        again(taxi, "transform", tmp_path / way, own, module_file=str(module), beam_options=options)
        for way, options in (("here", []), ("workers", ml_workers.options))
    )
    said = "assertion failed: [UNAVAILABLE: Connection refused]"
    assert (here.exit_code, said in here.error) == (65, True), here.stderr
    assert (there.exit_code, there.error) == (65, here.error), there.stderr


def test_an_example_that_the_model_cannot_read_is_told_as_here(
    ml_workers: Workers, own: Path, tmp_path: Path, taxi: Run
) -> None:
    found = taxi.execution("evaluate")["inputs"]["examples"]
    folder = tmp_path / "examples"
    shutil.copytree(found["uri"], folder)
    file = next((folder / "Split-eval").iterdir())
    rows = list(tfrecord.read(file))
    # (The first ones are tried in the stage.)
    rows[100] = examples.encode(examples.decode(rows[100]) | {"trip_miles": "far"})
    tfrecord.write(file, rows)
    inputs = {"examples": found | {"uri": str(folder)}}
    here, there = (
        again(taxi, "evaluate", tmp_path / way, own, inputs, beam_options=options)
        for way, options in (("here", []), ("workers", ml_workers.options))
    )
    assert (here.exit_code, "the model cannot read the examples" in here.error) == (65, True), here.stderr
    assert (there.exit_code, there.error) == (65, here.error), there.stderr
