"""`argo`: compiled Workflows on a cluster that has Argo and no Kubeflow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from components.runtime.errors import InputError, StageError
from components.runtime.records import run_record
from runners.argo import state as argo_state
from runners.argo.cluster import ArgoCluster
from runners.argo.schedules import cron_workflow, is_as_wanted, schedule_row
from runners.argo.workflow_file import definitions, noted, read_workflow, with_values
from runners.remote import schedules
from runners.remote.http import TIMEOUT
from runners.settings.parameters import compiled_file, from_texts
from runners.terminal import follow, text

_INTERVAL = click.option(
    "--interval", default=5.0, show_default=True, type=click.FloatRange(min=0.01), help="Seconds between two looks."
)
_LIMIT = click.option("--limit", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait no longer than this.")


@click.group()
@click.option("--context", "name", default="", help="Of the kubeconfig; its current one when not given.")
@click.option("-n", "--namespace", default="", help="Of the workflows; the context's when not given.")
@click.option(
    "--timeout", default=TIMEOUT, show_default=True, type=click.FloatRange(min=0.1), help="Seconds for an answer."
)
@click.pass_context
def argo(context: click.Context, name: str, namespace: str, timeout: float) -> None:
    """Submit compiled Workflows to Argo, follow them, read their logs, stop them."""
    context.obj = lambda: ArgoCluster(name, namespace, timeout)


@argo.command()
@click.argument("workflow")
@click.option("--param", "-p", "given", multiple=True, metavar="NAME=VALUE", help="A parameter of the workflow.")
@click.option("--wait", "waits", is_flag=True, help="Follow it; exit code 1 when it fails.")
@_INTERVAL
@_LIMIT
@click.pass_obj
def submit(
    connect: Any, workflow: str, given: tuple[str, ...], waits: bool, interval: float, limit: float | None
) -> None:
    """Submit WORKFLOW: a compiled file, or a model's in build/."""
    file = compiled_file(workflow, "argo")
    read = read_workflow(file)
    made = with_values(read, from_texts(given, definitions(read)), file, "--param")
    cluster = connect()
    name = cluster.submit(noted(made, run_record.started_by()))
    click.echo(f"workflow {name} submitted to the namespace {cluster.namespace}")
    if waits:
        _wait(cluster, name, interval, limit)


@argo.command()
@click.argument("workflow")
@_INTERVAL
@_LIMIT
@click.pass_obj
def wait(connect: Any, workflow: str, interval: float, limit: float | None) -> None:
    """Follow WORKFLOW (a name, or `latest`) until it ends; exit code 1 when it failed."""
    cluster = connect()
    _wait(cluster, cluster.find(workflow), interval, limit)


@argo.command()
@click.argument("workflow")
@click.pass_obj
def show(connect: Any, workflow: str) -> None:
    """Show the state, the parameters and the tasks of WORKFLOW."""
    cluster = connect()
    follow.print_run(cluster.state(cluster.find(workflow)))


@argo.command()
@click.argument("workflow")
@click.argument("task", required=False)
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last lines.")
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on as long as the task does.")
@click.pass_obj
def logs(connect: Any, workflow: str, task: str | None, tail: int | None, follows: bool) -> None:
    """Print the log of a TASK of WORKFLOW, or of all its tasks; from the volume where their pods are gone."""
    if follows and task is None:
        raise InputError("--follow goes with the log of one task; name it")
    cluster = connect()
    name = cluster.find(workflow)
    if task is not None:
        _print_log(cluster.logs(name, task, tail=tail, follow=follows))
        return
    for each, log in cluster.all_logs(name, tail=tail):
        click.echo(f"== {each}")
        _print_log(log)


@argo.command()
@click.argument("workflow")
@click.option("--now", is_flag=True, help="Without its exit handler: notify does not tell of it.")
@click.pass_obj
def stop(connect: Any, workflow: str, now: bool) -> None:
    """Stop WORKFLOW; its exit handler still runs."""
    cluster = connect()
    name = cluster.find(workflow)
    if ended := cluster.stop(name, at_once=now):
        click.echo(f"workflow {name}: has ended before, {ended}; nothing to stop")
        return
    click.echo(f"workflow {name}: asked to stop")
    if now:
        try:
            click.echo(f"workflow {cluster.close(name)}: is to write the run's record on the volume")
        except StageError as error:
            click.echo(f"warning: no record of the run is written: {error}", err=True)


@argo.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.pass_obj
def schedule(connect: Any, files: tuple[Path, ...], dry_run: bool) -> None:
    """Create or replace the schedules that FILES describe; `pipeline` is a compiled file, or a model's in build/."""
    made = []
    for file, each in schedules.read(files):
        try:
            workflow = read_workflow(compiled_file(each.pipeline, "argo"))
        except InputError as error:
            raise InputError(f"{file}: pipeline {each.pipeline}: {error}") from None
        made.append(cron_workflow(each, workflow, file))
    cluster = connect()
    known = {
        (namespace, each["metadata"]["name"]): each
        for namespace in dict.fromkeys(map(cluster.place, made))
        for each in cluster.schedules(namespace)
    }
    for wanted in made:
        name = wanted["metadata"]["name"]
        there = known.get((cluster.place(wanted), name))
        if there is not None and is_as_wanted(there, wanted):
            click.echo(f"{name}: unchanged")
            continue
        done = "created" if there is None else "replaced"
        if not dry_run:
            cluster.apply(wanted, there)
        click.echo(f"{name}: {'would be ' if dry_run else ''}{done}")


@argo.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def unschedule(connect: Any, name: str, yes: bool) -> None:
    """Delete the schedule NAME; its runs stay, and those under way go on."""
    cluster = connect()
    if not yes:
        text.confirm(f"delete the schedule {name} in the namespace {cluster.namespace}?")
    cluster.unschedule(name)
    click.echo(f"schedule {name}: deleted")


@argo.command(name="schedules")
@click.pass_obj
def schedules_(connect: Any) -> None:
    """List the schedules."""
    cluster = connect()
    rows: list[list[text.Cell]] = [schedule_row(each) for each in cluster.schedules()]
    if not rows:
        click.echo(f"no schedules in the namespace {cluster.namespace} on {cluster.where}", err=True)
        return
    text.table(("schedule", "cron (UTC)", "state", "last run (UTC)", "under way"), rows)


@argo.command(name="list")
@click.option("-l", "--selector", default="", metavar="LABEL=VALUE", help="Only those with these labels.")
@click.pass_obj
def list_(connect: Any, selector: str) -> None:
    """List the workflows, the newest first."""
    cluster = connect()
    rows: list[list[text.Cell]] = []
    for run in map(argo_state.remote_run, cluster.list(selector)):
        state = (run.state, follow.STYLES.get(run.state, ""))
        rows.append([run.name, state, text.moment(run.created), text.duration(run.seconds), run.error])
    if not rows:
        click.echo(f"no workflows in the namespace {cluster.namespace} on {cluster.where}", err=True)
        return
    text.table(("workflow", "state", "started (UTC)", "duration", "error"), rows)


def _wait(cluster: ArgoCluster, name: str, interval: float, limit: float | None) -> None:
    sys.exit(follow.outcome(follow.follow(lambda: cluster.state(name), interval=interval, limit=limit)))


def _print_log(pieces: Any) -> None:
    last = "\n"
    for piece in pieces:
        click.echo(piece, nl=False)
        last = piece
    if not last.endswith("\n"):
        click.echo()
