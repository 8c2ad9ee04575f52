"""`report`: a run's page, and where it is."""

from __future__ import annotations

from pathlib import Path

import click

from runners.commands import completion
from runners.history.pages import run_report
from runners.history.records import LATEST, load_run


@click.command()
@click.argument("run", default=LATEST, shell_complete=completion.runs)
@click.pass_context
def report(context: click.Context, run: str) -> None:
    """Write the page of RUN (an id, the beginning of one, or `latest`) and tell where it is."""
    root: Path = context.obj["root"]
    click.echo(run_report.write(root, load_run(root, run).id))
