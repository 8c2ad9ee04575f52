"""Reads the EvalConfig and holds it against the model and the schema, so that a wrong name is told before any work."""

from __future__ import annotations

import difflib
import importlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.metrics import metric_specs, metric_types
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils.keras_lib import tf_keras

from components.runtime.errors import InputError, StageError
from components.runtime.storage import local_file, shown

_MANY = 30


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
        updated = tfma.utils.update_eval_config_with_defaults(config, has_baseline=has_baseline, rubber_stamp=True)
        tfma.utils.verify_eval_config(updated, baseline_required=has_baseline)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"eval config: {error}") from None
    expected = 2 if has_baseline else 1
    if len(updated.model_specs) != expected:
        raise InputError(
            "eval config: give one model_specs without a name; the baseline is added to it where there is one"
        )
    return updated


def counts_only(config: config_pb2.EvalConfig) -> config_pb2.EvalConfig:
    """The configuration with the number of examples as its only metric, which any prediction lets count."""
    result = config_pb2.EvalConfig()
    result.CopyFrom(config)
    del result.metrics_specs[:]
    result.metrics_specs.add().metrics.add(class_name="ExampleCount")
    return result


class SavedModelFacts:
    """What a SavedModel offers, read from its file without loading it."""

    def __init__(self, folder: Path) -> None:
        """Reads the model's graph.

        Raises:
          InputError: the file is no SavedModel.
        """
        saved = saved_model_pb2.SavedModel()
        try:
            saved.ParseFromString((folder / "saved_model.pb").read_bytes())
            graph = next(graph for graph in saved.meta_graphs if "serve" in graph.meta_info_def.tags)
        except StopIteration:
            raise InputError(f"{folder}: the SavedModel has no graph tagged 'serve'; train the model again") from None
        except Exception as error:
            raise InputError(
                f"{folder / 'saved_model.pb'}: not a SavedModel ({error}); train the model again"
            ) from None
        self.folder = folder
        self.outputs = {
            name: sorted(signature.outputs)
            for name, signature in graph.signature_def.items()
            if name != "__saved_model_init_op"
        }
        self._inputs = {
            name: [entry.dtype for entry in signature.inputs.values()]
            for name, signature in graph.signature_def.items()
        }
        nodes = graph.object_graph_def.nodes
        self.functions = {child.local_name for child in nodes[0].children} if nodes else set()

    def takes_examples(self, name: str) -> bool:
        """Whether a signature has one argument, of serialised tf.Examples."""
        return self._inputs[name] == [types_pb2.DT_STRING]

    def transformed(self, names: Iterable[str]) -> set[str] | None:
        """Outputs of the preprocessing signatures; None where a function is used whose outputs are not recorded."""
        outputs: set[str] = set()
        for name in names:
            if name not in self.outputs:
                return None
            outputs |= set(self.outputs[name])
        return outputs


def check(
    file: str,
    config: config_pb2.EvalConfig,
    model: SavedModelFacts,
    baseline: SavedModelFacts | None,
    schema: schema_pb2.Schema,
) -> None:
    """Holds every name in the configuration against what exists.

    Raises:
      InputError: a signature, label, feature or metric does not exist; says which do.
    """
    spec = config.model_specs[0] if config.model_specs else config_pb2.ModelSpec()
    for facts in [model] if baseline is None else [model, baseline]:
        _check_signatures(file, spec, facts)
    transformed = model.transformed(spec.preprocessing_function_names)
    raw = [feature.name for feature in schema.feature]
    if transformed is not None:
        known = [*sorted(transformed), *raw]
        _check_keys(file, spec, config, known)
    _check_metrics(file, config)


