"""The feedback stage: the labels that a server took, joined with what was predicted, become the next span of data.

What `./millrace feedback` does on one machine, for a log and data that lie where pods reach them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.runtime.data import labels as labels_module
from components.runtime.data.labels import typed
from components.runtime.data.schema_columns import Column
from components.runtime.errors import InputError
from components.runtime.feedback import made, spans
from components.runtime.feedback.joining import Silence, Window, duration, join
from components.runtime.feedback.spans import Spans
from components.runtime.publish import serving
from components.runtime.records import prediction_log
from components.runtime.records.facts import MODEL_OF_VERSION, counted
from components.runtime.records.prediction_log import Labels
from components.runtime.stage import progress
from components.runtime.stage.artifacts import OutputArtifact, local_path, write_whole
from components.runtime.stage.report import page, paragraph, section


def feedback(
    log: str,
    destination: str,
    data: str,
    span: OutputArtifact,
    report: OutputArtifact,
    label: str = "",
    implicit_after: str = "",
    implicit_value: str = "",
) -> dict[str, Any]:
    """Makes the next span, if there is something new.

    Args:
      log: of the model.
      destination: the serving directory.
      data: that the span is added to.
      span: gets the ids of the predictions that are in it.
      report: gets the page.
      label: the column of the label.
      implicit_after: so old predictions without a label get a value.
      implicit_value: that value.

    Returns:
      `rows`.

    Raises:
      InputError: there is no log, nobody says what the label is, or the span cannot be written.
      TransientError: another process joins labels with this log.
    """
    if bool(implicit_after) != bool(implicit_value):
        raise InputError("implicit_after and implicit_value belong together; give both or none")
    folder = local_path(log)
    if not prediction_log.files(folder):
        raise InputError(f"log {log}: no predictions are logged there; a server that logs them makes it")
    if not data:
        raise InputError("data is empty: name the folder that the span is added to")
    target = Spans.of(data)
    root = serving.serving_root(destination)
    columns, named = made.columns(root, destination, folder, label)
    silence = _silence(implicit_after, implicit_value, columns.get(named))
    model = root.name
    with spans.alone(folder):
        given = labels_module.read(prediction_log.read_labels(folder), columns.get(named))
        labels = Labels(given.table)
        with progress.counting(None, "rows", "reading the log"):
            before = [0]

            def tell(rows: int, _labelled: int) -> None:
                progress.advance(rows - before[0])
                before[0] = rows

            joined = join(folder, labels, spans.used(folder), columns, named, Window(), silence, tell)
        if len(given.wrong):
            wrong = counted(len(given.wrong), "label that the server took", "are")
            progress.report(f"warning: {wrong} left out, none of the model's; the first: {given.example}")
        if joined.ids:
            lacks = made.left_out(joined, labels, wrong=len(given.wrong))
            made.publish(target, folder, joined, named, model, lacks, span, report)
            span.metadata |= _models(root, joined.versions)
            if apart := joined.scores.one_sided():
                progress.report(f"warning: the labels are one-sided: {apart}")
            return {"rows": len(joined.ids)}
    why = f"nothing new: {_why(joined.logged, len(labels), joined.already)}, and no span is made"
    write_whole(span.directory() / "predictions.txt", "")
    span.metadata["rows"] = 0
    report.path.write_text(page(f"No span of {model}", section("Nothing new", paragraph(why))), encoding="utf-8")
    progress.report(why)
    return {"rows": 0}


def _why(logged: int, labels: int, already: int) -> str:
    if already:
        return f"{counted(already, 'prediction with labels', 'are')} in a span already"
    if not labels:
        return "the server has taken no labels"
    return f"none of {counted(logged, 'prediction')} in the log has one of {counted(labels, 'label')}"


def _models(root: Path, versions: Iterable[int]) -> dict[str, str]:
    """The digest of the model of each version that predicted, by which lineage knows it; none of one that is gone."""
    folders, found = dict(serving.numbered(root)), {}
    for number in versions:
        with contextlib.suppress(serving.DamagedError, KeyError):
            if version := serving.read_version(number, folders[number]):
                found[f"{MODEL_OF_VERSION}{number}"] = version.model_digest
    return found


def _silence(after: str, value: str, label: Column | None) -> Silence | None:
    if not after:
        return None
    try:
        return Silence(datetime.now(UTC) - duration(after), typed(value, label))
    except ValueError as error:
        raise InputError(f"implicit_after, implicit_value: {error}") from None
