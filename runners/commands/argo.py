"""`argo`: compiled Workflows on a cluster that has Argo and no Kubeflow."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten
from typing import Any

import click

from components.runtime.errors import InputError, StageError
from components.runtime.records import run_record
from components.runtime.records.argo_workflow import noted
from runners.argo import approving
from runners.argo import state as argo_state
from runners.argo.cluster import ArgoCluster
from runners.argo.schedules import cron_workflow, is_as_wanted, schedule_facts, schedule_row
from runners.argo.values import pipeline_of
from runners.argo.workflow_file import definitions, read_workflow, template, with_values
from runners.commands.approve import answered
from runners.commands.argo_explore import explore
from runners.commands.local_path import LocalPath
from runners.commands.models import WHY
from runners.remote import schedules
from runners.remote.http import TIMEOUT
from runners.settings.kubernetes_values import check_name
from runners.settings.parameters import compiled_file, from_texts
from runners.terminal import follow, output, text
from runners.terminal.output import Result

_INTERVAL = click.option(
    "--interval", default=5.0, show_default=True, type=click.FloatRange(min=0.01), help="Seconds between two looks."
)
_LISTED = 160
"""Characters of an error in a list."""
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


argo.add_command(explore)


@argo.command()
@click.argument("workflow")
@click.option("--param", "-p", "given", multiple=True, metavar="NAME=VALUE", help="A parameter of the workflow.")
@click.option("--wait", "waits", is_flag=True, help="Follow it; exit code 1 when it fails.")
@_INTERVAL
@_LIMIT
@click.pass_obj
def submit(
    connect: Any, workflow: str, given: tuple[str, ...], waits: bool, interval: float, limit: float | None
) -> Result:
    """Submit WORKFLOW: a compiled file, or a model's in build/."""
    file = compiled_file(workflow, "argo")
    read = read_workflow(file)
    made = with_values(read, from_texts(given, definitions(read)), file, "--param")
    cluster = connect()
    name = cluster.submit(noted(made, run_record.started_by()))
    said = f"workflow {name} submitted to the namespace {cluster.namespace}"
    if waits:
        output.note(said)
        return _wait(cluster, name, interval, limit)
    return Result({"run": name, "namespace": cluster.namespace}, said, [name])


@argo.command()
@click.argument("workflow")
@click.option("--as", "name", default="", metavar="NAME", help="Of the template; the pipeline's name without.")
@click.pass_obj
def upload(connect: Any, workflow: str, name: str) -> Result:
    """Store WORKFLOW (a compiled file, or a model's in build/) as a WorkflowTemplate, for watch to begin."""
    check_name(name, "--as")
    read = read_workflow(compiled_file(workflow, "argo"))
    made = template(read, name or pipeline_of(read))
    cluster = connect()
    done = cluster.store(made)
    name = made["metadata"]["name"]
    data = {"template": name, "namespace": cluster.namespace, "done": done}
    return Result(data, f"template {name} in the namespace {cluster.namespace}: {done}", [name])


@argo.command()
@click.argument("workflow")
@_INTERVAL
@_LIMIT
@click.pass_obj
def wait(connect: Any, workflow: str, interval: float, limit: float | None) -> Result:
    """Follow WORKFLOW (a name, a pipeline for its newest, or `latest`) until it ends; exit code 1 when it failed."""
    cluster = connect()
    return _wait(cluster, cluster.find(workflow), interval, limit)


@argo.command()
@click.argument("workflow")
@click.pass_obj
def show(connect: Any, workflow: str) -> Result:
    """Show the state, the parameters and the tasks of WORKFLOW."""
    cluster = connect()
    return follow.shown(cluster.state(cluster.find(workflow)))


@argo.command()
@click.argument("workflow")
@click.argument("task", required=False)
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last lines.")
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on as long as the task does.")
@click.pass_obj
def logs(connect: Any, workflow: str, task: str | None, tail: int | None, follows: bool) -> Result:
    """Print the log of a TASK of WORKFLOW, or of all its tasks; from the volume where their pods are gone."""
    if follows and task is None:
        raise InputError("--follow goes with the log of one task; name it")
    cluster = connect()
    name = cluster.find(workflow)
    logs = [(task, cluster.logs(name, task, tail=tail, follow=follows))] if task else cluster.all_logs(name, tail=tail)

    def printed() -> None:
        for each, log in logs:
            if task is None:
                click.echo(f"== {each}")
            _print_log(log)

    def document() -> dict[str, Any]:
        return {"run": name, "logs": [{"task": each, "log": "".join(log)} for each, log in logs]}

    # A log is what the command is called for: `--quiet` leaves it.
    return Result(document, printed, printed)


