"""`new`: a model's folder, written from the data that it shall learn from."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from components.runtime.errors import InputError
from components.runtime.text.redaction import HIDDEN, refuse_credentials
from runners.commands import completion
from runners.scaffold.model import copying, files, ingest_options, planning, reading, task
from runners.scaffold.model.images import layout, making
from runners.scaffold.model.images.planning import ImagePlan
from runners.scaffold.model.profile import TASKS, Plan
from runners.settings.folders import MODELS, shown
from runners.settings.kubernetes_values import pipeline_name
from runners.settings.model import own_name
from runners.terminal import output
from runners.terminal.output import Result

if TYPE_CHECKING:
    from rich.console import Console


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
@click.option(
    "--ingest",
    "ingest_settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="How a table is read, where it is not found out: a setting of ingest, such as encoding=cp1252.",
)
@click.option(
    "--from",
    "example",
    default="",
    metavar="MODEL",
    shell_complete=completion.models,
    help="Copy this model, by its name or path; its data is that of the copy unless --data says otherwise.",
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
    ingest_settings: tuple[str, ...],
    example: str,
    dry_run: bool,
) -> Result:
    """Write the model NAME for data of your own: a folder of models/, or anywhere by its path."""
    folder = _folder(name)
    if data:
        _check_place(data)
    of_tables = {
        "--label": labels,
        "--positive": positive,
        "--task": kind,
        "--leave-out": leave_out,
        "--keep": keep,
        "--ingest": ingest_settings,
    }
    given = ingest_options.parse(ingest_settings)
    console = output.console()
    root = Path(context.obj["root"]).absolute()
    made: Mapping[str, str | bytes]
    found_out: dict[str, Any] = {"task": None, "labels": [], "columns": [], "remarks": []}
    if example:
        _refuse(of_tables, f"--from {example} copies a model as it is")
        made = copying.copy(example, folder, data)
    elif not data:
        raise InputError(
            "--data PLACE is missing: the folder, file or URI that the model learns from; or --from MODEL to copy one"
        )
    elif images := layout.find(data, labels):
        _refuse({**of_tables, "--label": ()}, f"{data} holds images, which have no columns")
        plan_of_images = making.make(root, folder, data, images, console)
        made = files.render_templates(images.templates, {"plan": plan_of_images})
        _tell_of_images(console, plan_of_images)
        found_out |= {"task": plan_of_images.layout.kind, "remarks": list(plan_of_images.remarks)}
    else:
        planning.check_options(labels, leave_out, keep)
        found = reading.read_data(root, folder, data, labels, console, given)
        for option, columns in (("--leave-out", leave_out), ("--keep", keep)):
            for column in columns:
                planning.check_column(option, column, found)
        asked = task.infer(found, labels, kind=kind or "", positive=positive)
        plan = planning.plan(folder, found, asked, kept=keep, left_out=leave_out)
        made = files.render(plan)
        _tell(console, plan)
        found_out |= {
            "task": plan.task.kind,
            "labels": list(plan.task.labels),
            "columns": [{"name": row.columns, "becomes": row.becomes, "why": list(row.why)} for row in plan.rows],
            "remarks": list(plan.task.remarks)
            + [f"{row.columns}: {why}" for row in plan.rows if row.marked for why in row.why],
        }
    if not dry_run:
        files.write(folder, made)
    lines = [
        f"{'would make' if dry_run else 'made':<{12 if dry_run else 6}}{shown(folder)}/{place}"
        for place in sorted(made)
    ]
    if not dry_run:
        if example and not data and (told := copying.missing_data(example)):
            lines += ["", told]
        lines += ["", f"next: ./millrace run {folder.name if folder.parent == MODELS else shlex.quote(str(folder))}"]
    return Result(
        {"model": folder, "files": sorted(made), "dry_run": dry_run, **found_out},
        "\n".join(lines),
        [folder],
    )


def _check_place(data: str) -> None:
    """Refuses data that is not there; what a URI leads to is ingest's to find.

    Raises:
      InputError: there is nothing, or an address holds credentials.
    """
    refuse_credentials(data, f"--data {HIDDEN}", place=not os.path.exists(data))
    if "://" not in data and not os.path.lexists(data):
        raise InputError(f"--data {data}: there is no such file or folder; name the one with your data")


def _refuse(options: Mapping[str, object], why: str) -> None:
    """Refuses options that would do nothing.

    Raises:
      InputError: one is given.
    """
    for option, value in options.items():
        if value:
            raise InputError(f"{option} says nothing here: {why}; leave it out")


def _folder(name: str) -> Path:
    """Where the model will lie.

    Raises:
      InputError: something lies there, or no pipeline can have that name.
    """
    if not name.strip():
        raise InputError("NAME is empty: give the model one, such as tips")
    folder = Path(os.path.abspath(name)) if "/" in name or name in (".", "..") else MODELS / name
    try:
        pipeline_name(own_name(folder))
    except ValueError as error:
        raise InputError(f"NAME {name!r}: {error}") from None
    if os.path.lexists(folder):
        raise InputError(f"{shown(folder)}: is there already; name another, or move that away; nothing was changed")
    return folder


def _tell(console: Console, plan: Plan) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("column", "becomes", "why"):
        table.add_column(heading, overflow="fold")
    for row in plan.rows:
        why = Text("; ".join(row.why))
        if row.marked:
            why.stylize("yellow")
        table.add_row(Text(row.columns), Text(row.becomes), why)
    label, is_label = ", ".join(plan.task.labels), "is the label" if len(plan.task.labels) == 1 else "are the labels"
    said = f"{label} {is_label}: {plan.question} ({plan.task.kind}: {plan.task.why})"
    console.print()
    console.print(Text(said), soft_wrap=True)
    if plan.data.left_out:
        console.print(Text(f"{plan.data.left_out:,} rows without a label are left out"), soft_wrap=True)
    for remark in plan.task.remarks:
        console.print(Text(f"LOOK: {remark}", style="yellow"), soft_wrap=True)
    console.print(table)
    console.print()


def _tell_of_images(console: Console, plan: ImagePlan) -> None:
    console.print()
    console.print(Text(f"{plan.question} ({plan.layout.why})"), soft_wrap=True)
    for line in plan.facts:
        console.print(Text(line), soft_wrap=True)
    for remark in plan.remarks:
        console.print(Text(f"LOOK: {remark}", style="yellow"), soft_wrap=True)
    console.print()
