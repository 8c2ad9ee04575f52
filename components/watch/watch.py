"""The watch stage: whether a version is still asked what it was trained on, and still answers as well as it did."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet
from tensorflow_metadata.proto.v0 import schema_pb2

from components.runtime.data import labels as labels_module
from components.runtime.data.comparisons import DRIFT, SKEW, Base
from components.runtime.data.labels import label_of
from components.runtime.data.schema_columns import BYTES, FLOAT, Column
from components.runtime.data.statistics import Statistics
from components.runtime.errors import InputError
from components.runtime.records import prediction_log
from components.runtime.records.prediction_log import TIME
from components.runtime.stage import progress
from components.runtime.stage.artifacts import OutputArtifact, local_path
from components.watch import quality, verdict
from components.watch.answers import of_predictions, schema_of
from components.watch.distances import PREDICTION, Comparison, Distance, Thresholds
from components.watch.page import watch_page
from components.watch.served import Served, find
from components.watch.verdict import Looked
from components.watch.windows import Window, periods, read

FILE = "watch.json"
MARK = "WATCHED_"
_OLDEST = "it is the oldest window with enough rows, and answers are compared with those of that"


def watch(
    log: str,
    destination: str,
    version: int,
    every: str,
    windows: int,
    until: str,
    threshold: float,
    thresholds: dict[str, Any],
    worse_by: dict[str, Any],
    positive: dict[str, Any],
    slices: list[str],
    mask_values: list[int],
    min_rows: int,
    min_labels: int,
    watched: OutputArtifact,
    metrics: OutputArtifact,
    report: OutputArtifact,
) -> dict[str, Any]:
    """Compares the windows of a log with the data that a version was trained on, and with its metrics at blessing.

    Args:
      log: folder of the prediction log.
      destination: the serving directory.
      version: that is watched; 0 for the one in service. Rows that others answered are passed over.
      every: length of a window.
      windows: how many.
      until: end of the last one; now where empty.
      threshold: of features and outputs that the schema sets none for.
      thresholds: of single ones.
      worse_by: what a metric may lose.
      positive: which labels are positive; empty where labels are what the model answers.
      slices: features by whose values metrics are told besides.
      mask_values: what stands in a mask for each class, by its number, where labels are masks; else empty.
      min_rows: of a window that is judged by its distances.
      min_labels: of one that is judged by its metrics.
      watched: gets `watch.json` and the mark of the verdict.
      metrics: get those of the newest window with enough labels.
      report: gets the page.

    Returns:
      `drifted`.

    Raises:
      InputError: there is no log, it is of another model, the version does not tell what it was trained on, or a
        parameter is wrong.
    """
    times = periods(every, windows, until)
    for name, number, least in (("min_rows", min_rows, 1), ("min_labels", min_labels, 2), ("version", version, 0)):
        if number < least:
            raise InputError(f"{name}: expected {least} or more, not {number}")
    quality.check(worse_by, positive)
    bounds = Thresholds(threshold, thresholds)
    served = find(destination, version)
    folder = _log(log)
    logged = _logged(folder, log, served, times[0][0], times[-1][1])
    schema = _of(served.schema, logged)
    label = label_of(served.columns, logged | {*_redacted(folder)})
    # What is to be more than something is a number, whatever the data has there.
    if positive and (label is None or label.type != FLOAT):
        label = Column("label", FLOAT)
    if mask_values:
        label = replace(label or Column("mask", BYTES), is_image=True)
    labels = _labels(folder, label, times[0][0])
    kept = [*slices, *([str(positive["of"])] if positive.get("of") else [])]
    for name in kept:
        if name not in logged:
            raise InputError(f"{name!r} is no feature in the log; there are {', '.join(sorted(logged))}")
    # (KFP hands integers over as JSON numbers with a fraction of zero.)
    classes = [int(value) for value in mask_values]
    compared = Comparison.of(schema, served.statistics, bounds, min_rows)
    with progress.counting(None, "rows", "reading the log"):
        read_windows = read(
            folder, times, served.number, compared.schema, prediction_log.Labels(labels.table), kept, classes
        )
    looked = _looked(read_windows, compared, served, bounds, positive, min_labels)
    known = verdict.levels(served.metrics, worse_by)
    decided = verdict.decide(
        looked, known, version=served.number, min_rows=min_rows, min_labels=min_labels, wrong=len(labels.wrong)
    )
    sliced = _slices(read_windows, decided.metrics, slices, positive, min_labels)
    about = {
        "version": served.number,
        "every": every,
        "trained_on": {"rows": served.statistics.datasets[0].num_examples, "split": served.split},
        "not_logged": sorted({each.name for each in served.schema.feature} - logged),
        "min_rows": min_rows,
        "min_labels": min_labels,
        "labels_left_out": {"count": len(labels.wrong), "example": labels.example},
    }
    content = verdict.document(decided, looked, known, sliced, about)
    (watched.directory() / FILE).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    (watched.path / f"{MARK}{decided.state.upper()}").touch()
    watched.metadata |= {"state": decided.state, "reason": decided.reason, "version": served.number}
    watched.metadata["model_digest"] = served.model_digest
    watched.metadata["rows"] = sum(each.rows for each in looked)
    if decided.metrics is not None:
        metrics.metadata |= {each.name: each.value for each in looked[decided.metrics].metrics}
        metrics.metadata["labels"] = looked[decided.metrics].labels
    report.path.write_text(watch_page(content, decided, looked, known, sliced), encoding="utf-8")
    if len(labels.wrong):
        progress.report(f"warning: {verdict.left_out(len(labels.wrong), labels.example)}")
    progress.report(f"{decided.state}: {decided.reason}")
    return {"drifted": decided.state == verdict.DRIFTED}


def _log(log: str) -> Path:
    folder = local_path(log)
    if not folder.is_dir():
        raise InputError(f"log {log}: no such folder; a server that logs its predictions makes it")
    # (The server makes the folder when it starts, and labels may have come.)
    if not any(each.name[:1] not in "._" and each.name != "labels" for each in folder.iterdir()):
        raise InputError(
            f"log {log}: nothing was asked of it yet that a server logged, which is a tenth of the requests unless "
            "--log-share or serving.log.share says another share"
        )
    if not prediction_log.files(folder):
        raise InputError(f"log {log}: holds no predictions, which are date=YYYY-MM-DD/*.parquet; name a model's log")
    return folder


def _logged(folder: Path, log: str, served: Served, since: datetime, until: datetime) -> set[str]:
    """The features that the log has.

    Raises:
      InputError: none of them is one of the version's.
    """
    names: set[str] = set()
    for file in prediction_log.files(folder, since, until) or prediction_log.files(folder)[-1:]:
        # (One that is removed meanwhile is gone; of one that is damaged, its reader tells.)
        with contextlib.suppress(OSError, pa.ArrowException):
            kind = parquet.read_schema(file).field("features").type
            names |= {field.name for field in kind} if pa.types.is_struct(kind) else set()
    known = {each.name for each in served.schema.feature}
    if not names & known:
        raise InputError(
            f"log {log}: it is of another model: none of its features ({_some(names)}) is one of version "
            f"{served.number} ({_some(known)})"
        )
    return names & known


def _redacted(folder: Path) -> Collection[str]:
    """What the log leaves out."""
    batch = next(prediction_log.read(folder), None)
    return prediction_log.redacted(batch) if batch is not None else ()


def _labels(folder: Path, label: Column | None, since: datetime) -> labels_module.Read:
    """The labels that are the model's, and of those that came from a time on the others, for they may be of a window.

    Args:
      folder: the log.
      label: what a label has to be; where nobody knows, labels stay as they are.
      since: that time.
    """
    found = prediction_log.read_labels(folder, since)
    # (A class may go by its number, and be one that was not there when the model was trained.)
    if label is None or (label.type == BYTES and not label.is_image):
        return labels_module.Read(found, found.slice(0, 0), "")
    told = labels_module.read(found, label)
    late = labels_module.read(found.filter(pc.greater_equal(found.column("time"), pa.scalar(since, TIME))), label)
    return labels_module.Read(told.table, late.wrong, late.example)


def _some(names: set[str], most: int = 4) -> str:
    first = sorted(names)[:most]
    return ", ".join(first) + (", …" if len(names) > most else "") or "it has none"


def _of(schema: schema_pb2.Schema, names: set[str]) -> schema_pb2.Schema:
    result = schema_pb2.Schema()
    result.CopyFrom(schema)
    del result.feature[:]
    result.feature.extend(each for each in schema.feature if each.name in names)
    return result


def _looked(
    windows: Sequence[Window],
    compared: Comparison,
    served: Served,
    bounds: Thresholds,
    positive: Mapping[str, Any],
    min_labels: int,
) -> list[Looked]:
    """What is found in each window, in the order of time."""
    min_rows = compared.fewest
    enough = [each for each in windows if each.rows >= min_rows]
    outputs = schema_of(enough[0].predictions) if enough and enough[0].predictions else schema_pb2.Schema()
    names = [each.name for each in compared.schema.feature]
    bounds.check([*names, *(f"{PREDICTION}{each.name}" for each in outputs.feature)])
    answers = Comparison.of(outputs, enough[0].predictions, bounds, min_rows, PREDICTION) if outputs.feature else None
    training = Base("what it was trained on", served.statistics)
    made: list[Looked] = []
    before: Window | None = None
    for window in windows:
        found: list[Distance] = []
        if window.rows >= min_rows:
            if window.features:
                bases = {SKEW: training} | _base(before and before.features, "the window before")
                found += compared.measure(window.features, bases)
            if window.predictions and answers:
                bases = _base(before and before.predictions, "the window before")
                if window is not enough[0]:
                    bases |= {SKEW: Base("the oldest window", enough[0].predictions)}
                found += answers.measure(window.predictions, bases) if bases else answers.unmeasured(SKEW, _OLDEST)
            before = window
        rated, why = _rated(window, positive, min_labels)
        shown = of_predictions(window.predictions) if window.rows >= min_rows and window.predictions else {}
        made.append(Looked(window.since, window.until, window.rows, window.labels, found, rated, shown, why))
    return made


def _rated(window: Window, positive: Mapping[str, Any], min_labels: int) -> tuple[list[quality.Metric], str]:
    """The metrics of a window with labels enough; or why it has none in spite of these."""
    if window.answered is None or window.labels < min_labels:
        return [], ""
    found = quality.measured(window.answered, positive)
    count = found[0].count if found else 0
    if count >= min_labels:
        return found, ""
    alike = f"of {window.labels:,} labels {count:,} can be compared with the answers"
    return [], f"{alike}: {quality.kinds(window.answered)}"


def _base(statistics: Statistics | None, name: str) -> dict[str, Base]:
    return {DRIFT: Base(name, statistics)} if statistics else {}


def _slices(
    windows: Sequence[Window], place: int | None, slices: Sequence[str], positive: Mapping[str, Any], min_labels: int
) -> dict[str, dict[str, list[quality.Metric]]]:
    """The metrics of the window that decides, by slice; none of a slice with too few labels."""
    answered = None if place is None else windows[place].answered
    if answered is None:
        return {}
    return {
        feature: {
            value: found if found and found[0].count >= min_labels else []
            for value, found in quality.by_slice(answered, feature, positive).items()
        }
        for feature in slices
    }
