"""What the commands that take a model share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from components.runtime.errors import InputError
from components.runtime.text.redaction import credentials
from runners.settings.folders import SETTINGS_FILE
from runners.settings.model import Settings, load, own_name, same_name
from runners.settings.serving import LOGS
from runners.terminal import output
from runners.versions.place import Place


def _is_said(_context: click.Context, option: click.Parameter, value: str | None) -> str:
    """The value of an option; an empty one would else mean as much as none, and so another place."""
    if value is not None and not value.strip():
        raise InputError(f"{option.opts[0]} is empty (a variable that is not set?); give a value, or leave it out")
    return value or ""


def _without_credentials(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if found := credentials(value):
        raise InputError(f"--why: {found}, which records would keep; take it out")
    return value


WHY = click.option(
    "--why",
    default="",
    metavar="TEXT",
    callback=_without_credentials,
    help="Kept in lineage, for those who ask later.",
)
"""Option of what a person decides about versions."""


def load_model(model: str, module: str = "", models: Path | None = None) -> Settings:
    """The settings of the model that a person named; warns where another model's runs would lie among its own.

    Raises:
      InputError: there is no such model, or its settings are wrong.
    """
    settings = load(model, module, models)
    if others := same_name(settings):
        mend = (
            f"write pipeline_name into {SETTINGS_FILE}"
            if settings.pipeline_name == own_name(settings.folder)
            else "leave the key out, and it is the folder's, or write another"
        )
        output.warn(
            f"warning: pipeline_name {settings.pipeline_name!r} is also that of {', '.join(others)}: runs, artifacts "
            f"and lineage of both go under one name; {mend}"
        )
    return settings


def served_from(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say from where a model is served, of a command that calls `place_of`."""
    for option in (
        click.option(
            "--serving-directory",
            "directory",
            metavar="FOLDER",
            callback=_is_said,
            help="Where it is served from; as the settings say without.",
        ),
        click.option(
            "--candidate", metavar="NAME", callback=_is_said, help="Which of several models that are each pushed."
        ),
    ):
        command = option(command)
    return command


def place_of(context: click.Context, model: str, candidate: str, directory: str) -> Place:
    """Where a model is served from.

    Raises:
      InputError: there is no such model or candidate, or it is not served from a folder of this machine.
    """
    return Place.of(context.obj["root"], load_model(model), candidate, directory)


def log_of(place: Place, logs: Path | None, candidate: str) -> Path:
    """The log of a model: where it was named, where the settings say, or in the pipeline root.

    Args:
      place: of its versions.
      logs: the folder of logs that a person named.
      candidate: of several models that are each pushed.
    """
    settings = place.settings
    folder = settings.serving.log.folder if settings.serving.log else ""
    root = logs or (Path(settings.local_place(folder)) if folder else place.root / LOGS)
    return root.absolute() / settings.folder.name / candidate
