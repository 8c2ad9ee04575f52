"""The bulk_infer stage: a model answers every row. What can be refused at once is, before TensorFlow is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.bulk_infer.columns import check
from components.runtime.data import validity
from components.runtime.errors import InputError, did_you_mean
from components.runtime.publish import blessing as blessings
from components.runtime.publish import serving
from components.runtime.stage import imports
from components.runtime.stage import report as pages
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
from components.runtime.stage.progress import report as progress

FORMATS = ("parquet", "csv", "tfrecord")
_MOST_SAMPLE_ROWS = 100


def bulk_infer(
    examples: InputArtifact,
    model: InputArtifact,
    blessing: InputArtifact | None,
    anomalies: InputArtifact | None,
    example_splits: list[str],
    output_format: str,
    columns: list[str],
    signature: str,
    batch_size: int,
    sample_rows: int,
    beam_options: list[str],
    predictions: OutputArtifact,
    metrics: OutputArtifact,
    report: OutputArtifact,
) -> dict[str, Any]:
    """Answers every row, in order.

    Args:
      examples: raw tf.Examples in splits.
      model: `Format-Serving/` with a SavedModel.
      blessing: of evaluate, or of a stage behind it; None for a model that was pushed, and so is blessed.
      anomalies: what validate found; None for data that nobody validates.
      example_splits: names of the splits to answer; all where there are none.
      output_format: `parquet`, `csv` or `tfrecord`.
      columns: of the data, kept beside the predictions; `*` stands for all that are numbers or text.
      signature: of the model; empty for what a server answers.
      batch_size: rows that are asked at once; 0 for as many as memory has room for.
      sample_rows: how many rows of each split the page shows.
      beam_options: Beam's command line options; without, batches stream through this process.
      predictions: gets `Split-<name>/predictions-<shard>-of-<shards>.<suffix>`, a shard for each of the examples'.
      metrics: gets rows, rows a second, and what numbers the predictions are.
      report: gets the page.

    Returns:
      `rows`, which is 0 where the model is not blessed.

    Raises:
      InputError: the data is invalid or has no such split or column; the model has no such signature, or refuses a row;
        the blessing is of another model; an argument is wrong.
    """
    _check(output_format, columns, batch_size, sample_rows)
    if anomalies is not None:
        validity.check(anomalies)
    digest = serving.model_digest(serving.saved_model_files(model))
    if blessing is not None and (reason := _not_blessed(blessing, digest)):
        progress(f"nothing predicted: {reason}")
        predictions.directory()
        predictions.metadata |= {"predicted": False, "reason": reason, "rows": 0}
        report.path.write_text(_nothing(reason), encoding="utf-8")
        return {"rows": 0}
    # (Not every format's columns are told.)
    if isinstance(known := examples.metadata.get("columns"), Mapping):
        check(columns, list(known))
    with imports.quick():
        from components.bulk_infer.dataset import predict_dataset

    rows = predict_dataset(
        examples,
        model,
        digest,
        example_splits or examples.splits,
        output_format,
        columns,
        signature,
        batch_size,
        sample_rows,
        beam_options,
        predictions=predictions,
        metrics=metrics,
        report=report,
    )
    return {"rows": rows}


def _check(output_format: str, columns: list[str], batch_size: int, sample_rows: int) -> None:
    if output_format not in FORMATS:
        raise InputError(
            f"output_format is {output_format!r}{did_you_mean(output_format, FORMATS)}; "
            f"write one of {', '.join(FORMATS)}"
        )
    if wrong := [name for name in columns if not isinstance(name, str) or not name]:
        raise InputError(f"columns: {wrong[0]!r} is no name of a column")
    if batch_size < 0:
        raise InputError(f"batch_size is {batch_size}: give a number of rows, or 0 for as many as there is room for")
    if not 0 <= sample_rows <= _MOST_SAMPLE_ROWS:
        raise InputError(f"sample_rows is {sample_rows}: give a number from 0 to {_MOST_SAMPLE_ROWS}")


def _not_blessed(blessing: InputArtifact, digest: str) -> str:
    """Why a model may not answer; empty where it may."""
    found = blessings.document(blessing)
    if not blessings.is_of(found, digest):
        raise InputError("the blessing is of another model and was not used: evaluate the model that is to answer")
    return "" if found["blessed"] else f"the model is not blessed: {found['reason']}"


def _nothing(reason: str) -> str:
    return pages.page("Predictions", pages.section("Nothing predicted", pages.paragraph(reason)))
