"""Measures the candidate with TensorFlow Model Analysis, compares it with the baseline, and blesses it or not."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.proto import config_pb2

from components.evaluate.computation import batches, class_names, fitting, local
from components.evaluate.computation import on_beam as analysis
from components.evaluate.computation.counts import Counts, rows_with_nan
from components.evaluate.computation.result_files import load, load_validation
from components.evaluate.computation.results import Results, candidate_name, metric_name
from components.evaluate.configuration import checks, reading
from components.evaluate.configuration.saved_model import SavedModelFacts
from components.evaluate.metrics import regression, segmentation
from components.evaluate.page import gallery, page
from components.evaluate.verdict.verdict import Verdict, judge, sets_thresholds
from components.runtime.data.storage import shown
from components.runtime.errors import InputError, classify
from components.runtime.publish import serving
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
from components.runtime.stage.progress import report as progress

_MAX_ROC_POINTS = 100
_LARGEST_CLASSES = 16 << 10
"""Letters that the list of classes may have in the metadata, which KFP hands on in one argument."""


def evaluate(
    examples: InputArtifact,
    model: InputArtifact,
    baseline_model: InputArtifact,
    schema: InputArtifact,
    eval_config_file: str,
    example_splits: list[str],
    beam_options: list[str],
    require_thresholds: bool,
    evaluation: OutputArtifact,
    blessing: OutputArtifact,
    metrics: OutputArtifact,
    classification: OutputArtifact,
    report: OutputArtifact,
) -> dict[str, Any]:
    """Evaluates and decides.

    Args:
      examples: raw tf.Examples in splits.
      model: the candidate, `Format-Serving/`.
      baseline_model: the same of the baseline; an empty artifact where there is none.
      schema: `schema.pbtxt` of the raw examples.
      eval_config_file: `tensorflow_model_analysis.EvalConfig` as text.
      example_splits: names of the splits to evaluate on.
      beam_options: Beam's command line options.
      require_thresholds: whether a configuration without any threshold is refused.
      evaluation: gets TFMA's result directory.
      blessing: gets `BLESSED` or `NOT_BLESSED`, and `blessing.json`.
      metrics: gets the metrics over all examples, and the names of classes, as metadata.
      classification: gets ROC curve and confusion matrix as metadata.
      report: gets the page.

    Returns:
      `blessed`.

    Raises:
      InputError: configuration, model, schema and examples do not fit together.
    """
    written = regression.with_plots(reading.read_config(eval_config_file))
    read_schema = reading.read_schema(schema.path)
    candidate = SavedModelFacts(serving.saved_model(model))
    baseline = None if baseline_model.is_empty else SavedModelFacts(serving.saved_model(baseline_model))
    files = _files(examples, example_splits)
    checks.check(eval_config_file, written, candidate, baseline, read_schema)
    config = reading.with_baseline(written, baseline is not None)
    if require_thresholds and not sets_thresholds(reading.with_baseline(written, True)):
        raise InputError(
            f"{shown(eval_config_file)}: no threshold is set, so that every model would be blessed; give a metric a "
            "threshold, or set require_thresholds to false"
        )
    progress(f"evaluating on {', '.join(example_splits)}" + ("" if baseline else ", no baseline"))

    models = {"": candidate}
    if baseline is not None:
        models = {constants.CANDIDATE_KEY: candidate, constants.BASELINE_KEY: baseline}
    location = ", ".join(example_splits)

    def analyse(asked: config_pb2.EvalConfig) -> Counts:
        folders = {name: facts.folder for name, facts in models.items()}
        try:
            if not beam_options and local.can(asked, models, read_schema):
                return local.analyse(files, location, asked, folders, read_schema, evaluation.directory())
            progress("evaluating with Beam")
            rows = _batch_rows(files, asked, models)
            return analysis.analyse(
                files, location, asked, folders, read_schema, evaluation.directory(), beam_options, rows
            )
        except Exception as error:
            _check_labels(_unlabelled(files, asked, models), config, models)
            _check_weights(files, asked, models, read_schema)
            raise _explained(error, eval_config_file) from error

    _try_metrics(eval_config_file, files, config, models, read_schema)
    fault = ""
    try:
        counts = analyse(config)
    except PredictsNaN:
        # The metrics that cannot take NaN are given up, the rows are still counted.
        counts = analyse(reading.with_baseline(reading.counts_only(written), baseline is not None))
        fault = "a prediction is NaN: train the model again, or look at the baseline"
    _check_labels(counts, config, models)
    configured = segmentation.class_names(config)
    names = {
        name: configured or _class_names(files, config, name, facts, read_schema) for name, facts in models.items()
    }
    results = load(evaluation.path, counts, names[candidate_name(names)], names.get(constants.BASELINE_KEY, []))
    _check_rows(examples, example_splits, counts.rows)
    unapplied = None if baseline else reading.with_baseline(written, True)
    verdict = judge(results, config, unapplied, load_validation(evaluation.path), _nan_fault(counts) or fault)
    _write_blessing(blessing, verdict, _digest(model), "" if baseline is None else _digest(baseline_model))
    _write_metrics(metrics, results)
    _write_classes(metrics, names[candidate_name(names)])
    _write_classification(classification, results)
    facts = {"Rows": counts.rows, "Splits": location, "Slices": len(results.slices)}
    pictures = _pictures(files, config, models, results)
    report.path.write_text(page.render(results, verdict, facts, pictures, _label(config, models)), encoding="utf-8")
    evaluation.metadata |= {"rows": counts.rows, "slices": len(results.slices)}
    progress(f"{'blessed' if verdict.blessed else 'not blessed'}: {verdict.reason}")
    return {"blessed": verdict.blessed}


class PredictsNaN(InputError):
    """A metric has met a prediction that is not a number."""


def _nan_fault(counts: Counts) -> str:
    """Why a model that predicts NaN is not blessed; empty where none does."""
    for name, count in counts.not_a_number.items():
        if count:
            of_rows = f"for {count} of {counts.rows} examples"
            if name == constants.BASELINE_KEY:
                return (
                    f"the baseline predicts NaN {of_rows}, so nothing can be compared with it: take it out of service"
                )
            return (
                f"the model predicts NaN {of_rows}: train it again with a lower learning rate, and look at its inputs"
            )
    return ""


def _files(examples: InputArtifact, splits: list[str]) -> list[str]:
    if not splits:
        raise InputError("example_splits is empty: name the splits to evaluate on, such as eval")
    files: list[str] = []
    for split in splits:
        found = sorted(str(path) for path in examples.split(split).glob("*.gz"))
        if not any(True for file in found for _ in _first_record(file)):
            raise InputError(
                f"{examples.name}: the split {split!r} is empty, there is nothing to evaluate on; "
                "change the splits of ingest"
            )
        files += found
    return files


def _check_rows(examples: InputArtifact, splits: list[str], read: int) -> None:
    """TensorFlow takes a compressed file that was cut off between two records for a whole one."""
    written = [examples.metadata.get(f"rows_{split}") for split in splits]
    expected = sum(int(count) for count in written if count is not None)
    if None not in written and read != expected:
        raise InputError(
            f"{examples.name}: an examples file is damaged: {read} of {expected} examples could be read; "
            "run ingest again"
        )


def _check_labels(counts: Counts, config: config_pb2.EvalConfig, models: Iterable[str]) -> None:
    """TFMA leaves such examples out of some metrics, counts them as a class in others, and fails in the rest."""
    if counts.unlabelled:
        raise InputError(
            f"{_labels(config, models)} is NaN in {counts.unlabelled} of {counts.rows} examples, which says "
            "nothing of a model: fill it in or leave these rows out before ingest"
        )


def _unlabelled(files: list[str], config: config_pb2.EvalConfig, models: dict[str, SavedModelFacts]) -> Counts:
    """Counts examples without a label, where the models run in this process."""
    specs = {spec.name: spec for spec in config.model_specs}
    counts = Counts()
    if all(batches.runs(specs[name], facts) for name, facts in models.items()):
        loaded = [batches.Model(facts.folder, specs[name]) for name, facts in models.items()]
        for examples in batches.serialised(files, loaded):
            counts.rows += len(examples)
            counts.unlabelled += rows_with_nan(*(model.labels(examples) for model in loaded))
    return counts


def _check_weights(
    files: list[str],
    config: config_pb2.EvalConfig,
    models: dict[str, SavedModelFacts],
    schema: schema_pb2.Schema,
) -> None:
    """An example without its weight fails in whatever metric comes first."""
    for spec in config.model_specs:
        transformed = models[spec.name].transformed(spec.preprocessing_function_names) or set()
        keys = {key for key in (spec.example_weight_key, *spec.example_weight_keys.values()) if key} - transformed
        for key in sorted(keys & {feature.name for feature in schema.feature}):
            rows = lacking = 0
            for record in tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator():
                feature = tf.train.Example.FromString(record).features.feature
                rows += 1
                lacking += key not in feature or feature[key].WhichOneof("kind") is None or not _size(feature[key])
            if lacking:
                raise InputError(
                    f"the example weight {key!r} is missing in {lacking} of {rows} examples: fill it in or leave these "
                    "rows out before ingest"
                )


def _size(feature: tf.train.Feature) -> int:
    return len(getattr(feature, feature.WhichOneof("kind")).value)


def _first_record(file: str) -> Any:
    try:
        return list(tf.data.TFRecordDataset(file, compression_type="GZIP").take(1))
    except tf.errors.OpError as error:
        raise InputError(f"{file}: not a gzip TFRecord ({fitting.reason(error)}); run ingest again") from None


def _try_metrics(
    file: str,
    files: list[str],
    config: config_pb2.EvalConfig,
    models: dict[str, SavedModelFacts],
    schema: schema_pb2.Schema,
) -> None:
    """Tells a metric that does not fit before all examples are read, where the models run in this process."""
    specs = {spec.name: spec for spec in config.model_specs}
    if not all(batches.runs(specs[name], facts) for name, facts in models.items()):
        return
    loaded = {name: batches.Model(facts.folder, specs[name]) for name, facts in models.items()}
    try:
        first = next(iter(batches.serialised(files, loaded.values()).take(1)))[: fitting.ROWS]
        rows = {name: batches.answers(name, model, first)[:2] for name, model in loaded.items()}
    except Exception as error:
        raise _explained(error, file) from error
    # What is not a number is told when all examples were counted.
    if not any(rows_with_nan(*pair) for pair in rows.values()):
        fitting.check(shown(file), config, rows, schema)


def _batch_rows(files: list[str], config: config_pb2.EvalConfig, models: dict[str, SavedModelFacts]) -> int | None:
    """How many examples may be evaluated at once, where that can be told; Beam knows nothing of their size."""
    specs = {spec.name: spec for spec in config.model_specs}
    if not all(batches.fits(specs[name], facts) for name, facts in models.items()):
        return None
    loaded = [batches.Model(facts.folder, specs[name]) for name, facts in models.items()]
    return batches.batch_rows(files, loaded)


def _pictures(
    files: list[str],
    config: config_pb2.EvalConfig,
    models: dict[str, SavedModelFacts],
    results: Results,
) -> list[gallery.Picture]:
    """Examples to show, where pixels were counted by class."""
    name = candidate_name(models)
    spec = next(spec for spec in config.model_specs if spec.name == name)
    counted = results.plots.get(name)
    if counted is None or not counted.pixels or not batches.fits(spec, models[name]):
        return []
    progress("choosing images for the report")
    return gallery.choose(files, batches.Model(models[name].folder, spec))


def _label(config: config_pb2.EvalConfig, models: Iterable[str]) -> str:
    """The feature that is the candidate's label; empty where it has several."""
    return next(spec.label_key for spec in config.model_specs if spec.name == candidate_name(models))


