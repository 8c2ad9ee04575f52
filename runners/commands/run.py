"""Runs a model's pipeline on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from components.runtime.errors import InputError, StageError, classify
from components.runtime.records import execution_record
from components.runtime.text.redaction import HIDDEN, refuse_credentials
from runners.commands import completion
from runners.commands.models import load_model
from runners.compiled.ir import documents, read
from runners.compiled.pipelines import compiled
from runners.history.pages import run_report
from runners.local import environments
from runners.local.containers import Containers
from runners.local.run import LocalRun
from runners.local.selection import Selection
from runners.settings.folders import MODELS, SETTINGS_FILE
from runners.settings.model import Settings
from runners.settings.parameters import PARAMETERS, typed
from runners.terminal.display import make_display, short, summary

_PLACES = ("data", "serving_directory")
"""Parameters that say where something lies."""


@click.command()
@click.argument("model", shell_complete=completion.models)
@click.option("--data", help="Raw data: a folder, a file, or a gs:// or s3:// URI.")
@click.option(
    "--module", default="", metavar="PLACE", help="Where the model's code lies, a folder or a gs:// or s3:// URI."
)
@click.option(
    "--param",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help=f"A parameter of the pipeline: {', '.join(PARAMETERS)}.",
)
@click.option("--until", default="", metavar="TASK", help="Stop after this task.")
@click.option("--only", multiple=True, metavar="TASK", help="Run only this task, on an earlier run's artifacts.")
@click.option(
    "--from",
    "earlier",
    default="",
    metavar="RUN",
    help="The run that --only goes on from, an id or the beginning of one; without, the newest that has the artifacts.",
)
@click.option("--no-cache", is_flag=True, help="Execute every task, whatever earlier runs left.")
@click.option("--docker", is_flag=True, help="Run every task in its image, with podman or docker.")
@click.option(
    "--engine", default="", metavar="NAME", help="podman or docker for --docker; the first that works without."
)
@click.pass_context
def run(
    context: click.Context,
    model: str,
    data: str | None,
    module: str,
    parameters: tuple[str, ...],
    until: str,
    only: tuple[str, ...],
    earlier: str,
    no_cache: bool,
    docker: bool,
    engine: str,
) -> None:
    """Run a model's pipeline on this machine."""
    root = Path(context.obj["root"]).absolute()
    if until and only:
        raise InputError("--until and --only exclude each other; give one of them")
    if earlier and not only:
        raise InputError(
            f"--from {earlier} names the run whose artifacts --only goes on from; give --only TASK as well"
        )
    if engine and not docker:
        raise InputError("--engine says what --docker runs the images with; give both")
    settings = load_model(model, _module(module))
    ir = compiled(settings)
    pipeline = read(documents(ir)[0])
    arguments = pipeline.values(_given(root, settings, data, parameters, pipeline.parameters))
    console = Console()
    containers = Containers(engine) if docker else None
    local = LocalRun(
        root=root,
        pipeline=pipeline,
        ir=ir,
        arguments=arguments,
        display=make_display(console),
        selection=Selection(until, only, earlier),
        use_cache=not no_cache,
        containers=containers,
    )
    if containers and containers.stale:
        click.echo(
            f"warning: not of this checkout's code: the images of {', '.join(containers.stale)}; "
            "`make images` builds them anew",
            err=True,
        )
    stages = [task.stage for name, task in pipeline.tasks.items() if name in local.selected]
    settings.check_files(stages)
    if "ingest" in stages:
        _check_data(arguments["data"], settings)
    if not docker and not all(environments.is_made(environments.environment_of(stage)) for stage in stages):
        environments.make("setup")
    exit_code = local.run()
    try:
        run_report.write(root, local.id)
    except (OSError, StageError) as error:
        fault = classify(error)
        if fault is None:
            raise
        console.print(f"the report could not be written: {fault}", soft_wrap=True)
    executions = {
        task["name"]: record
        for task in local.record["tasks"]
        if task["execution"] and (record := execution_record.read(root, task["execution"]))
    }
    console.print()
    width = console.width if console.is_terminal else None
    settings_file = short(settings.folder / SETTINGS_FILE)
    told = summary(short(root), local.record, executions, settings=settings_file, width=width)
    console.print(told, soft_wrap=True, end="")
    sys.exit(exit_code)


def _module(place: str) -> str:
    """Where the model's code lies; stages run elsewhere, so a folder's path is made absolute."""
    refuse_credentials(place, f"--module {HIDDEN}", place=not os.path.exists(place))
    if not place or "://" in place:
        return place
    if not os.path.isdir(place):
        raise InputError(f"--module {place}: no such folder; give one with the files that the model's settings name")
    return os.path.abspath(place)


def _check_data(data: str, settings: Settings) -> None:
    """Refuses a model's own folder of data that is not there; what a person has named is ingest's to find.

    Of the models that come with the project, there is sample data to make.
    """
    place = settings.own_data
    if data == str(place) and settings.folder.parent == MODELS and not (place.is_dir() and any(place.iterdir())):
        environments.make("sample-data", MODEL=settings.folder.name, ARGS="--if-there-is-any")
    if data == str(place) and not place.exists():
        raise InputError(f"there is no {short(place)}; put your data there, or name its place: --data FOLDER")


def _given(
    root: Path, settings: Settings, data: str | None, parameters: tuple[str, ...], known: dict[str, Any]
) -> dict[str, Any]:
    """Values of the pipeline's parameters; local paths are made absolute because stages run elsewhere.

    Raises:
      InputError: an unknown parameter, one of another type, or an address with credentials.
    """
    given = typed(parameters, known)
    if data is not None:
        given["data"] = data
    given.setdefault("data", settings.local_place(settings.data) if settings.data else str(settings.own_data))
    serving = settings.serving_directory
    given.setdefault(
        "serving_directory",
        settings.local_place(serving) if serving else str(root / "serving" / settings.folder.name),
    )
    for name, value in given.items():
        where = f"--data {HIDDEN}" if name == "data" and data is not None else f"--param {name}"
        refuse_credentials(value, where, place=name in _PLACES and not os.path.exists(value))
    for name in _PLACES:
        if "://" not in given[name]:
            given[name] = os.path.abspath(given[name])
    return given