@argo.command()
@click.argument("workflow")
@click.option("--now", is_flag=True, help="Without its exit handler: notify does not tell of it.")
@click.pass_obj
def stop(connect: Any, workflow: str, now: bool) -> Result:
    """Stop WORKFLOW; its exit handler still runs."""
    cluster = connect()
    name = cluster.find(workflow)
    if ended := cluster.stop(name, at_once=now):
        data = {"run": name, "stopping": False, "state": ended, "closed_by": None}
        return Result(data, f"workflow {name}: has ended before, {ended}; nothing to stop")
    output.note(f"workflow {name}: asked to stop")
    closing = None
    if now:
        try:
            closing = cluster.close(name)
            output.note(f"workflow {closing}: is to write the run's record on the volume")
        except StageError as error:
            output.warn(f"warning: no record of the run is written: {error}")
    return Result({"run": name, "stopping": True, "state": None, "closed_by": closing})


@argo.command()
@click.argument("workflow")
@click.option("--no", "refuses", is_flag=True, help="Refuse it: the model is not published.")
@WHY
@click.option("--candidate", default="", help="Of several models that are each published: the one that is meant.")
@click.pass_obj
def approve(connect: Any, workflow: str, refuses: bool, why: str, candidate: str) -> Result:
    """Answer WORKFLOW, which waits for a person's yes before it publishes its model.

    Who answers is the user of this machine, or whom MILLRACE_USER names.
    """
    cluster = connect()
    name = cluster.find(workflow)
    # A pod may be needed for the answer, which is begun where somebody waits for it alone.
    if not any(task.asks for task in cluster.state(name).tasks):
        raise InputError(f"{name} waits for no answer; ./millrace argo show {name} tells what it does")
    question, given = approving.answer(
        cluster, cluster.get(name), candidate, approved=not refuses, by=run_record.started_by(), why=why
    )
    return answered(name, question, given)


@argo.command()
@click.argument("files", nargs=-1, required=True, type=LocalPath())
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.pass_obj
def schedule(connect: Any, files: tuple[Path, ...], dry_run: bool) -> Result:
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
    changes = {}
    for wanted in made:
        name = wanted["metadata"]["name"]
        there = known.get((cluster.place(wanted), name))
        if there is not None and is_as_wanted(there, wanted):
            changes[name] = "unchanged"
            output.note(f"{name}: unchanged")
            continue
        done = "created" if there is None else "replaced"
        if not dry_run:
            cluster.apply(wanted, there)
        changes[name] = f"{'would be ' if dry_run else ''}{done}"
        output.note(f"{name}: {changes[name]}")
    return Result(schedules.document(changes, dry_run=dry_run))


@argo.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def unschedule(connect: Any, name: str, yes: bool) -> Result:
    """Delete the schedule NAME; its runs stay, and those under way go on."""
    cluster = connect()
    if not yes:
        text.confirm(f"delete the schedule {name} in the namespace {cluster.namespace}?")
    cluster.unschedule(name)
    return Result({"deleted": {"kind": "schedule", "name": name}}, f"schedule {name}: deleted")


@argo.command(name="schedules")
@click.pass_obj
def schedules_(connect: Any) -> Result:
    """List the schedules."""
    cluster = connect()
    found = list(cluster.schedules())
    rows: list[list[text.Cell]] = [schedule_row(each) for each in found]
    return Result(
        {"schedules": [schedule_facts(each) for each in found]},
        lambda: text.listed(
            ("schedule", "cron (UTC)", "state", "last run (UTC)", "under way"),
            rows,
            none=f"no schedules in the namespace {cluster.namespace} on {cluster.where}",
        ),
        [each["metadata"]["name"] for each in found],
    )


@argo.command(name="list")
@click.option("-l", "--selector", default="", metavar="LABEL=VALUE", help="Only those with these labels.")
@click.pass_obj
def list_(connect: Any, selector: str) -> Result:
    """List the workflows, the newest first."""
    cluster = connect()
    rows: list[list[text.Cell]] = []
    runs = list(map(argo_state.remote_run, cluster.list(selector)))
    for run in runs:
        state = (run.state, follow.STYLES.get(run.state, ""))
        # `argo show` has all of it.
        error = shorten(run.error, _LISTED, placeholder=" …")
        rows.append([run.name, state, text.moment(run.created), text.duration(run.seconds), error])
    return Result(
        {"runs": [follow.document(run, tasks=False) for run in runs]},
        lambda: text.listed(
            ("workflow", "state", "started (UTC)", "duration", "error"),
            rows,
            none=f"no workflows in the namespace {cluster.namespace} on {cluster.where}",
        ),
        [run.name for run in runs],
    )


def _wait(cluster: ArgoCluster, name: str, interval: float, limit: float | None) -> Result:
    return follow.outcome(follow.follow(lambda: cluster.state(name), interval=interval, limit=limit))


def _print_log(pieces: Any) -> None:
    last = "\n"
    for piece in pieces:
        click.echo(piece, nl=False)
        last = piece
    if not last.endswith("\n"):
        click.echo()
