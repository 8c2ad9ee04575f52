"""`new`: a model's folder from its data."""

from __future__ import annotations

import os
from pathlib import Path

import click
from rich.console import Console

from components.runtime.errors import InputError
from runners.scaffold.model import files, planning, reading, task
from runners.scaffold.model.images import layout, making
from runners.settings.folders import MODELS
from runners.settings.kubernetes_values import pipeline_name
from runners.settings.model import own_name


@click.command()
@click.argument("name")
@click.option("--data", required=True, metavar="PLACE", help="Raw data: a folder, a file, or a gs:// or s3:// URI.")
@click.option(
    "--label", "labels", multiple=True, metavar="COLUMN", help="What is to be predicted; several for several labels."
)
@click.option("--dry-run", is_flag=True, help="Print what would be written, and why; write nothing.")
@click.pass_context
def new(context: click.Context, name: str, data: str, labels: tuple[str, ...], dry_run: bool) -> None:
    """Write the model NAME, a folder of models/ or the path of one anywhere, for the data that it learns from."""
    folder = Path(os.path.abspath(name)) if "/" in name else MODELS / name
    try:
        pipeline_name(own_name(folder))
    except ValueError as error:
        raise InputError(f"NAME {name}: {error}") from None
    if folder.exists():
        raise InputError(f"{folder}: is there already; name another, or move that away; nothing was changed")
    root = Path(context.obj["root"]).absolute()
    console = Console()
    if images := layout.find(data, labels):
        plan = making.make(root, folder, own_name(folder), data, images, console)
        made = files.render(plan, images.templates)
    else:
        found = reading.read_data(root, folder, own_name(folder), data, {"leave_out_without": list(labels)}, console)
        made = files.render(planning.plan(folder, found, task.infer(found, labels)))
    if not dry_run:
        files.write(folder, made)
    for place in made:
        click.echo(f"{'would make' if dry_run else 'made':<11}{folder / place}")
