"""Reading tf.Examples as Arrow batches."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apache_beam
import grpc
import pytest
from apache_beam.options.pipeline_options import PortableOptions, StandardOptions
from tensorflow_metadata.proto.v0 import schema_pb2

from components.runtime.data import beam, beam_faults, beam_progress, examples, tfrecord
from components.runtime.errors import InputError, TransientError
from components.runtime.stage import progress

SCHEMA = schema_pb2.Schema(feature=[schema_pb2.Feature(name="v", type=schema_pb2.BYTES)]).SerializeToString()


def test_batches_end_at_rows_or_bytes(tmp_path: Path) -> None:
    file = tmp_path / "small.gz"
    tfrecord.write(file, [examples.encode({"v": str(index), "not in the schema": 1}) for index in range(9000)])
    batches = list(beam.read_batches(str(file), SCHEMA))
    assert [batch.num_rows for batch in batches] == [4096, 4096, 808]
    assert batches[0].schema.names == ["v"]
    assert batches[2].column(0)[807].as_py() == [b"8999"]
    large = examples.encode({"v": b"x" * (10 << 20)})
    tfrecord.write(file, [large] * 5)
    assert [batch.num_rows for batch in beam.read_batches(str(file), SCHEMA)] == [2, 2, 1]
    photographs = [examples.encode({"v": b"x" * size}) for size in [70 << 10] * 70 + [10] * 9]
    tfrecord.write(file, photographs)
    assert [batch.num_rows for batch in beam.read_batches(str(file), SCHEMA)] == [32, 32, 15]


def test_a_file_without_records_has_no_batches(tmp_path: Path) -> None:
    tfrecord.write(tmp_path / "none.gz", [])
    assert list(beam.read_batches(str(tmp_path / "none.gz"), SCHEMA)) == []


def test_the_record_that_contradicts_the_schema_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mixed"
    tfrecord.write(file, [examples.encode({"v": "a"})] * 5000 + [examples.encode({"v": 3})], gzip=False)
    with pytest.raises(InputError, match=r"mixed: record 5001 does not fit the schema: .*v"):
        list(beam.read_batches(str(file), SCHEMA))


def test_hidden_files_are_no_data(tmp_path: Path) -> None:
    for name in ("b.gz", "a.gz", ".DS_Store", "_SUCCESS"):
        (tmp_path / name).touch()
    assert beam.data_files(tmp_path) == [str(tmp_path / "a.gz"), str(tmp_path / "b.gz")]


@pytest.mark.parametrize(
    ("options", "runner"),
    [
        ([], "FnApiRunner"),
        (["--runner=PrismRunner", "--job_endpoint=localhost:8073"], "PrismRunner"),
        (["--runner=PrismRunner", "--prism_location=build/prism"], "PrismRunner"),
        (["--job_endpoint=localhost:8099"], "PortableRunner"),
    ],
)
def test_the_runner_is_in_this_process_unless_named(options: list[str], runner: str) -> None:
    assert beam._options(options).view_as(StandardOptions).runner == runner


@pytest.mark.parametrize(("misspelt", "right"), [("enviroment_type", "environment_type"), ("runer", "runner")])
def test_a_misspelt_option_is_named_before_a_job_server_is_waited_for(misspelt: str, right: str) -> None:
    with (
        pytest.raises(InputError, match=f"Beam has no option --{misspelt}, did you mean --{right}"),
        beam.pipeline(["--job_endpoint=localhost:9", f"--{misspelt}=EXTERNAL"]),
    ):
        pass


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--runner=FlinkRunner"], "FlinkRunner needs --job_endpoint, HOST:PORT of a job server; start one"),
        (["--runner=SparkRunner"], "SparkRunner needs --job_endpoint"),
        (["--runner=prism"], "prism needs --job_endpoint"),
        (["--runner=PortableRunner"], "PortableRunner needs --job_endpoint"),
        (["--job_endpoint=embed"], "PortableRunner needs --job_endpoint"),
        (["--job_endpoint=localhost:9", "--parallelism=0"], "--parallelism is 0; write a number from 1 on"),
        (["--job_endpoint=localhost:9", "--parallelism=-5"], "--parallelism is -5; write a number from 1 on"),
        (["--job_endpoint=localhost:9", "--sdk_worker_parallelism=abc"], "--sdk_worker_parallelism is 'abc'; write"),
    ],
)
def test_options_that_no_job_server_takes_are_told_before_it_is_asked(options: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said), beam.pipeline(options):
        pass


def test_options_of_a_job_server_are_its_own() -> None:
    for name in ("spark_master", "max_bundle_time_mills", "gcp_temp_location"):
        beam._options(["--job_endpoint=localhost:8099", f"--{name}=1"])


def test_a_long_job_is_watched_to_its_end() -> None:
    def seconds(*options: str) -> int:
        found: int = (
            beam._options(["--job_endpoint=localhost:8099", *options]).view_as(PortableOptions).job_server_timeout
        )
        return found

    assert seconds() > 7 * 24 * 3600
    assert seconds("--job_server_timeout=60") == 60


def test_no_job_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beam_faults, "CONNECT_SECONDS", 0.2)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        endpoint = f"localhost:{free.getsockname()[1]}"
        with (
            pytest.raises(TransientError, match=rf"no job server answers at {endpoint} within 0\.2 s; start it, or"),
            beam.pipeline([f"--job_endpoint={endpoint}", "--environment_type=LOOPBACK"]),
        ):
            pass


def test_nothing_takes_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beam_faults, "CONNECT_SECONDS", 0.2)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        endpoint = f"localhost:{free.getsockname()[1]}"
        with pytest.raises(TransientError, match=rf"nothing answers at {endpoint}, the --artifact_endpoint, within 0"):
            beam_faults.check_artifact_endpoint(endpoint)


def test_another_server_in_place_of_the_job_server() -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    endpoint = f"localhost:{server.add_insecure_port('localhost:0')}"
    server.start()
    try:
        with (
            pytest.raises(InputError, match=rf"what answers at {endpoint} is no job server of Beam \(UNIMPLEMENTED"),
            beam.pipeline([f"--job_endpoint={endpoint}", "--environment_type=LOOPBACK"]),
        ):
            pass
    finally:
        server.stop(None)


def test_what_workers_count_is_counted_here(capsys: pytest.CaptureFixture[str]) -> None:
    # In this process, but as in another: nobody counts while it runs.
    with apache_beam.Pipeline(options=beam._options([])) as made:
        _ = made | apache_beam.Create([2, 40]) | apache_beam.Map(progress.advance)
    with progress.counting(42, "rows", "counting"), beam_progress.followed(made):
        pass
    assert "[42/42 rows] counting" in capsys.readouterr().out