def _check_signatures(file: str, spec: config_pb2.ModelSpec, facts: SavedModelFacts) -> None:
    for name in filter(None, [spec.signature_name]):
        _known(file, "signature_name", name, facts.outputs, f"signature of {facts.folder}")
    for name in spec.preprocessing_function_names:
        if name not in facts.functions:
            _known(file, "preprocessing_function_names", name, facts.outputs, f"signature of {facts.folder}")
    if spec.prediction_key and spec.signature_name:
        outputs = facts.outputs[spec.signature_name]
        if len(outputs) > 1:
            _known(
                file, "prediction_key", spec.prediction_key, outputs, f"output of the signature {spec.signature_name}"
            )


def _check_keys(file: str, spec: config_pb2.ModelSpec, config: config_pb2.EvalConfig, known: list[str]) -> None:
    for label in filter(None, [spec.label_key, *spec.label_keys.values()]):
        _known(file, "label_key", label, known, "label among transformed and raw features")
    for weight in filter(None, [spec.example_weight_key, *spec.example_weight_keys.values()]):
        _known(file, "example_weight_key", weight, known, "feature")
    for key in sorted(slice_features(config)):
        _known(file, "slicing_specs", key, known, "feature")


def slice_features(config: config_pb2.EvalConfig) -> set[str]:
    """Names of the features that any slice is cut by."""
    specs = list(config.slicing_specs)
    for cross in config.cross_slicing_specs:
        specs += [cross.baseline_spec, *cross.slicing_specs]
    for metric in _metrics(config):
        for threshold in metric.per_slice_thresholds:
            specs += threshold.slicing_specs
    return {key for spec in specs for key in (*spec.feature_keys, *spec.feature_values)}


def _metrics(config: config_pb2.EvalConfig) -> Iterator[config_pb2.MetricConfig]:
    for spec in config.metrics_specs:
        yield from spec.metrics


def _check_metrics(file: str, config: config_pb2.EvalConfig) -> None:
    registered = metric_types.registered_metrics()
    for metric in _metrics(config):
        where = f"{file}: metric {metric.class_name!r}"
        if metric.config:
            _check_json(where, metric.config)
        if metric.class_name in registered:
            continue
        if metric.module:
            _check_class(where, metric, Path(file).parent)
        elif not isinstance(getattr(tf_keras.metrics, metric.class_name, None), type):
            keras_names = [name for name, kind in vars(tf_keras.metrics).items() if isinstance(kind, type)]
            _known(file, "class_name", metric.class_name, sorted({*registered, *keras_names}), "metric")
    try:
        metric_specs.to_computations(list(config.metrics_specs), eval_config=with_baseline(config, False))
    except StageError:
        raise
    except Exception as error:
        raise InputError(f"{file}: a metric cannot be made: {error}") from None


def _check_json(where: str, text: str) -> None:
    # TFMA lets the braces be left out.
    try:
        json.loads(text if text.lstrip().startswith("{") else "{" + text + "}")
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: its config is not JSON: {error}") from None


def _check_class(where: str, metric: Any, folder: Path) -> None:
    # A metric of the user's own lies beside the configuration.
    if str(folder.resolve()) not in sys.path:
        sys.path.append(str(folder.resolve()))
    try:
        module = importlib.import_module(metric.module)
    except Exception as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise InputError(f"{where}: its module {metric.module!r} cannot be imported: {error}{line}") from None
    if not isinstance(getattr(module, metric.class_name, None), type):
        raise InputError(f"{where}: module {metric.module!r} has no such class; it has: {_listed(_classes(module))}")


def _classes(module: Any) -> list[str]:
    kinds = (metric_types.Metric, tf_keras.metrics.Metric, tf_keras.losses.Loss)
    own = (kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == module.__name__)
    return sorted(kind.__name__ for kind in own if issubclass(kind, kinds))


def _known(file: str, field: str, name: str, names: Iterable[str], what: str) -> None:
    names = list(names)
    if name in names:
        return
    close = difflib.get_close_matches(name, names, n=5, cutoff=0.5) if len(names) > _MANY else names
    raise InputError(f"{file}: {field} {name!r} is no {what}; there is: {_listed(close or names)}")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_MANY]) + (", …" if len(names) > _MANY else "") if names else "none"
