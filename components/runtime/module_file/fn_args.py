"""What a user's `run_fn` and `tuner_fn` are called with: the fields of TFX's FnArgs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa
    import tensorflow as tf
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tfx_bsl.public import tfxio


class DataAccessor(NamedTuple):
    """Reads tf.Examples, whatever the files they lie in.

    Attributes:
      tf_dataset_factory: `(file_patterns, TensorFlowDatasetOptions, schema)` to a `tf.data.Dataset` of parsed batches.
      record_batch_factory: `(file_patterns, RecordBatchesOptions, schema)` to an iterator of Arrow record batches.
      data_view_decode_fn: always None; there are no data views here.
    """

    tf_dataset_factory: Callable[..., tf.data.Dataset]
    record_batch_factory: Callable[..., Iterator[pa.RecordBatch]]
    data_view_decode_fn: Callable[..., Any] | None = None


def example_accessor() -> DataAccessor:
    """A DataAccessor for TFRecord files of tf.Examples, gzipped where their names end in `.gz`."""
    return DataAccessor(tf_dataset_factory=_tf_dataset, record_batch_factory=_record_batches)


def _tf_dataset(
    file_pattern: list[str], options: tfxio.TensorFlowDatasetOptions, schema: schema_pb2.Schema | None = None
) -> tf.data.Dataset:
    from tfx_bsl.public import tfxio

    return tfxio.TFExampleRecord(file_pattern, schema=schema).TensorFlowDataset(options)


def _record_batches(
    file_pattern: list[str], options: tfxio.RecordBatchesOptions, schema: schema_pb2.Schema | None = None
) -> Iterator[pa.RecordBatch]:
    from tfx_bsl.public import tfxio

    return tfxio.TFExampleRecord(file_pattern, schema=schema).RecordBatches(options)  # type: ignore[no-any-return]


@dataclass
class FnArgs:
    """Arguments of a user's training function.

    Attributes:
      working_dir: a folder for scratch files; it does not outlive the stage.
      train_files: glob patterns of the TFRecord files to train on.
      eval_files: glob patterns of the TFRecord files to evaluate on.
      train_steps: batches to train on.
      eval_steps: batches to evaluate on; None for the whole split.
      schema_path: file with the schema of the raw examples, as text proto.
      schema_file: the same, by its old name.
      transform_graph_path: folder with the output of TensorFlow Transform.
      transform_output: the same, by its old name.
      data_accessor: reads `train_files` and `eval_files`.
      serving_model_dir: folder for the SavedModel that is served and evaluated.
      eval_model_dir: folder for a second SavedModel, of Estimator's days; nothing reads it.
      model_run_dir: folder for logs and checkpoints.
      base_model: folder of a model to start from, or None.
      hyperparameters: configuration of `keras_tuner.HyperParameters`, or None.
      custom_config: what the settings hand on.
      distil: temperature and alpha of a distillation; None where none is asked for.
      teacher_model: folder of the model that teaches, or None.
      taught_by: what `distillation.taught` made of it; empty where nobody called that.
    """

    working_dir: str = ""
    train_files: list[str] = field(default_factory=list)
    eval_files: list[str] = field(default_factory=list)
    train_steps: int = 1
    eval_steps: int | None = None
    schema_path: str = ""
    schema_file: str = ""
    transform_graph_path: str = ""
    transform_output: str = ""
    data_accessor: DataAccessor = field(default_factory=example_accessor)
    serving_model_dir: str = ""
    eval_model_dir: str = ""
    model_run_dir: str = ""
    base_model: str | None = None
    hyperparameters: dict[str, Any] | None = None
    custom_config: dict[str, Any] | None = None
    distil: dict[str, Any] | None = None
    teacher_model: str | None = None
    taught_by: str = ""
