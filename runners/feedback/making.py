"""Makes the next span of a model's training data of its log and of labels, and records that as a decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.runtime.data.pictures import describing
from components.runtime.data.schema_columns import Column, read
from components.runtime.errors import InputError
from components.runtime.publish import serving, trained_on
from components.runtime.records import prediction_log
from components.runtime.records.facts import counted
from components.runtime.records.prediction_log import Labels
from components.runtime.stage import progress
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact, write_whole
from runners.feedback import page
from runners.feedback import spans as spans_module
from runners.feedback.images import Layout
from runners.feedback.joining import Joined
from runners.feedback.spans import Spans
from runners.versions.decisions import decide, inputs_of
from runners.versions.listing import listing
from runners.versions.place import Place


@dataclass(frozen=True)
class Made:
    """A span that was made.

    Attributes:
      run: id of the run that records it.
    """

    number: int
    folder: Path
    run: str


def columns(place: Place, log: Path, named: str) -> tuple[dict[str, Column], str]:
    """The columns of a model's raw data, and which of them is the label.

    Args:
      place: of the model's versions; the newest that tells what it was trained on counts.
      log: of the model.
      named: the label as a person named it; empty where they did not.

    Returns:
      the columns, none where no version tells; and the label: the only column that the model is not given when it is
      asked, unless it was named.

    Raises:
      InputError: nobody says which column it is, or there is none of that name.
    """
    schemas = (trained_on.read(folder).schema for _, folder in serving.numbered(place.folder))
    file = next((each for each in schemas if each), None)
    curated = place.settings.folder / (place.settings.schema_.schema_file or "none")
    if file is None and curated.is_file():
        file = curated
    found = read(file) if file else {}
    if named:
        if found and named not in found:
            raise InputError(f"--label {named}: the model's data has no such column; it has {', '.join(found)}")
        return found, named
    if not found:
        raise InputError(
            f"no version in {place.destination} tells what it was trained on; name the label's column with --label"
        )
    logged = next(prediction_log.read(log), None)
    given = set(prediction_log.features(logged)) | prediction_log.redacted(logged) if logged else set()
    known = given | describing(found)
    rest = [name for name in found if name not in known]
    if len(rest) != 1:
        which = f"one of {', '.join(rest)}" if rest else "none of its columns seems to be"
        raise InputError(f"which column is the label? name it with --label; {which}")
    return found, rest[0]


def make(
    place: Place,
    log: Path,
    spans: Spans,
    label: str,
    joined: Joined,
    new_labels: pa.Table,
    source: str,
    left_out: Mapping[str, int],
    layout: Layout | None = None,
) -> Made:
    """Publishes what was joined, keeps the labels, and records both; called with the log held.

    Args:
      place: of the versions that predicted.
      log: of the model.
      spans: where the span goes.
      label: its column.
      joined: with rows.
      new_labels: those that the log does not have yet.
      source: where the labels came from, for people.
      left_out: counts of what is not in the span, by why, for the page.
      layout: of images; None where the span is a table.

    Raises:
      InputError: it cannot be recorded, or written.
      TransientError: somebody else made the same span meanwhile.
    """
    made: list[tuple[int, Path]] = []

    def feedback(
        destination: str,
        log_folder: str,
        labels: str,
        why: str,
        span: OutputArtifact,
        report: OutputArtifact,
        **versions: InputArtifact,
    ) -> None:
        keep(log, new_labels)
        written = [layout.write] if layout else []
        number, folder = spans_module.publish(spans, log, joined.rows, joined.ids, *written)
        made.append((number, folder))
        by_version = {f"rows_of_version_{version}": rows for version, rows in sorted(joined.versions.items())}
        span.metadata |= {"span": number, "folder": str(folder), "rows": len(joined.ids), **joined.kinds, **by_version}
        span.directory()
        write_whole(span.path / "predictions.txt", "".join(f"{each}\n" for each in joined.ids))
        report.path.write_text(
            page.render(f"Span {number} of {place.model}", label, joined, left_out), encoding="utf-8"
        )
        progress.report(f"span {number}: {counted(len(joined.ids), 'row')} in {folder}")

    decided = decide(
        place,
        feedback,
        "span",
        {"log_folder": str(log), "labels": source},
        _versions(place, joined.versions),
        has_page=True,
    )
    [(number, folder)] = made
    return Made(number, folder, decided.run)


def keep(log: Path, labels: pa.Table) -> None:
    """Adds labels to the log, for those who watch how well the model does."""
    if len(labels):
        prediction_log.write_labels(log, labels)


def unknown_to(log: Path, given: Labels, matched: set[str]) -> pa.Table:
    """Of labels of logged predictions those that the log does not have yet, the newest of each prediction."""
    known = {
        (row["prediction_id"], row["kind"], str(row["label"])) for row in prediction_log.read_labels(log).to_pylist()
    }
    newest = given.newest()
    fresh = [
        row["prediction_id"] in matched and (row["prediction_id"], row["kind"], str(row["label"])) not in known
        for row in newest.to_pylist()
    ]
    return newest.filter(pa.array(fresh, pa.bool_()))


def _versions(place: Place, predicted: Mapping[int, int]) -> dict[str, dict[str, Any]]:
    """The versions that predicted, by the name of an input; those of which nothing is known any more are left out."""
    artifacts = {each.number: each.version.artifact for each in listing(place)}
    there = dict(serving.numbered(place.folder))
    return {
        f"version_{number}": inputs_of(place, number, artifacts.get(number, ""))["version"]
        for number in sorted(predicted)
        if artifacts.get(number) or number in there
    }
