"""Measures the candidate with TensorFlow Model Analysis, compares it with the baseline, and blesses it or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.proto import config_pb2

from components.evaluate import outputs
from components.evaluate.page import gallery, page
from components.runtime.data.storage import local_file, shown
from components.runtime.errors import InputError
from components.runtime.evaluation.computation import batches, class_names, fitting, local, on_beam
from components.runtime.evaluation.computation.counts import Counts, rows_with_nan
from components.runtime.evaluation.computation.result_files import load, load_validation
from components.runtime.evaluation.computation.results import Results, candidate_name
from components.runtime.evaluation.configuration import checks, reading
from components.runtime.evaluation.configuration.names import THE_BASELINE
from components.runtime.evaluation.configuration.saved_model import SavedModelFacts
from components.runtime.evaluation.examples import check_labels, check_rows, check_weights, files_of, unlabelled
from components.runtime.evaluation.faults import PredictsNaN, explained, nan_fault
from components.runtime.evaluation.metrics import regression, segmentation
from components.runtime.evaluation.verdict.verdict import judge, sets_thresholds
from components.runtime.launch import module_code
from components.runtime.publish import serving
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact, remove
from components.runtime.stage.progress import counting
from components.runtime.stage.progress import report as progress

_WORK = ".work"


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
      blessing: gets `BLESSED` or `NOT_BLESSED`, and `blessing.json`; the names of classes as metadata.
      metrics: gets the metrics over all examples as metadata.
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
    baseline = None
    if not baseline_model.is_empty:
        remedy = f"it is {THE_BASELINE}: take it out of service"
        baseline = SavedModelFacts(serving.saved_model(baseline_model), remedy)
    files = files_of(examples, example_splits)
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
    candidate_spec = next(spec for spec in config.model_specs if spec.name == candidate_name(models))
    location = ", ".join(example_splits)

    def analyse(asked: config_pb2.EvalConfig) -> Counts:
        folders = {name: facts.folder for name, facts in models.items()}
        try:
            if not beam_options and local.can(asked, models, read_schema):
                with counting(examples.rows(*example_splits), "rows", f"evaluating on {location}"):
                    specs = {spec.name: spec for spec in asked.model_specs}
                    loaded = {name: batches.Model(folder, specs[name]) for name, folder in folders.items()}
                    return local.analyse(files, location, asked, loaded, read_schema, evaluation.directory())
            rows = _batch_rows(files, asked, models)
            with (
                counting(examples.rows(*example_splits), "rows", f"evaluating on {location} with Beam"),
                _code_of_metrics(eval_config_file, evaluation.directory() / _WORK) as code,
            ):
                return on_beam.analyse(
                    files, location, asked, folders, read_schema, evaluation.directory(), beam_options, rows, code
                )
        except Exception as error:
            check_labels(unlabelled(files, asked, models), candidate_spec)
            check_weights(files, asked, models, read_schema)
            raise explained(error, eval_config_file, files) from error

    _try_metrics(eval_config_file, files, config, models, read_schema)
    fault = ""
    try:
        counts = analyse(config)
    except PredictsNaN:
        # The metrics that cannot take NaN are given up, the rows are still counted.
        counts = analyse(reading.with_baseline(reading.counts_only(written), baseline is not None))
        fault = "a prediction is NaN: train the model again, or look at the baseline"
    check_labels(counts, candidate_spec)
    configured = segmentation.class_names(config)
    names = {
        name: configured or _class_names(files, config, name, facts, read_schema) for name, facts in models.items()
    }
    results = load(evaluation.path, counts, names[candidate_name(names)], names.get(constants.BASELINE_KEY, []))
    check_rows(examples, example_splits, counts.rows)
    unapplied = None if baseline else reading.with_baseline(written, True)
    verdict = judge(results, config, unapplied, load_validation(evaluation.path), nan_fault(counts) or fault)
    overall = outputs.overall(evaluation, results)
    metrics.metadata |= overall
    baseline_digest = "" if baseline is None else _digest(baseline_model)
    outputs.write_blessing(blessing, verdict, overall, _digest(model), baseline_digest)
    outputs.write_slices(blessing, results, candidate_spec.label_key, example_splits)
    outputs.write_classes(blessing, names[candidate_name(names)])
    outputs.write_classification(classification, results)
    facts = {"Rows": counts.rows, "Splits": location, "Slices": len(results.slices)}
    pictures = _pictures(files, candidate_spec, candidate, results)
    # (A model with several labels has no `label_key`.)
    text = page.render(results, verdict, facts, pictures, candidate_spec.label_key)
    report.path.write_text(text, encoding="utf-8")
    evaluation.metadata |= {"rows": counts.rows, "slices": len(results.slices)}
    progress(f"{'blessed' if verdict.blessed else 'not blessed'}: {verdict.reason}")
    return {"blessed": verdict.blessed}


@contextmanager
def _code_of_metrics(file: str, folder: Path) -> Iterator[Path | None]:
    """The modules of the user's own metrics, for a while where workers see them; None where there are none."""
    files = module_code.files_of_metrics(local_file(file), Path.cwd())
    module_code.put(files, folder)
    try:
        yield folder if folder.exists() else None
    finally:
        remove(folder)


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
        raise explained(error, file, files) from error
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
    files: list[str], spec: config_pb2.ModelSpec, candidate: SavedModelFacts, results: Results
) -> list[gallery.Picture]:
    """Examples to show, where pixels were counted by class."""
    counted = results.plots.get(spec.name)
    if counted is None or not counted.pixels or not batches.fits(spec, candidate):
        return []
    progress("choosing images for the report")
    return gallery.choose(files, batches.Model(candidate.folder, spec))


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


def _digest(model: InputArtifact) -> str:
    return serving.model_digest(serving.saved_model_files(model))
