"""What stages on Beam share: the runner and its options, and reading tf.Examples as Arrow batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.runtime.data import tfrecord
from components.runtime.errors import InputError

if TYPE_CHECKING:
    import apache_beam
    import pyarrow

RUNNER = "FnApiRunner"
"""Runs in this process. Beam's default, the DirectRunner, first tries to download another runner."""

BATCH_ROWS = 4096
BATCH_BYTES = 16 << 20
LARGE_ROW_BYTES = 16 << 10
BATCH_LARGE_ROWS = 32
"""A batch ends at the first of these limits. Of large rows there are few in it, because those are encoded images:
decoded they take ten to forty times their bytes, all of a batch at once."""


def pipeline(beam_options: Sequence[str]) -> apache_beam.Pipeline:
    """Returns an empty pipeline on the runner that the options name; in this process when they name none.

    Args:
      beam_options: Beam's command line options, such as `--runner=FlinkRunner`.

    Raises:
      InputError: an option is malformed, or there is no such runner.
    """
    import apache_beam

    options = _options(beam_options)
    try:
        return apache_beam.Pipeline(options=options)
    except (ValueError, ImportError, AttributeError) as error:
        raise InputError(f"beam_options {list(beam_options)}: {error}; correct the options in the settings") from error


def _options(beam_options: Sequence[str]) -> Any:
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

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
            raise InputError(f"beam_options: {option!r} is not an option; write each like '--runner=FlinkRunner'")
    try:
        options = Options(list(beam_options))
        standard = options.view_as(StandardOptions)
        options.get_all_options()
    except SystemExit:
        # Beam's parser has printed the reason and ends the program.
        raise InputError(f"beam_options {list(beam_options)}: a value is not valid, the log says which") from None
    standard.runner = standard.runner or RUNNER
    return options


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
    for records in _batched(tfrecord.read(Path(path))):
        try:
            batch = decoder.DecodeBatch(records)
        except Exception as error:
            raise _undecodable(path, done, records, decoder) or error from None
        done += len(records)
        yield batch


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


def _undecodable(path: str, done: int, records: list[bytes], decoder: Any) -> InputError | None:
    """Says which record cannot be decoded."""
    for number, record in enumerate(records, done + 1):
        try:
            decoder.DecodeBatch([record])
        except Exception as error:
            message = " ".join(str(error).split())
            return InputError(
                f"{path}: record {number} does not fit the schema: {message}; correct the data or the schema's types"
            )
    return None
