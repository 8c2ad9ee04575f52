"""Runs a model's pipeline on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from components.runtime.data.span_choice import LATEST, Asked
from components.runtime.errors import InputError
from components.runtime.text.redaction import HIDDEN, redact, refuse_credentials
from runners.commands import completion
from runners.commands.models import load_model
from runners.compiled.pipelines import compiled
from runners.history import as_json
from runners.history.records import load_run
from runners.local import request
from runners.local.selection import Selection
from runners.settings import purposes
from runners.settings.model import Settings
from runners.settings.parameters import PARAMETERS, check_known, typed
from runners.terminal import output
from runners.terminal.display import make_display
from runners.terminal.output import Result


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
@click.option("--span", metavar="SPAN", help="Read this span of the data: 5, 2026-11-29, 3-7, scheduled-1, latest.")
@click.option(
    "--spans",
    type=int,
    metavar="N",
    help="Read the newest N spans, up to --span; see docs/ingest.md.",
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
@click.option(
    "--bucket",
    default="",
    metavar="URI",
    help="Share runs in s3://BUCKET/FOLDER: what others made there is taken, what this one makes is sent.",
)
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
    span: str | None,
    spans: int | None,
    until: str,
    only: tuple[str, ...],
    earlier: str,
    no_cache: bool,
    bucket: str,
    docker: bool,
    engine: str,
) -> Result:
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
    named = {name: value for name, _, value in (pair.partition("=") for pair in parameters)}
    settings = load_model(model, _module(module))
    Asked(named.get("span", "")).check()
    if named.keys() & {"span", "spans"} and span is None:
        # Whoever names them says with that that the data is in spans.
        span = settings.ingest.span or LATEST
    settings = purposes.on_spans(settings, spans, span=span)
    ran = carried_out(
        root,
        settings,
        compiled(settings),
        lambda known: _given(parameters, data, known),
        lambda name: "--data " if name == "data" and name not in named else f"--param {name}=",
        selection=Selection(until, only, earlier),
        use_cache=not no_cache,
        engine=engine if docker else None,
        bucket=bucket,
    )
    return Result(ran.document, ran.told, [ran.id], ran.exit_code, error=ran.error)


@dataclass(frozen=True)
class Ran:
    """A run that has ended.

    Attributes:
      error: why it did not end well; empty where it did.
      document: of a program that asked.
      told: prints what came of it for people.
    """

    id: str
    exit_code: int
    error: str
    document: Callable[[], dict[str, Any]]
    told: Callable[[], None]


def carried_out(
    root: Path,
    settings: Settings,
    ir: str,
    read_given: Callable[[Mapping[str, Any]], dict[str, Any]],
    written: request.Written,
    *,
    selection: Selection,
    use_cache: bool = True,
    engine: str | None = None,
    after: str = "",
    bucket: str = "",
) -> Ran:
    """Runs a compiled pipeline on this machine, shows it, and writes its page; arguments as of `request.prepare`."""
    console = output.console()
    local = request.prepare(
        root,
        settings,
        ir,
        read_given,
        written,
        make_display(console),
        selection=selection,
        use_cache=use_cache,
        engine=engine,
        after=after,
        bucket=bucket,
        warn=lambda line: output.warn(f"warning: {line}"),
    )
    exit_code = local.run()
    page, fault = request.report(local)
    if fault:
        console.print(fault, soft_wrap=True)

    def document() -> dict[str, Any]:
        return as_json.run(load_run(root, local.id)) | {"report": page, "record": local.folder}

    def told() -> None:
        console.print()
        width = console.width if console.is_terminal else None
        console.print(request.told(local, settings, width), soft_wrap=True, end="")

    return Ran(local.id, exit_code, (local.record["error"] or "interrupted") if exit_code else "", document, told)


def _given(parameters: tuple[str, ...], data: str | None, known: Mapping[str, Any]) -> dict[str, Any]:
    given = typed(parameters, known)
    if data is not None:
        check_known("data", known, f"--data {redact(data)}")
        given["data"] = data
    return given


def _module(place: str) -> str:
    """Where the model's code lies; stages run elsewhere, so a folder's path is made absolute."""
    refuse_credentials(place, f"--module {HIDDEN}", place=not os.path.exists(place))
    if not place or "://" in place:
        return place
    if not os.path.isdir(place):
        raise InputError(f"--module {place}: no such folder; give one with the files that the model's settings name")
    return os.path.abspath(place)
