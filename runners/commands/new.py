"""`new`: a model's folder, written from the data that it shall learn from."""

from __future__ import annotations

import os
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.runtime.errors import InputError
from components.runtime.text.redaction import HIDDEN, refuse_credentials
from runners.scaffold.model import files, planning, reading, task
from runners.scaffold.model.profile import TASKS, Plan
from runners.settings.folders import MODELS, shown
from runners.settings.kubernetes_values import pipeline_name
from runners.settings.model import own_name


@click.command()
@click.argument("name")
@click.option("--data", metavar="PLACE", help="Raw data: a folder, a file, or a gs:// or s3:// URI.")
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="COLUMN",
    help="What is to be predicted; given several times, several labels of 0 and 1 at once.",
)
@click.option("--positive", default="", metavar="VALUE", help="Of a label of two values the one that counts as 1.")
@click.option("--task", "kind", type=click.Choice(TASKS), help="What is to be predicted, where it is not as it looks.")
@click.option("--leave-out", multiple=True, metavar="COLUMN", help="A column that is no feature.")
@click.option(
    "--keep", multiple=True, metavar="COLUMN", help="A column that is one, though it looks like an id or a leak."
)
@click.option("--dry-run", is_flag=True, help="Print what would be written, and why; write nothing.")
@click.pass_context
def new(
    context: click.Context,
    name: str,
    data: str | None,
    labels: tuple[str, ...],
    positive: str,
    kind: str | None,
    leave_out: tuple[str, ...],
    keep: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Write the model NAME for data of your own: a folder of models/, or anywhere by its path."""
    folder = _folder(name)
    if not data:
        raise InputError("--data PLACE is missing: the folder, file or URI that the model learns from")
    refuse_credentials(data, f"--data {HIDDEN}", place=not os.path.exists(data))
    if "://" not in data and not os.path.lexists(data):
        raise InputError(f"--data {data}: there is no such file or folder; name the one with your data")
    console = Console()
    root = Path(context.obj["root"]).absolute()
    found = reading.read_data(root, folder, data, labels, console)
    for option, columns in (("--leave-out", leave_out), ("--keep", keep)):
        for column in columns:
            planning.check_column(option, column, found)
    asked = task.infer(found, labels, kind=kind or "", positive=positive)
    plan = planning.plan(folder, found, asked, kept=keep, left_out=leave_out)
    made = files.render(plan)
    if not dry_run:
        files.write(folder, made)
    _tell(console, plan, list(made), shown(folder), dry_run)


def _folder(name: str) -> Path:
    """Where the model will lie.

    Raises:
      InputError: something lies there, or no pipeline can have that name.
    """
    folder = Path(os.path.abspath(name)) if "/" in name or name in (".", "..") else MODELS / name
    try:
        pipeline_name(own_name(folder))
    except ValueError as error:
        raise InputError(f"NAME {name!r}: {error}") from None
    if os.path.lexists(folder):
        raise InputError(f"{shown(folder)}: is there already; name another, or move that away; nothing was changed")
    return folder


def _tell(console: Console, plan: Plan, made: list[str], folder: str, dry_run: bool) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("column", "becomes", "why"):
        table.add_column(heading, overflow="fold")
    for row in plan.rows:
        why = Text("; ".join(row.why))
        if row.marked:
            why.stylize("yellow")
        table.add_row(Text(row.columns), Text(row.becomes), why)
    label = ", ".join(plan.task.labels)
    console.print()
    console.print(Text(f"{label} is the label: {plan.question} ({plan.task.kind}: {plan.task.why})"), soft_wrap=True)
    console.print(table)
    console.print()
    for place in made:
        click.echo(f"{'would make' if dry_run else 'made':<{12 if dry_run else 6}}{folder}/{place}")
    if not dry_run:
        click.echo(f"\nnext: ./millrace run {plan.shown}")
