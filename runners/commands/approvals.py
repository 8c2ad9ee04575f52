"""`approvals`: receives the answers that people give elsewhere than in a terminal."""

from __future__ import annotations

from pathlib import Path

import click

from components.runtime.errors import InputError
from components.runtime.publish import receiver
from runners.commands.local_path import LocalPath
from runners.terminal import output
from runners.terminal.output import Result


@click.group()
def approvals() -> None:
    """Receive the answers to runs that wait for a person's yes."""


@approvals.command()
@click.option(
    "--serving-directory",
    "directories",
    multiple=True,
    type=LocalPath(file_okay=False),
    help="A serving directory, or a folder of these; without, that of this checkout.",
)
@click.option("--port", default=receiver.PORT, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--address", default="127.0.0.1", show_default=True, help="Where it listens; 0.0.0.0 for all who can reach it."
)
@click.pass_context
def serve(context: click.Context, directories: tuple[Path, ...], port: int, address: str) -> Result:
    """Receive the buttons of Slack, and answer the runs that they are about; Ctrl-C ends it.

    The signing secret of the Slack app is in the variable MILLRACE_SLACK_SIGNING_SECRET.
    """
    root = Path(context.find_root().obj["root"]).absolute()
    places = list(directories) or [root / "serving"]
    if not directories and not places[0].is_dir():
        raise InputError(f"{places[0]}: no such folder: nothing was pushed or asked here; name --serving-directory")
    receiver.serve(places, address, port, output.note)
    return Result({"directories": places, "address": f"http://{address}:{port}{receiver.PATH}"})
