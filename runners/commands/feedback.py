"""`feedback`: labels that came later, joined with what was predicted, as data to train on."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from components.runtime.data.labels import typed
from components.runtime.data.schema_columns import Column
from components.runtime.errors import InputError
from components.runtime.feedback import made as shared
from components.runtime.feedback import spans
from components.runtime.feedback.joining import Joined, Silence, Window, duration, join
from components.runtime.feedback.spans import Spans
from components.runtime.records import prediction_log
from components.runtime.records.facts import counted
from components.runtime.records.prediction_log import EXPLICIT, KINDS, Labels
from runners.commands import completion
from runners.commands.local_path import LocalPath
from runners.commands.models import log_of, place_of, served_from
from runners.feedback import given_labels, making, training
from runners.feedback.given_labels import Given
from runners.feedback.images import Layout
from runners.terminal import output
from runners.terminal.output import Result
from runners.versions.place import Place

_SHOWN = 5
_MANY = 30
_NOTE_SECONDS = 5.0
_SOON = f"a running server writes within {prediction_log.SECONDS} s"


def _moment(_context: click.Context, option: click.Parameter, value: str | None) -> datetime | None:
    """A time in UTC, unless it says another zone; of a day its beginning."""
    try:
        moment = datetime.fromisoformat(value) if value is not None else None
    except ValueError:
        raise InputError(
            f"{option.opts[0]} {value}: no time such as 2026-11-30 or 2026-11-30T12:00, which are UTC"
        ) from None
    return moment.replace(tzinfo=UTC) if moment and not moment.tzinfo else moment


def _duration(_context: click.Context, option: click.Parameter, value: str | None) -> timedelta | None:
    """Days, hours or minutes."""
    try:
        return duration(value) if value is not None else None
    except ValueError as error:
        raise InputError(f"{option.opts[0]} {error}") from None


@click.command()
@click.argument("model", shell_complete=completion.models)
@click.option(
    "--labels",
    "file",
    type=LocalPath(),
    help="CSV, TSV, Parquet or JSON lines; without, the labels that the server took.",
)
@click.option("--id", "id_column", default="prediction_id", show_default=True, help="Column with the predictions' ids.")
@click.option("--label", "named", default="", help="The model's label, as its data has it; else told by its schema.")
@click.option(
    "--kind", type=click.Choice(KINDS), default=EXPLICIT, show_default=True, help="How the labels of the file came."
)
@click.option(
    "--implicit-after",
    metavar="DURATION",
    callback=_duration,
    help="So old predictions without a label get --implicit-value; such as 7d.",
)
@click.option("--implicit-value", metavar="LABEL", help="The label of what nobody acted on.")
@click.option("--log", "logs", type=LocalPath(), help="Folder of the logs, as of serve.")
@click.option("--out", help="Raw data that the span is added to; that of the model without.")
@click.option("--since", metavar="TIME", callback=_moment, help="Only predictions from this time on.")
@click.option("--until", metavar="TIME", callback=_moment, help="Only predictions before this time.")
@served_from
@click.pass_context
def feedback(
    context: click.Context,
    model: str,
    file: Path | None,
    id_column: str,
    named: str,
    kind: str,
    implicit_after: timedelta | None,
    implicit_value: str | None,
    logs: Path | None,
    out: str | None,
    since: datetime | None,
    until: datetime | None,
    directory: str,
    candidate: str,
) -> Result:
    """Make the next span of MODEL's training data: what was predicted, with the labels that came later.

    The features are those of the log that `./millrace serve --log` keeps. No prediction gets into two spans.
    """
    if (implicit_after is None) != (implicit_value is None):
        raise InputError("--implicit-after and --implicit-value belong together; give both or none")
    place = place_of(context, model, candidate, directory)
    settings = place.settings
    if settings.ingest.query and not out:
        raise InputError(
            f"the data of {model} is what ingest.query asks for, and a span is files: name a folder for it with --out, "
            "and load it into what the query asks"
        )
    log = log_of(place, logs, candidate)
    if not prediction_log.files(log):
        raise InputError(
            f"{log}: no predictions are logged there; `./millrace serve {model} --log FOLDER` logs, "
            f"--log names another; {_SOON}"
        )
    data = out or (settings.local_place(settings.data) if settings.data else str(settings.own_data))
    target = Spans.of(data)
    curated = settings.folder / (settings.schema_.schema_file or "none")
    columns, label = shared.columns(place.folder, place.destination, log, named, curated)
    layout = Layout.of(settings, columns)
    if layout:
        columns = layout.columns(columns, label)
    now = datetime.now(UTC)
    silence = None
    if implicit_after is not None:
        silence = Silence(now - implicit_after, _implicit(implicit_value, columns.get(label)))
    with spans.alone(log):
        given = (
            given_labels.of_file(file, id_column, (label, "label"), columns.get(label), kind, _reader(layout, file))
            if file
            else given_labels.of_server(log, columns.get(label))
        )
        labels = Labels(given.table)
        _refuse_nothing(file, log, given, silence)
        joined = join(log, labels, spans.used(log), columns, label, Window(since, until), silence, _progress())
        unknown = [each for each in labels.ids if each not in joined.matched]
        if labels.ids and not joined.matched and file:
            raise InputError(
                f"{file}: none of its {len(labels.ids):,} ids, such as {unknown[0]!r}, is among the "
                f"{counted(joined.logged, 'prediction')} in {log}; name the column of ids with --id, "
                f"or the log with --log; {_SOON}"
            )
        if layout and joined.ids:
            layout.check(joined.rows, joined.ids)
        document = _document(place, log, given, labels, joined, unknown)
        _warn(given, labels, joined, unknown, label)
        new_labels = making.unknown_to(log, labels, joined.matched) if file else labels.newest().slice(0, 0)
        if not joined.ids:
            making.keep(log, new_labels)
            return Result(
                document | {"span": None, "folder": None, "run": None},
                f"nothing new: {_already(joined, layout)}, and no span is written; {_SOON}",
            )
        if len(joined.ids) < training.FEW:
            output.warn(
                f"warning: the span has {counted(len(joined.ids), 'row')}, few to train on; "
                f"collect {training.FEW} or more"
            )
        left_out = shared.left_out(joined, labels, without=given.without, wrong=given.wrong[0])
        made = making.make(place, log, target, label, joined, new_labels, str(file or "the server"), left_out, layout)
    told = [
        f"span      {made.folder}, {counted(len(joined.ids), 'row')}: {_counts(joined)}",
        f"labels    of {len(joined.matched):,} of {joined.logged:,} logged predictions "
        f"({len(joined.matched) / joined.logged:.1%})",
        f"recorded  as {made.run}; ./millrace report {made.run} shows it",
        f"train     {training.command(model, settings, target, are_images=layout is not None)}",
    ]
    return Result(
        document | {"span": made.number, "folder": str(made.folder), "run": made.run}, "\n".join(told), [made.folder]
    )


def _progress() -> Callable[[int, int], None]:
    """Says now and then how far a long log is read."""
    last = time.monotonic()

    def tell(rows: int, labelled: int) -> None:
        nonlocal last
        if time.monotonic() - last > _NOTE_SECONDS:
            last = time.monotonic()
            output.note(f"{rows:,} predictions read, {labelled:,} with a label")

    return tell


def _implicit(value: str | None, label: Column | None) -> Any:
    try:
        return typed(value, label)
    except ValueError as error:
        raise InputError(f"--implicit-value: {error}") from None


def _refuse_nothing(file: Path | None, log: Path, given: Given, silence: Silence | None) -> None:
    if len(given.table) or silence is not None:
        return
    if file:
        raise InputError(f"{file}: no labels in it: of its {counted(given.without, 'row')} none has an id and a label")
    wrong, example = given.wrong
    if wrong:
        raise InputError(
            f"{log}: none of {counted(wrong, 'label')} that the server took is one of the model's: {example}"
        )
    raise InputError(f"{log}: the server has taken no labels; name a file with --labels; {_SOON}")


def _reader(layout: Layout | None, file: Path) -> Callable[[str], bytes] | None:
    """Reads masks, whose paths are relative to the file that names them; None where labels are values."""
    return layout.reader(file.parent) if layout else None


def _already(joined: Joined, layout: Layout | None) -> str:
    if joined.already:
        every = "all " if joined.already > 1 else ""
        return f"{every}{counted(joined.already, 'prediction with labels', 'are')} in a span already"
    if joined.unread and layout:
        return (
            f"of {counted(joined.unread, 'prediction with labels')} the images are not in the log, which the server "
            "keeps with --log-images; the labels are there for watch"
        )
    if joined.unread:
        return f"the features of {counted(joined.unread, 'prediction with labels')} could not be read"
    return f"none of {counted(joined.logged, 'prediction')} has a label"


def _warn(given: Given, labels: Labels, joined: Joined, unknown: list[str], label: str) -> None:
    said = []
    if given.without:
        said.append(f"{counted(given.without, 'row of the labels', 'have')} no id or no label: left out")
    if given.wrong[0]:
        said.append(
            f"{counted(given.wrong[0], 'label that the server took', 'are')} none of the model's; the first: "
            f"{given.wrong[1]}"
        )
    if labels.superseded:
        said.append(f"{counted(labels.superseded, 'label', 'are')} left out, for a newer one is of the same prediction")
    if unknown:
        some = ", ".join(unknown[:_SHOWN]) + (", …" if len(unknown) > _SHOWN else "")
        said.append(f"{counted(len(unknown), 'label', 'are')} of predictions that are not in the log: {some}")
    if joined.already and joined.ids:
        said.append(
            f"{counted(joined.already, 'prediction with labels', 'are')} in a span already, which stays as it was"
        )
    if joined.twice:
        said.append(
            f"{counted(joined.twice, 'prediction', 'were')} logged again under the same id; the last one counts"
        )
    if joined.unread and joined.ids:
        said.append(f"the features of {counted(joined.unread, 'prediction')} could not be read: left out")
    if joined.empty:
        said.append(f"without any value in the log: {', '.join(joined.empty)}")
    values = joined.rows.column(label) if joined.ids else None
    if values is not None and len(values) >= _MANY and len(values.unique()) == 1:
        said.append(f"all {len(values):,} labels are {values[0]}: nothing is learned from one answer")
    if apart := joined.scores.one_sided():
        said.append(
            f"the labels are one-sided: {apart}. A model that learns only of what it chose itself confirms itself; "
            "have some of the others labelled too (docs/feedback.md)"
        )
    for each in said:
        output.warn(f"warning: {each}")


def _counts(joined: Joined) -> str:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(joined.kinds.items()))
    versions = ", ".join(f"{count:,} by version {number}" for number, count in sorted(joined.versions.items()))
    return f"{kinds}; predicted {versions}"


def _document(
    place: Place, log: Path, given: Given, labels: Labels, joined: Joined, unknown: list[str]
) -> dict[str, Any]:
    return {
        "model": place.model,
        "log": str(log),
        "rows": len(joined.ids),
        "kinds": dict(joined.kinds),
        "versions": {str(number): count for number, count in sorted(joined.versions.items())},
        "logged": joined.logged,
        "labelled": len(joined.matched),
        "already": joined.already,
        "unknown": len(unknown),
        "superseded": labels.superseded,
        "without_label": given.without,
        "one_sided": joined.scores.one_sided() or None,
    }
