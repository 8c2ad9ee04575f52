"""Runs TensorFlow Model Analysis as a Beam pipeline and leaves its result directory."""

from __future__ import annotations

import copyreg
import sys
from pathlib import Path

import tensorflow_model_analysis as tfma
from apache_beam.internal import cloudpickle
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.proto import config_pb2
from tfx_bsl.tfxio import tensor_adapter, tf_example_record

from components.runtime.data.beam import pipeline
from components.runtime.evaluation.computation import counts, resampling

MODEL_LOCATION, BASELINE_LOCATION = "model", "baseline_model"
"""What stands in the result for the models' paths, which differ from machine to machine."""


def analyse(
    files: list[str],
    location: str,
    config: config_pb2.EvalConfig,
    models: dict[str, Path],
    schema: schema_pb2.Schema,
    target: Path,
    beam_options: list[str],
    batch_rows: int | None = None,
    code: Path | None = None,
) -> counts.Counts:
    """Evaluates models on tf.Examples and writes TFMA's result directory.

    Args:
      files: gzip TFRecords of tf.Example.
      location: what the result says about where the examples were.
      config: as `configuration.reading.with_baseline` leaves it.
      models: folder of the SavedModel of each model that `config` names.
      schema: of the raw examples.
      target: folder to write to.
      beam_options: command line options of Beam.
      batch_rows: examples that go through a model at once; without it Beam decides, up to a thousand.
      code: folder with the modules of the user's own metrics, where workers see it; None where there are none.

    Returns:
      What was read.
    """
    rubber_stamp = len(models) == 1
    shared = [
        tfma.default_eval_shared_model(str(folder), model_name=name, eval_config=config, rubber_stamp=rubber_stamp)
        for name, folder in models.items()
    ]
    reader = tf_example_record.TFExampleRecord(
        file_pattern=files,
        schema=schema,
        raw_record_column_name=constants.ARROW_INPUT_COLUMN,
        telemetry_descriptors=["Millrace"],
    )
    adapter = tensor_adapter.TensorAdapterConfig(
        arrow_schema=reader.ArrowSchema(), tensor_representations=reader.TensorRepresentations()
    )
    named = [
        model._replace(model_path=BASELINE_LOCATION if model.is_baseline else MODEL_LOCATION, rubber_stamp=rubber_stamp)
        for model in shared
    ]
    writers = tfma.default_writers(
        output_path=str(target),
        eval_shared_model=named if len(named) > 1 else named[0],
        eval_config=config,
        display_only_data_location=location,
        display_only_data_file_format="tfrecords",
    )
    evaluators = tfma.default_evaluators(
        eval_shared_model=shared if len(shared) > 1 else shared[0],
        eval_config=config,
        schema=schema,
        # Of the resampling behind confidence intervals: the same examples give the same intervals.
        random_seed_for_testing=resampling.SEED,
    )
    if code is not None:
        _carry_own_metrics(code)
    with pipeline(beam_options) as run:
        _ = (
            run
            | "ReadExamples" >> reader.BeamSource(batch_rows)
            | "Evaluate"
            >> tfma.ExtractEvaluateAndWriteResults(
                eval_shared_model=shared if len(shared) > 1 else shared[0],
                eval_config=config,
                evaluators=[*evaluators, counts.counter(list(models), target)],
                writers=writers,
                tensor_adapter_config=adapter,
            )
        )
    return counts.read(target)


def _carry_own_metrics(code: Path) -> None:
    """Has workers find the user's own metrics, which TFMA imports there by the names that a configuration has.

    What of them is in the pipeline itself travels by value: it may arrive before any configuration does.
    """
    names = {file.relative_to(code).with_suffix("").as_posix().replace("/", ".") for file in code.rglob("*.py")}
    for name in names & sys.modules.keys():
        cloudpickle.register_pickle_by_value(sys.modules[name])
    copyreg.pickle(config_pb2.EvalConfig, lambda message: (_configuration, (message.SerializeToString(), str(code))))


def _configuration(serialised: bytes, code: str) -> config_pb2.EvalConfig:
    if code not in sys.path:
        sys.path.append(code)
    return config_pb2.EvalConfig.FromString(serialised)
