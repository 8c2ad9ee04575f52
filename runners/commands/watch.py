"""`watch`: whether a model in service is still asked what it was trained on, and still answers as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from components.runtime.errors import InputError
from components.runtime.records.facts import counted
from runners.commands import completion
from runners.commands.local_path import LocalPath
from runners.commands.models import load_model, log_of, served_from
from runners.commands.run import Ran, carried_out
from runners.compiled.pipelines import compiled
from runners.history.records import load_run
from runners.local.selection import Selection
from runners.settings import purposes
from runners.settings.model import Settings
from runners.settings.watching import Watch
from runners.terminal import output
from runners.terminal.model_lines import short
from runners.terminal.output import Result
from runners.versions import watched
from runners.versions.place import Place

EXIT_DRIFTED = 3
"""A threshold is passed, and no run was started."""


@click.command()
@click.argument("model", shell_complete=completion.models)
@served_from
@click.option("--log", "logs", type=LocalPath(), help="Folder of the logs, as of serve.")
@click.option("--version", type=click.IntRange(min=1), metavar="N", help="Of the model; the one in service without.")
@click.option("--every", metavar="LENGTH", help="Length of a window, such as 30m, 6h, 1d; as the settings say without.")
@click.option("--windows", type=click.IntRange(1, 1000), metavar="N", help="How many; as the settings say without.")
@click.option(
    "--until", default="", metavar="TIME", help="End of the last window, as 2026-11-30T06:00:00Z; now without."
)
@click.option(
    "--retrain/--tell", default=None, help="Whether drift starts a run; as watch.on_drift in the settings without."
)
@click.option("--data", metavar="FOLDER", help="Raw data of that run, with its spans; as of `run` without.")
@click.option("--spans", type=click.IntRange(min=1), metavar="N", help="That run reads the newest N of them.")
@click.pass_context
def watch(
    context: click.Context,
    model: str,
    candidate: str,
    directory: str,
    logs: Path | None,
    version: int | None,
    every: str | None,
    windows: int | None,
    until: str,
    retrain: bool | None,
    data: str | None,
    spans: int | None,
) -> Result:
    """Compare what MODEL is asked, and how it answers, with what it was trained on and how good it was.

    Exit code 3 where a threshold is passed, unless a run was started: then it is that run's.
    """
    root = Path(context.obj["root"]).absolute()
    settings = _with(load_model(model), every, windows)
    place = Place.of(root, settings, candidate, directory)
    place.numbers()
    retrains = retrain if retrain is not None else settings.watch.on_drift == "retrain"
    if (data or spans) and not retrains:
        raise InputError("--data and --spans are of the run that --retrain starts; give that too, or leave them out")
    given = {
        "log": str(log_of(place, logs, candidate)),
        "serving_directory": place.destination,
        "version": version or 0,
        "until": until,
    }
    watching = purposes.for_watching(settings)
    looked = carried_out(
        root,
        watching,
        compiled(watching),
        lambda known: {name: value for name, value in given.items() if name in known},
        lambda name: f"--{name.replace('serving_directory', 'serving-directory')} ",
        selection=Selection(),
    )
    if looked.exit_code:
        return Result(looked.document, looked.told, [looked.id], looked.exit_code, error=looked.error)
    found = watched.of_run(load_run(root, looked.id))
    if (left_out := found["labels_left_out"])["count"]:
        output.warn(
            f"warning: {counted(left_out['count'], 'label')} left out, none of the model's; "
            f"the first: {left_out['example']}"
        )
    report = root / "runs" / looked.id / "report.html"
    document = {"model": place.model, **found, "run": looked.id, "report": report, "retrained": None}

    def told() -> None:
        watched.show(found)
        output.note(f"report: {short(report)}")

    if found["state"] != watched.DRIFTED:
        return Result(document, told, [looked.id])
    if not retrains:
        return Result(document, told, [looked.id], EXIT_DRIFTED, error=str(found["reason"]))
    output.note(f"{found['state']}: {found['reason']}")
    trained = _retrained(root, settings, data, spans, place, looked.id)

    def both() -> None:
        told()
        trained.told()

    document["retrained"] = trained.id
    return Result(document, both, [trained.id], trained.exit_code, error=trained.error)


def _retrained(root: Path, settings: Settings, data: str | None, spans: int | None, place: Place, look: str) -> Ran:
    """The run that a drift starts: on the newest spans, from the model in service."""
    training = purposes.on_spans(purposes.for_retraining(settings), spans)
    window = f" on the newest {training.ingest.spans} spans" if training.ingest.spans else ""
    start = ", from the model in service" if training.train.warm_start else ""
    output.note(f"training anew{window}{start}")
    given = {"serving_directory": _serving_directory(settings, place)} | ({"data": data} if data else {})
    return carried_out(
        root,
        training,
        compiled(training),
        lambda known: {name: value for name, value in given.items() if name in known},
        lambda name: "--data " if name == "data" else "--serving-directory ",
        selection=Selection(),
        after=look,
    )


def _serving_directory(settings: Settings, place: Place) -> str:
    """The serving directory of all candidates, where each is pushed into a folder of its own in it."""
    each = settings.choose.push == "each" and settings.candidates
    return place.destination.rpartition("/")[0] if each else place.destination


def _with(settings: Settings, every: str | None, windows: int | None) -> Settings:
    """The settings with what the command line says of the windows.

    Raises:
      InputError: it is no length.
    """
    changed: dict[str, Any] = {}
    if every is not None:
        changed["every"] = every
    if windows is not None:
        changed["windows"] = windows
    if not changed:
        return settings
    try:
        watch_section = Watch.model_validate(settings.watch.model_dump(exclude_unset=True) | changed)
    except ValueError:
        raise InputError(f"--every {every}: expected a whole number and s, m, h, d or w, such as 1d") from None
    return settings.model_copy(update={"watch": watch_section})
