"""What becomes of labels that were joined: the columns that a span has, its files, and what is told of it."""

from __future__ import annotations

from pathlib import Path

from components.runtime.data.pictures import describing
from components.runtime.data.schema_columns import Column, read
from components.runtime.errors import InputError
from components.runtime.feedback import page
from components.runtime.feedback import spans as spans_module
from components.runtime.feedback.joining import Joined
from components.runtime.feedback.spans import Spans
from components.runtime.publish import serving, trained_on
from components.runtime.records import prediction_log
from components.runtime.records.facts import SPAN_BYTES, counted
from components.runtime.records.prediction_log import Labels
from components.runtime.stage import progress
from components.runtime.stage.artifacts import OutputArtifact, content_bytes, write_whole


def columns(
    folder: Path, destination: str, log: Path, named: str, curated: Path | None = None
) -> tuple[dict[str, Column], str]:
    """The columns of a model's raw data, and which of them is the label.

    Args:
      folder: of its versions; the newest that tells what it was trained on counts.
      destination: what people call that.
      log: of the model.
      named: the label as a person named it; empty where they did not.
      curated: a schema, for a model of which no version tells.

    Returns:
      the columns, none where nothing tells; and the label: the only column that the model is not given when it is
      asked, unless it was named.

    Raises:
      InputError: nobody says which column it is, or there is none of that name.
    """
    schemas = (trained_on.read(version).schema for _, version in serving.numbered(folder))
    file = next((each for each in schemas if each), None)
    if file is None and curated is not None and curated.is_file():
        file = curated
    found = read(file) if file else {}
    if named:
        if found and named not in found:
            raise InputError(f"--label {named}: the model's data has no such column; it has {', '.join(found)}")
        return found, named
    if not found:
        raise InputError(
            f"no version in {destination} tells what it was trained on; name the label's column with --label"
        )
    logged = next(prediction_log.read(log), None)
    given = set(prediction_log.features(logged)) | prediction_log.redacted(logged) if logged else set()
    known = given | describing(found)
    rest = [name for name in found if name not in known]
    if len(rest) != 1:
        which = f"one of {', '.join(rest)}" if rest else "none of its columns seems to be"
        raise InputError(f"which column is the label? name it with --label; {which}")
    return found, rest[0]


def left_out(joined: Joined, labels: Labels, *, without: int = 0, wrong: int = 0) -> dict[str, int]:
    """Counts of what is not in a span, by why.

    Args:
      joined: what is.
      labels: all that there are.
      without: how many had no id or no value.
      wrong: how many are none of the model's.
    """
    unknown = sum(each not in joined.matched for each in labels.ids)
    return {
        "labels without an id or a value": without,
        "labels that are none of the model's": wrong,
        "labels with a newer one of the same prediction": labels.superseded,
        "labels of predictions that are not in the log": unknown,
        "predictions in an earlier span": joined.already,
        "predictions whose features could not be read": joined.unread,
        "predictions logged again under the same id": joined.twice,
    }


def publish(
    target: Spans,
    log: Path,
    joined: Joined,
    label: str,
    model: str,
    lacks: dict[str, int],
    span: OutputArtifact,
    report: OutputArtifact,
    write: spans_module.Write = spans_module.write_table,
) -> tuple[int, Path]:
    """Writes the next span, and what is told of it; called with the log held.

    Args:
      target: where it goes.
      log: of the model.
      joined: with rows.
      label: its column.
      model: its name.
      lacks: counts of what is not in it, by why.
      span: gets `predictions.txt`, the ids.
      report: gets the page.
      write: puts the rows into a folder; as a table without.

    Returns:
      its number and folder.

    Raises:
      InputError: it cannot be written.
      TransientError: somebody else made the same span meanwhile.
    """
    number, folder = spans_module.publish(target, log, joined.rows, joined.ids, write)
    by_version = {f"rows_of_version_{version}": rows for version, rows in sorted(joined.versions.items())}
    span.metadata |= {"span": number, "folder": str(folder), "rows": len(joined.ids), **joined.kinds, **by_version}
    span.metadata[SPAN_BYTES] = content_bytes(folder)
    write_whole(span.directory() / "predictions.txt", "".join(f"{each}\n" for each in joined.ids))
    report.path.write_text(page.render(f"Span {number} of {model}", label, joined, lacks), encoding="utf-8")
    progress.report(f"span {number}: {counted(len(joined.ids), 'row')} in {folder}")
    return number, folder
