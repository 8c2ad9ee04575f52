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
from components.runtime.text.redaction import HIDDEN, redact, refuse_credentials
from runners.commands import completion
from runners.commands.models import load_model
from runners.compiled.ir import check_launchable, documents, read
from runners.compiled.pipelines import compiled
from runners.compiled.tasks import Pipeline
from runners.history.pages import run_report
from runners.history.records import last_model
from runners.local import environments
from runners.local.containers import Containers
from runners.local.run import LocalRun
from runners.local.selection import Selection
from runners.settings.folders import MODELS, SETTINGS_FILE
from runners.settings.model import Settings
from runners.settings.parameters import PARAMETERS, check_known, split, typed
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
    shell_complete=completion.parameters,
    help=f"A parameter of the pipeline: {', '.join(PARAMETERS)}.",
)
@click.option(
    "--until",
    default="",
    metavar="TASK",
    shell_complete=completion.tasks,
    help="Stop after this task, such as validate or train.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="TASK",
    shell_complete=completion.tasks,
    help="Run only this task, on an earlier run's artifacts.",
)
@click.option(
    "--from",
    "earlier",
    default="",
    metavar="RUN",
    shell_complete=completion.runs,
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
    """Run a model's pipeline on this machine.

    MODEL is a folder of models/ by its name, or a folder anywhere by its path.
    """
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
    compiled_ir, _ = documents(ir)
    pipeline = read(compiled_ir)
    check_launchable(compiled_ir)
    arguments = pipeline.values(_given(root, settings, data, parameters, pipeline.parameters))
    selection = Selection(until, only, earlier)
    selected = selection.tasks(pipeline)
    stages = [task.stage for name, task in pipeline.tasks.items() if name in selected]
    if not docker:
        _check_environments(pipeline, selected)
    settings.check_files(stages)
    if "ingest" in stages and "data" in arguments:
        _check_data(arguments["data"], settings, named=data is not None)
    _warn_of_other_folder(root, settings)
    containers = Containers(engine) if docker else None
    if not docker:
        environments.prepare(stages)
    console = Console()
    local = LocalRun(
        root=root,
        pipeline=pipeline,
        ir=ir,
        arguments=arguments,
        display=make_display(console),
        selection=selection,
        use_cache=not no_cache,
        containers=containers,
        model=settings.folder,
        given={name: f"--param {name}=" for name in split(parameters)}
        | ({"data": "--data "} if data is not None else {}),
    )
    if containers and containers.stale:
        click.echo(
            f"warning: not of this checkout's code: the images of {', '.join(containers.stale)}; "
            "`make images` builds them anew",
            err=True,
        )
    for note in local.earlier.notes.values():
        click.echo(f"warning: {note}", err=True)
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
    # Where the data is at fault, no setting of the stage that refuses it is.
    settings_file = None if local.invalid_data() else short(settings.folder / SETTINGS_FILE)
    told = summary(short(root), local.record, executions, settings=settings_file, width=width)
    console.print(told, soft_wrap=True, end="")
    sys.exit(exit_code)


def _check_environments(pipeline: Pipeline, selected: set[str]) -> None:
    """Refuses tasks that no environment of this machine can stand in for.

    Raises:
      InputError: which one.
    """
    for name, task in pipeline.tasks.items():
        if name in selected and task.foreign:
            raise InputError(
                f"task {name}: the stage {task.stage} runs in its image, {task.container['image']}, and nowhere else; "
                f"give --docker, or leave it out with --until or --only"
            )


def _module(place: str) -> str:
    """Where the model's code lies; stages run elsewhere, so a folder's path is made absolute."""
    refuse_credentials(place, f"--module {HIDDEN}", place=not os.path.exists(place))
    if not place or "://" in place:
        return place
    if not os.path.isdir(place):
        raise InputError(f"--module {place}: no such folder; give one with the files that the model's settings name")
    return os.path.abspath(place)


def _check_data(data: str, settings: Settings, *, named: bool) -> None:
    """Refuses data that is not there before a run begins; what a URI or a pattern leads to is ingest's to find.

    Of the models that come with the project, there is sample data to make.

    Args:
      data: where it is.
      settings: of the model.
      named: whether the command line says so, and not the settings or the model's own folder.
    """
    place = settings.own_data
    if data == str(place) and settings.folder.parent == MODELS and not (place.is_dir() and any(place.iterdir())):
        environments.make("sample-data", MODEL=settings.folder.name, ARGS="--if-there-is-any")
    if "://" in data or "{" in data or os.path.lexists(data):
        return
    if named:
        raise InputError(f"--data {short(Path(data))}: there is no such file or folder; name the one with your data")
    if data == str(place):
        raise InputError(f"there is no {short(place)}; put your data there, or name its place: --data FOLDER")


def _warn_of_other_folder(root: Path, settings: Settings) -> None:
    """Says where the last run of this name was of a model in another folder: they would push over each other's."""
    earlier = last_model(root, settings.pipeline_name)
    if earlier and earlier != str(settings.folder):
        click.echo(
            f"warning: the last run of {settings.pipeline_name!r} was of the model in {earlier}, this one is of "
            f"{settings.folder}: runs, artifacts and served models of both go under one name; if they are two models, "
            f"write pipeline_name into {SETTINGS_FILE}",
            err=True,
        )


def _given(
    root: Path, settings: Settings, data: str | None, parameters: tuple[str, ...], known: dict[str, Any]
) -> dict[str, Any]:
    """Values of the pipeline's parameters; local paths are made absolute because stages run elsewhere.

    Raises:
      InputError: an unknown parameter, one of another type, or an address with credentials.
    """
    given = typed(parameters, known)
    if data is not None:
        check_known("data", known, f"--data {redact(data)}")
        given["data"] = data
    serving = settings.serving_directory
    ours = {
        "data": settings.local_place(settings.data) if settings.data else str(settings.own_data),
        "serving_directory": settings.local_place(serving) if serving else str(root / "serving" / settings.folder.name),
    }
    places = [name for name in ours if name in known]
    given = {name: ours[name] for name in places} | given
    for name, value in given.items():
        where = f"--data {HIDDEN}" if name == "data" and data is not None else f"--param {name}"
        refuse_credentials(value, where, place=name in _PLACES and not os.path.exists(value))
    for name in places:
        # An unset variable of the shell would else mean the folder that one stands in.
        if not given[name].strip():
            option = "--data" if name == "data" and data is not None else f"--param {name}"
            raise InputError(f"{option} is empty; name a file or folder, or leave it out")
        if "://" not in given[name]:
            given[name] = os.path.abspath(given[name])
    return given