def _labels(config: config_pb2.EvalConfig, models: Iterable[str]) -> str:
    """The candidate's labels, for a message."""
    spec = next(spec for spec in config.model_specs if spec.name == candidate_name(models))
    several = sorted({*spec.label_keys.values()})
    return f"one of the labels {', '.join(map(repr, several))}" if several else f"the label {spec.label_key!r}"


def _class_names(
    files: list[str],
    config: config_pb2.EvalConfig,
    name: str,
    facts: SavedModelFacts,
    schema: schema_pb2.Schema,
) -> list[str]:
    """Names of a model's classes by number, where its preprocessing tells them."""
    spec = next(spec for spec in config.model_specs if spec.name == name)
    return class_names.find(files, batches.Model(facts.folder, spec), schema) if batches.fits(spec, facts) else []


def _explained(error: Exception, file: str) -> Exception:
    """What of the user's an error in TFMA comes from, where that can be told."""
    if classify(error) is not None:
        return error
    text = str(error)
    if "Not a valid TFRecord" in text or isinstance(error, tf.errors.DataLossError):
        return InputError(f"an examples file is damaged: {fitting.reason(error)}; run ingest again")
    if "add_input failed on" in text:
        cause = error.__cause__ or error
        # Beam tells the inputs, and not the cause.
        if "float NaN" in str(cause) or re.search(r"\bnan\b", text):
            return PredictsNaN("a model predicts NaN, which these metrics cannot take")
        return InputError(
            f"{file}: a metric does not fit the labels or predictions of the model ({fitting.reason(error)}); "
            "docs/metrics.md says which metric suits which task"
        )
    if isinstance(error, tf.errors.InvalidArgumentError):
        return InputError(f"the model cannot read the examples: {fitting.reason(error)}")
    return error


