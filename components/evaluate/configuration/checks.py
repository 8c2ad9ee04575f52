"""Reads the EvalConfig and holds it against the model and the schema, so that a wrong name is told before any work."""

from __future__ import annotations

import difflib
import importlib
import json
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.metrics import confusion_matrix_metrics as tfma_metrics
from tensorflow_model_analysis.metrics import metric_specs, metric_types
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils.keras_lib import tf_keras

# They put classes of ours in the places of TFMA's when they are imported.
import components.evaluate.curves
import components.evaluate.regression
import components.evaluate.tfma_repairs  # noqa: F401
from components.evaluate import interval
from components.runtime.errors import InputError, StageError
from components.runtime.storage import local_file, shown

try:
    from tfx_bsl.arrow import sql_util
except ImportError:
    sql_util = None

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
    names = {spec.name: constants.BASELINE_KEY for spec in baselines}
    names |= {spec.name: constants.CANDIDATE_KEY for spec in candidates}
    for metrics in result.metrics_specs:
        for name in metrics.model_names:
            if name not in names:
                raise InputError(
                    f"eval config: model_names {name!r} in metrics_specs is the name of no model_specs; "
                    f"there is: {_listed(sorted(names))}"
                )
        ours = [names[name] for name in metrics.model_names] if baselines else []
        del metrics.model_names[:]
        metrics.model_names.extend(ours)
    for spec in result.model_specs:
        spec.name = names[spec.name] if baselines else ""
    return result


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
        self._texts = {
            name: {key for key, entry in signature.outputs.items() if entry.dtype == types_pb2.DT_STRING}
            for name, signature in graph.signature_def.items()
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

    def texts(self, names: Iterable[str]) -> set[str]:
        """Outputs of signatures that are text."""
        return {key for name in names for key in self._texts.get(name, ())}

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
    specs = {spec.is_baseline: spec for spec in with_baseline(config, baseline is not None).model_specs}
    raw = [feature.name for feature in schema.feature]
    texts = {feature.name for feature in schema.feature if feature.type == schema_pb2.BYTES}
    for facts, spec in [(model, specs[False])] + ([] if baseline is None else [(baseline, specs[True])]):
        _check_signatures(file, spec, facts)
        transformed = facts.transformed(spec.preprocessing_function_names)
        if transformed is not None:
            _check_keys(file, spec, config, [*sorted(transformed), *raw])
            _check_labels(file, spec, facts, {name for name in texts if name not in transformed})
        _check_outputs(file, spec, config, facts)
    _check_slices(file, config)
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


def _check_labels(file: str, spec: config_pb2.ModelSpec, facts: SavedModelFacts, raw_texts: set[str]) -> None:
    """Metrics compare numbers; TFMA knows texts only where the model answers with the classes' names beside."""
    texts = raw_texts | facts.texts(spec.preprocessing_function_names)
    if facts.texts([spec.signature_name]):
        return
    for label in filter(None, [spec.label_key, *spec.label_keys.values()]):
        if label in texts:
            raise InputError(
                f"{file}: label_key {label!r} is text, and the model answers with numbers; let the transform make a "
                "number of it, as by a vocabulary, and name that one"
            )


def _check_outputs(
    file: str, spec: config_pb2.ModelSpec, config: config_pb2.EvalConfig, facts: SavedModelFacts
) -> None:
    """Of a model with several outputs, metrics say which they are of."""
    outputs = facts.outputs.get(spec.signature_name, [])
    if len(outputs) < 2 or spec.prediction_key:
        return
    for entry in config.metrics_specs:
        for name in entry.output_names:
            _known(file, "output_names", name, outputs, f"output of the signature {spec.signature_name}")
            if spec.label_keys and name not in spec.label_keys:
                raise InputError(f"{file}: label_keys has no label of the output {name!r}, which metrics_specs names")
        if spec.label_keys and not entry.output_names:
            raise InputError(
                f"{file}: a metrics_specs names no output_names, but there are label_keys of several outputs; "
                f"add output_names, one of: {_listed(outputs)}"
            )


def slice_features(config: config_pb2.EvalConfig) -> set[str]:
    """Names of the features that any slice is cut by."""
    return {key for spec in _slicing_specs(config) for key in (*spec.feature_keys, *spec.feature_values)}


def _slicing_specs(config: config_pb2.EvalConfig) -> list[config_pb2.SlicingSpec]:
    """All that stand anywhere, those of thresholds included."""
    specs = list(config.slicing_specs)
    for cross in [*config.cross_slicing_specs, *(spec for _, spec in _cross_thresholds(config))]:
        specs += [cross.baseline_spec, *cross.slicing_specs]
    return specs + [spec for _, spec in _slice_thresholds(config)]


def _slice_thresholds(config: config_pb2.EvalConfig) -> Iterator[tuple[str, config_pb2.SlicingSpec]]:
    """Names of metrics, and slices that thresholds of theirs are on."""
    for entry in config.metrics_specs:
        for metric in entry.metrics:
            for threshold in metric.per_slice_thresholds:
                yield from ((metric.class_name, spec) for spec in threshold.slicing_specs)
        for name, thresholds in entry.per_slice_thresholds.items():
            for threshold in thresholds.thresholds:
                yield from ((name, spec) for spec in threshold.slicing_specs)


def _cross_thresholds(config: config_pb2.EvalConfig) -> Iterator[tuple[str, config_pb2.CrossSlicingSpec]]:
    """Names of metrics, and pairs of slices that thresholds of theirs are on."""
    for entry in config.metrics_specs:
        for metric in entry.metrics:
            for threshold in metric.cross_slice_thresholds:
                yield from ((metric.class_name, spec) for spec in threshold.cross_slicing_specs)
        for name, thresholds in entry.cross_slice_thresholds.items():
            for threshold in thresholds.thresholds:
                yield from ((name, spec) for spec in threshold.cross_slicing_specs)


def _check_slices(file: str, config: config_pb2.EvalConfig) -> None:
    """Slices can be cut, and all that a threshold or a pair needs are asked for: nothing else is measured."""
    for spec in _slicing_specs(config):
        both = sorted(set(spec.feature_keys) & set(spec.feature_values))
        if both:
            raise InputError(
                f"{file}: a slicing spec has {both[0]!r} in both feature_keys and feature_values; "
                "keep the one that is meant: each of its values, or this one"
            )
        if spec.slice_keys_sql and sql_util is None:
            raise InputError(
                f"{file}: slice_keys_sql needs a tfx-bsl with SQL, which no wheel of it has; slice by feature_keys "
                "and feature_values, or let the transform compute the feature to slice by"
            )
    # Without any, TFMA measures all examples as one.
    measured = list(config.slicing_specs) or [config_pb2.SlicingSpec()]
    for name, spec in _slice_thresholds(config):
        _check_measured(f"{file}: a threshold of {name!r}", spec, measured)
    for cross in config.cross_slicing_specs:
        for spec in (cross.baseline_spec, *cross.slicing_specs):
            _check_measured(f"{file}: cross_slicing_specs", spec, measured)
    for name, cross in _cross_thresholds(config):
        for spec in cross.slicing_specs or [None]:
            if not any(_compares(other, cross.baseline_spec, spec) for other in config.cross_slicing_specs):
                raise InputError(
                    f"{file}: a threshold of {name!r} is on {cross_name(cross)}, which no cross_slicing_specs asks "
                    "for; add the same cross_slicing_specs beside slicing_specs"
                )


def _check_measured(where: str, spec: config_pb2.SlicingSpec, measured: Iterable[config_pb2.SlicingSpec]) -> None:
    if spec.slice_keys_sql or any(_covers(other, spec) for other in measured):
        return
    wanted = "".join(f' feature_keys: "{key}"' for key in sorted({*spec.feature_keys, *spec.feature_values}))
    raise InputError(
        f"{where} is on the slice {slice_spec_name(spec)}, which no slicing_specs asks for; "
        f"add slicing_specs {{{wanted} }}"
    )


def _covers(measured: config_pb2.SlicingSpec, wanted: config_pb2.SlicingSpec) -> bool:
    """Whether slices of one spec can be slices of the other."""
    if {*measured.feature_keys, *measured.feature_values} != {*wanted.feature_keys, *wanted.feature_values}:
        return False
    shared = set(measured.feature_values) & set(wanted.feature_values)
    return all(measured.feature_values[key] == wanted.feature_values[key] for key in shared)


def _compares(
    cross: config_pb2.CrossSlicingSpec, baseline: config_pb2.SlicingSpec, other: config_pb2.SlicingSpec | None
) -> bool:
    """Whether a pair is among those of a spec; without the other slice, whether all pairs of the baseline are."""
    if not _covers(cross.baseline_spec, baseline):
        return False
    return not cross.slicing_specs or (other is not None and any(_covers(spec, other) for spec in cross.slicing_specs))


def slice_spec_name(spec: config_pb2.SlicingSpec) -> str:
    """A slicing spec as people read it."""
    parts = [f"{name}={value}" for name, value in sorted(spec.feature_values.items())]
    return ", ".join([*parts, *(f"{name}=*" for name in spec.feature_keys)]) or spec.slice_keys_sql or "overall"


def cross_name(spec: config_pb2.CrossSlicingSpec) -> str:
    """A spec of pairs of slices as people read it."""
    others = ", ".join(map(slice_spec_name, spec.slicing_specs)) or "every other slice"
    return f"{slice_spec_name(spec.baseline_spec)} against {others}"


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
        alone = with_baseline(config, False)
        computed = metric_specs.to_computations(list(alone.metrics_specs), eval_config=alone)
    except StageError:
        raise
    except Exception as error:
        raise InputError(f"{file}: a metric cannot be made: {error}") from None
    _check_names(file, alone)
    _check_bounds(file, config)
    measured = {key for computation in computed for key in computation.keys}
    for key, written, metric in metric_specs.keys_and_metrics_from_specs(alone, alone.metrics_specs):
        if isinstance(metric, interval.LowerBound | interval.UpperBound):
            of = key._replace(name=metric.kwargs["metric"])
            beside = {other.name for other in measured if other._replace(name=of.name) == of}
            names = sorted(name for name in beside if not name.startswith("_") and name != key.name)
            _known(file, f"{written.class_name}'s metric", of.name, names, "metric of its metrics_specs")
        several = _json(written.config or "{}").get("thresholds")
        if isinstance(metric, tfma_metrics.ConfusionMatrixMetric) and isinstance(several, list) and len(several) > 1:
            raise InputError(
                f"{file}: metric {written.class_name!r} has {len(several)} thresholds, and would have as many values; "
                "give each a metric with one, and a name"
            )


def _check_names(file: str, config: config_pb2.EvalConfig) -> None:
    """Of two metrics of one name TFMA computes one, and holds the thresholds of both against it."""
    known: dict[metric_types.MetricKey, tuple[Any, ...]] = {}
    for spec in config.metrics_specs:
        averaged = (spec.binarize.SerializeToString(deterministic=True),) if spec.HasField("aggregate") else ()
        options = (spec.aggregate.SerializeToString(deterministic=True), *averaged, spec.query_key)
        for key, metric, _ in metric_specs.keys_and_metrics_from_specs(config, [spec]):
            this = (metric.class_name, metric.module, _json(metric.config), *options)
            if known.setdefault(key, this) != this:
                raise InputError(
                    f"{file}: two different metrics are called {key.name!r} ({known[key][0]} and {metric.class_name}); "
                    f'give one of them another name: config: \'"name": "…"\''
                )


def _check_bounds(file: str, config: config_pb2.EvalConfig) -> None:
    """A bound that is no number holds or fails whatever the value is."""
    found = metric_specs.metric_thresholds_from_metrics_specs(config.metrics_specs, eval_config=config)
    for key, entries in found.items():
        for _, threshold in entries:
            for field, bound in threshold.ListFields():
                if field.message_type and math.isnan(bound.value):
                    raise InputError(f"{file}: the {field.name} of a threshold of {key.name!r} is NaN; give a number")


def _check_json(where: str, text: str) -> None:
    # TFMA lets the braces be left out.
    try:
        _json(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: its config is not JSON: {error}") from None


def _json(text: str) -> Any:
    return json.loads(text if text.lstrip().startswith("{") else "{" + text + "}")


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
