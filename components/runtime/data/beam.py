"""What stages on Beam share: the runner and its options, and reading tf.Examples as Arrow batches.

Workers see nothing of the stage but what lies in its artifacts: what they need of files is put there.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from components.runtime.data import tfrecord
from components.runtime.errors import InputError
from components.runtime.stage import stopping
from components.runtime.stage.artifacts import written_whole

if TYPE_CHECKING:
    import apache_beam
    import pyarrow

Job = TypeVar("Job")
Result = TypeVar("Result")

_LONGEST_JOB_SECONDS = 30 * 24 * 3600

RUNNER = "FnApiRunner"
"""Runs in this process. Beam's default, the DirectRunner, first tries to download another runner."""

_IN_THIS_PROCESS = (RUNNER, "DirectRunner", "SwitchingDirectRunner", "BundleBasedDirectRunner")

_PORTABLE = ("portable", "flink", "spark", "prism")
"""Runners that would download a job server where none is named, whatever this machine reaches."""
_SERVERS = ("flink_job_server_jar", "spark_job_server_jar", "prism_location")
"""Options that name a job server here, which Beam starts."""

_RUNNERS_OWN = -1
"""`--parallelism` as it is where it is not given."""

_ENVIRONMENTS = ("DOCKER", "EXTERNAL", "LOOPBACK", "PROCESS")
"""Where workers are, as `--environment_type` says it; or a URN."""

_MISSPELT = 0.9
"""Part of the letters that a misspelt option shares with the right one. Of Flink's and Spark's own options none shares
more than 0.89 with one of Beam's."""

BATCH_ROWS = 4096
BATCH_BYTES = 16 << 20
LARGE_ROW_BYTES = 16 << 10
BATCH_LARGE_ROWS = 32
"""A batch ends at the first of these limits. Of large rows there are few in it, because those are encoded images:
decoded they take ten to forty times their bytes, all of a batch at once."""


@contextmanager
def pipeline(beam_options: Sequence[str]) -> Iterator[apache_beam.Pipeline]:
    """An empty pipeline, which runs when the context is left, where the options say, else in this process.

    Args:
      beam_options: Beam's command line options, such as `--job_endpoint=HOST:PORT`.

    Raises:
      InputError: an option is malformed, there is no such runner, what answers is no job server, or it does not take
        the pipeline.
      TransientError: the job server or its workers do not answer, or were lost.
      SystemExit: by a SIGTERM, which cancels the job.
      Exception: what was raised in a worker, also where a job server hands over its text alone.
    """
    import apache_beam

    options = _options(beam_options)
    try:
        made = apache_beam.Pipeline(options=options)
    except (ValueError, ImportError, AttributeError) as error:
        raise InputError(f"beam_options {list(beam_options)}: {error}; correct the options in the settings") from error
    if type(made.runner).__name__ in _IN_THIS_PROCESS:
        with made:
            yield made
        return

    from apache_beam.options.pipeline_options import PortableOptions

    from components.runtime.data import beam_faults, beam_progress

    asked = options.view_as(PortableOptions)
    failure: Exception | None = None
    try:
        with stopping.by_signals(), beam_progress.followed(made), made:
            yield made
            if asked.job_endpoint:
                beam_faults.check_job_server(asked.job_endpoint)
                if asked.artifact_endpoint:
                    beam_faults.check_artifact_endpoint(asked.artifact_endpoint)
    except Exception as error:
        failure = beam_faults.explained(error, asked.job_endpoint) if asked.job_endpoint else error
    except BaseException:
        # Workers would go on without the stage.
        with contextlib.suppress(Exception):
            made.result.cancel()
        raise
    # Outside of the handler, since what workers raised has causes and contexts of its own.
    if failure is not None:
        raise failure


def mapped(
    function: Callable[[Job], Result], jobs: Sequence[Job], beam_options: Sequence[str], folder: Path, step: str
) -> Iterator[Result]:
    """Calls a function with each job, on Beam's workers.

    Through Beam go names only. Jobs and results lie in files, so that there may be any number of them, of any size.

    Args:
      function: must be picklable, as jobs and results, by names that workers find.
      jobs: what it is called with.
      beam_options: see `pipeline`, as errors.
      folder: for those files, on storage that the workers share with this process.
      step: names them, and the step of the pipeline.

    Returns:
      The results in the order of the jobs, each read when it is asked for; when this returns, all jobs are done.
    """
    import apache_beam

    places = [folder / f"{step}-{number}" for number in range(len(jobs))]
    for place, job in zip(places, jobs, strict=True):
        place.with_suffix(".job").write_bytes(pickle.dumps(job))
    if places:
        with pipeline(beam_options) as run:
            names = run | "Names" >> apache_beam.Create(list(map(str, places)), reshuffle=True)
            _ = names | step >> apache_beam.Map(_do, function)
    return (pickle.loads(place.with_suffix(".done").read_bytes()) for place in places)


def _do(name: str, function: Callable[[Any], Any]) -> None:
    place = Path(name)
    result = function(pickle.loads(place.with_suffix(".job").read_bytes()))
    with written_whole(place.with_suffix(".done")) as part:
        part.write_bytes(pickle.dumps(result))


