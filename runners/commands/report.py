"""`report`: a run's page, and where it is."""

from __future__ import annotations

from pathlib import Path

import click

from runners.commands import completion
from runners.history.pages import run_report
from runners.history.records import LATEST, load_run
from runners.terminal.output import Result


@click.command()
@click.argument("run", default=LATEST, shell_complete=completion.runs)
@click.pass_context
def report(context: click.Context, run: str) -> Result:
    """Write the page of RUN (an id, the beginning of one, a model for its newest, or `latest`) and tell where it is."""
    root: Path = context.obj["root"]
    found = load_run(root, run).id
    page = run_report.write(root, found)
    return Result({"run": found, "report": page}, str(page), [page])
