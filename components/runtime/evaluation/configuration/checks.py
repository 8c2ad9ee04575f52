"""Holds the EvalConfig against the model and the schema, so that a wrong name is told before any work."""

from __future__ import annotations

from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.proto import config_pb2

from components.runtime.errors import InputError
from components.runtime.evaluation.configuration.metrics import check_metrics
from components.runtime.evaluation.configuration.names import THE_BASELINE, listed, refuse_unknown
from components.runtime.evaluation.configuration.reading import with_baseline
from components.runtime.evaluation.configuration.saved_model import SavedModelFacts
from components.runtime.evaluation.configuration.slices import check_slices, slice_features


def check(
    file: str,
    config: config_pb2.EvalConfig,
    model: SavedModelFacts,
    baseline: SavedModelFacts | None,
    schema: schema_pb2.Schema,
) -> None:
    """Holds every name in the configuration against what exists.

    Raises:
      InputError: a signature, label, feature or metric does not exist, in the model or in the baseline; says which do.
    """
    specs = {spec.is_baseline: spec for spec in with_baseline(config, baseline is not None).model_specs}
    _check_model(file, config, specs[False], model, schema)
    if baseline is not None:
        try:
            _check_model(f"{THE_BASELINE}, does not fit {file}", config, specs[True], baseline, schema)
        except InputError as error:
            raise InputError(
                f"{error}; give the baseline a model_specs of its own, with is_baseline: true, or take it out of "
                "service"
            ) from None
    check_slices(file, config)
    check_metrics(file, config)


def _check_model(
    where: str,
    config: config_pb2.EvalConfig,
    spec: config_pb2.ModelSpec,
    facts: SavedModelFacts,
    schema: schema_pb2.Schema,
) -> None:
    raw = [feature.name for feature in schema.feature]
    texts = {feature.name for feature in schema.feature if feature.type == schema_pb2.BYTES}
    _check_signatures(where, spec, facts)
    transformed = facts.transformed(spec.preprocessing_function_names)
    if transformed is not None:
        _check_keys(where, spec, config, [*sorted(transformed), *raw])
        _check_labels(where, spec, facts, {name for name in texts if name not in transformed})
    _check_outputs(where, spec, config, facts)


def _check_signatures(where: str, spec: config_pb2.ModelSpec, facts: SavedModelFacts) -> None:
    for name in filter(None, [spec.signature_name]):
        refuse_unknown(where, "signature_name", name, facts.outputs, f"signature of {facts.folder}")
    for name in spec.preprocessing_function_names:
        if name not in facts.functions:
            refuse_unknown(where, "preprocessing_function_names", name, facts.outputs, f"signature of {facts.folder}")
    if spec.prediction_key and spec.signature_name:
        outputs = facts.outputs[spec.signature_name]
        if len(outputs) > 1:
            refuse_unknown(
                where, "prediction_key", spec.prediction_key, outputs, f"output of the signature {spec.signature_name}"
            )


def _check_keys(where: str, spec: config_pb2.ModelSpec, config: config_pb2.EvalConfig, known: list[str]) -> None:
    for label in filter(None, [spec.label_key, *spec.label_keys.values()]):
        refuse_unknown(where, "label_key", label, known, "label among transformed and raw features")
    for weight in filter(None, [spec.example_weight_key, *spec.example_weight_keys.values()]):
        refuse_unknown(where, "example_weight_key", weight, known, "feature")
    for key in sorted(slice_features(config)):
        refuse_unknown(where, "slicing_specs", key, known, "feature")


def _check_labels(where: str, spec: config_pb2.ModelSpec, facts: SavedModelFacts, raw_texts: set[str]) -> None:
    """Metrics compare numbers; TFMA knows texts only where the model answers with the classes' names beside."""
    texts = raw_texts | facts.texts(spec.preprocessing_function_names)
    if facts.texts([spec.signature_name]):
        return
    for label in filter(None, [spec.label_key, *spec.label_keys.values()]):
        if label in texts:
            raise InputError(
                f"{where}: label_key {label!r} is text, and the model answers with numbers; let the transform make a "
                "number of it, as by a vocabulary, and name that one"
            )


def _check_outputs(
    where: str, spec: config_pb2.ModelSpec, config: config_pb2.EvalConfig, facts: SavedModelFacts
) -> None:
    """Of a model with several outputs, metrics say which they are of."""
    outputs = facts.outputs.get(spec.signature_name, [])
    if len(outputs) < 2 or spec.prediction_key:
        return
    for entry in config.metrics_specs:
        for name in entry.output_names:
            refuse_unknown(where, "output_names", name, outputs, f"output of the signature {spec.signature_name}")
            if spec.label_keys and name not in spec.label_keys:
                raise InputError(f"{where}: label_keys has no label of the output {name!r}, which metrics_specs names")
        if spec.label_keys and not entry.output_names:
            raise InputError(
                f"{where}: a metrics_specs names no output_names, but there are label_keys of several outputs; "
                f"add output_names, one of: {listed(outputs)}"
            )