def _options(beam_options: Sequence[str]) -> Any:
    from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, SetupOptions, StandardOptions

    class Options(PipelineOptions):
        """Parses each kind of option once; Beam asks for some of them at every step, which costs a second in all."""

        def view_as(self, cls: Any) -> Any:
            views: dict[Any, Any] = self.__dict__.setdefault("_views", {})
            if cls not in views:
                views[cls] = super().view_as(cls)
            return views[cls]

        def __getstate__(self) -> dict[str, Any]:
            state = dict(super().__getstate__())
            state.pop("_views", None)
            return state

    for option in beam_options:
        if not isinstance(option, str) or not option.startswith("--"):
            raise InputError(f"beam_options: {option!r} is not an option; write each like '--parallelism=4'")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = Options(list(beam_options))
            standard = options.view_as(StandardOptions)
            known = options.get_all_options()
            given = options.get_all_options(retain_unknown_options=True)
    except SystemExit:
        # Beam's parser prints the reason and ends the program.
        reason = said.getvalue().strip().rpartition("error: ")[2]
        raise InputError(f"beam_options: {reason}; correct the options in the settings") from None
    # A job server may know others, such as Flink's; what is nearly one of Beam's own is misspelt.
    for name in sorted(given.keys() - known.keys()):
        if near := difflib.get_close_matches(name, known, n=1, cutoff=_MISSPELT):
            raise InputError(f"beam_options: Beam has no option --{name}, did you mean --{near[0]}?")
    portable = options.view_as(PortableOptions)
    standard.runner = standard.runner or ("PortableRunner" if portable.job_endpoint else RUNNER)
    _check_values(standard.runner, portable, given)
    # What is in this process's main module is no code of ours, and no worker would find it.
    options.view_as(SetupOptions).save_main_session = False
    if not any(option.startswith(("--job_server_timeout", "--job-server-timeout")) for option in beam_options):
        # Beam ends the watch over a job after so many seconds too; whether there is a server is asked before.
        portable.job_server_timeout = _LONGEST_JOB_SECONDS
    return options


def _check_values(named_runner: str, portable: Any, given: Mapping[str, Any]) -> None:
    """Refuses what no runner could do anything with, before anything is sent to it."""
    runner = named_runner.rpartition(".")[2]
    has_server = portable.job_endpoint or any(given.get(name) for name in _SERVERS)
    is_portable = runner.lower().removesuffix("runner") in _PORTABLE
    if portable.job_endpoint == "embed" or (is_portable and not has_server):
        raise InputError(
            f"beam_options: {runner} needs --job_endpoint, HOST:PORT of a job server; start one (docs/scale.md)"
        )
    if given.get("parallelism", 1) < 1 and given["parallelism"] != _RUNNERS_OWN:
        raise InputError(f"beam_options: --parallelism is {given['parallelism']}; write a number from 1 on")
    if not str(portable.sdk_worker_parallelism).isdecimal():
        raise InputError(
            f"beam_options: --sdk_worker_parallelism is {portable.sdk_worker_parallelism!r}; write a number, 0 for "
            "what the runner chooses"
        )
    environment = portable.environment_type
    if environment and environment not in _ENVIRONMENTS and ":" not in environment:
        raise InputError(
            f"beam_options: --environment_type is {environment!r}; write one of: {', '.join(_ENVIRONMENTS)}"
        )


def data_files(folder: Path) -> list[str]:
    """Paths of the files of a split, sorted, hidden ones left out.

    Raises:
      InputError: there are none.
    """
    files = sorted(str(path) for path in folder.iterdir() if path.is_file() and not path.name.startswith((".", "_")))
    if not files:
        raise InputError(f"{folder}: no files in this split; run the stage that makes it again")
    return files


def read_batches(path: str, schema: bytes | None) -> Iterator[pyarrow.RecordBatch]:
    """Reads a TFRecord file of tf.Examples, in order.

    Args:
      path: plain or gzip.
      schema: serialised tensorflow.metadata.v0.Schema; only its features are read. None for all, of whatever types the
        records of a batch have.

    Yields:
      Batches of at least one row, with a column of lists for each feature.

    Raises:
      InputError: the file is corrupt, a record is not a tf.Example, or it contradicts the schema.
    """
    from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

    decoder = ExamplesToRecordBatchDecoder(schema)
    done = 0
    for records in read_records(path):
        try:
            batch = decoder.DecodeBatch(records)
        except Exception:
            check_decodable(path, done, records, schema)
            raise
        done += len(records)
        yield batch


def read_records(path: str) -> Iterator[list[bytes]]:
    """The records of a TFRecord file in order, in batches of at least one, none of them large.

    Args:
      path: plain or gzip.

    Raises:
      InputError: the file is corrupt.
    """
    return _batched(tfrecord.read(Path(path)))


def _batched(records: Iterator[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = large = 0
    for record in records:
        batch.append(record)
        size += len(record)
        large += len(record) >= LARGE_ROW_BYTES
        if len(batch) == BATCH_ROWS or size >= BATCH_BYTES or large == BATCH_LARGE_ROWS:
            yield batch
            batch, size, large = [], 0, 0
    if batch:
        yield batch


def check_decodable(path: str, done: int, records: list[bytes], schema: bytes | None) -> None:
    """Looks for the record that cannot be decoded.

    Args:
      path: of the file, for the message.
      done: records before these in it.
      records: serialised tf.Examples.
      schema: as of `read_batches`.

    Raises:
      InputError: there is one.
    """
    from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

    decoder = ExamplesToRecordBatchDecoder(schema)
    for number, record in enumerate(records, done + 1):
        try:
            decoder.DecodeBatch([record])
        except Exception as error:
            message = " ".join(str(error).split())
            raise InputError(
                f"{path}: record {number} does not fit the schema: {message}; correct the data or the schema's types"
            ) from None