def _digest(model: InputArtifact) -> str:
    return serving.model_digest(serving.saved_model_files(model))


def _write_blessing(blessing: OutputArtifact, verdict: Verdict, digest: str, baseline_digest: str) -> None:
    folder = blessing.directory()
    (folder / ("BLESSED" if verdict.blessed else "NOT_BLESSED")).touch()
    document = {
        "blessed": verdict.blessed,
        "baseline": verdict.baseline,
        "reason": verdict.reason,
        "model_digest": digest,
        # Push holds it against what is in service by then.
        "baseline_digest": baseline_digest,
        "thresholds": [outcome.as_json() for outcome in verdict.outcomes],
    }
    (folder / "blessing.json").write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    blessing.metadata |= {"blessed": verdict.blessed, "baseline": verdict.baseline, "reason": verdict.reason}


def _write_metrics(metrics: OutputArtifact, results: Results) -> None:
    name = candidate_name(key.model_name for key in results.overall.values)
    missing = []
    for key, value in results.overall.values.items():
        if key.model_name == name and not key.is_diff:
            if math.isfinite(value):
                metrics.metadata[metric_name(key)] = value
                for end, bound in zip(("low", "high"), results.overall.intervals.get(key, ()), strict=False):
                    if math.isfinite(bound):
                        metrics.metadata[f"{metric_name(key)} 95% {end}"] = bound
            else:
                missing.append(metric_name(key))
    if missing:
        metrics.metadata["not_a_number"] = ", ".join(sorted(missing))
        progress(f"not a number and left out of the metrics: {metrics.metadata['not_a_number']}")


