"""Makes the next span of a model's training data of its log and of labels, and records that as a decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.runtime.feedback import made as shared
from components.runtime.feedback.joining import Joined
from components.runtime.feedback.spans import Spans
from components.runtime.publish import serving
from components.runtime.records import prediction_log
from components.runtime.records.prediction_log import Labels
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
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


def make(
    place: Place,
    log: Path,
    spans: Spans,
    label: str,
    joined: Joined,
    new_labels: pa.Table,
    source: str,
    left_out: Mapping[str, int],
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
        made.append(shared.publish(spans, log, joined, label, place.model, dict(left_out), span, report))

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
