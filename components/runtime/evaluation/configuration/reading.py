"""Reads the EvalConfig and the schema, and names the models as TFMA does."""

from __future__ import annotations

from pathlib import Path

import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.proto import config_pb2

from components.runtime.data.storage import local_file, shown
from components.runtime.errors import InputError
from components.runtime.evaluation.configuration.names import listed
from components.runtime.module_file import moved
from components.runtime.stage.progress import report


def read_config(file: str) -> config_pb2.EvalConfig:
    """Reads an EvalConfig from protocol buffer text.

    Raises:
      InputError: there is no such file, or it is no EvalConfig; says the line.
    """
    file, written = shown(file), file
    try:
        config = text_format.Parse(local_file(written).read_text(encoding="utf-8"), config_pb2.EvalConfig())
    except text_format.ParseError as error:
        raise InputError(f"{file}: not a tensorflow_model_analysis.EvalConfig, line {error}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except OSError as error:
        raise InputError(f"eval_config_file {file}: {error.strerror}; name the file with the EvalConfig") from None
    for metric in [metric for spec in config.metrics_specs for metric in spec.metrics]:
        if metric.module in moved.MOVED_METRICS:
            report(f"{file}: {moved.told(metric.module)}")
            metric.module = moved.METRICS
    if not config.metrics_specs:
        raise InputError(f"{file}: no metrics_specs; add the metrics to measure, such as AUC")
    return config


def read_schema(artifact_path: Path) -> schema_pb2.Schema:
    """Reads `schema.pbtxt`.

    Raises:
      InputError: it is missing or no schema.
    """
    path = artifact_path / "schema.pbtxt"
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), schema_pb2.Schema())
    except (OSError, text_format.ParseError) as error:
        raise InputError(f"{path}: not a schema ({error}); run the schema stage again") from None


def with_baseline(config: config_pb2.EvalConfig, has_baseline: bool) -> config_pb2.EvalConfig:
    """Names the models as TFMA does and, without a baseline, drops the change thresholds.

    Raises:
      InputError: the configuration contradicts itself.
    """
    try:
        updated = tfma.utils.update_eval_config_with_defaults(
            _with_our_names(config), has_baseline=has_baseline, rubber_stamp=True
        )
        tfma.utils.verify_eval_config(updated, baseline_required=has_baseline)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"eval config: {error}") from None
    return updated


def _with_our_names(config: config_pb2.EvalConfig) -> config_pb2.EvalConfig:
    """The same with models called as TFMA calls the ones that it adds: a candidate alone has no name."""
    result = config_pb2.EvalConfig()
    result.CopyFrom(config)
    _leave_out_classes_of_no_weight(result)
    candidates = [spec for spec in result.model_specs if not spec.is_baseline]
    baselines = [spec for spec in result.model_specs if spec.is_baseline]
    if result.model_specs and (len(candidates) != 1 or len(baselines) > 1):
        raise InputError(
            "eval config: give one model_specs, to which a baseline is added where there is one, or one for the "
            "candidate and one with is_baseline: true"
        )
    if candidates and baselines and candidates[0].name == baselines[0].name != "":
        raise InputError(
            f"eval config: candidate and baseline are both called {candidates[0].name!r} in model_specs; give one of "
            "them another name, or none to either"
        )
    names = {spec.name: _our_name(spec) for spec in result.model_specs}
    for metrics in result.metrics_specs:
        for name in metrics.model_names:
            if name not in names:
                raise InputError(
                    f"eval config: model_names {name!r} in metrics_specs is the name of no model_specs; "
                    f"there is: {listed(sorted(names))}"
                )
        ours = [names[name] for name in metrics.model_names] if baselines else []
        del metrics.model_names[:]
        metrics.model_names.extend(ours)
    for spec in result.model_specs:
        spec.name = _our_name(spec) if baselines else ""
    return result


def _our_name(spec: config_pb2.ModelSpec) -> str:
    return str(constants.BASELINE_KEY if spec.is_baseline else constants.CANDIDATE_KEY)


def _leave_out_classes_of_no_weight(config: config_pb2.EvalConfig) -> None:
    """TFMA multiplies each class's metric by its weight: where the metric is undefined, 0 times it is undefined too."""
    for spec in config.metrics_specs:
        weights = spec.aggregate.class_weights
        averages = spec.aggregate.macro_average or spec.aggregate.weighted_macro_average
        if averages and any(weights.values()):
            for number in [number for number, weight in weights.items() if weight == 0]:
                del weights[number]


def counts_only(config: config_pb2.EvalConfig) -> config_pb2.EvalConfig:
    """The configuration with the number of examples as its only metric, which any prediction lets count."""
    result = config_pb2.EvalConfig()
    result.CopyFrom(config)
    del result.metrics_specs[:]
    result.metrics_specs.add().metrics.add(class_name="ExampleCount")
    return result