def _write_classes(metrics: OutputArtifact, names: list[str]) -> None:
    """Names of the candidate's classes by number, for what is said of the model wherever it is published."""
    told = any(name != str(number) for number, name in enumerate(names))
    if told and len(json.dumps(names)) <= _LARGEST_CLASSES:
        metrics.metadata["classes"] = names


def _write_classification(classification: OutputArtifact, results: Results) -> None:
    """Fills in the form that `kfp.dsl.ClassificationMetrics` keeps in its metadata."""
    plots = results.plots.get(candidate_name(results.plots))
    if plots is None:
        return
    curve = plots.roc()
    step = max(1, math.ceil(len(curve) / _MAX_ROC_POINTS))
    # The last point is the corner (1, 1), without which the curve would look cut off.
    points = curve[::step] + (curve[-1:] if (len(curve) - 1) % step else [])
    if points:
        classification.metadata["confidenceMetrics"] = [
            {"confidenceThreshold": threshold, "recall": recall, "falsePositiveRate": rate}
            for threshold, rate, recall in points
        ]
    matrix = plots.matrix()
    if matrix is not None:
        names, rows = matrix
        classification.metadata["confusionMatrix"] = {
            "annotationSpecs": [{"displayName": name} for name in names],
            "rows": [{"row": row} for row in rows],
        }
