"""`vertex`: compiled pipelines on Vertex AI Pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from components.runtime.errors import InputError
from runners.commands.local_path import LocalPath
from runners.remote import schedules
from runners.remote.http import TIMEOUT
from runners.settings import parameters
from runners.terminal import follow, output, text
from runners.terminal.output import Result
from runners.vertex.jobs import Job, Place, Vertex, images_without_registry, make_job

_ROOT = click.option("--pipeline-root", default="", metavar="URI", help="Where artifacts go: gs://BUCKET/FOLDER.")
_ACCOUNT = click.option("--service-account", default="", metavar="EMAIL", help="That the tasks run as.")
_CACHE = click.option("--cache/--no-cache", "caching", default=None, help="For all tasks; as compiled when not given.")
_INTERVAL = click.option(
    "--interval", default=20.0, show_default=True, type=click.FloatRange(min=0.01), help="Seconds between two looks."
)
_LIMIT = click.option("--limit", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait no longer than this.")


@click.group()
@click.option("--project", default="", envvar="GOOGLE_CLOUD_PROJECT", show_envvar=True, help="Id of the project.")
@click.option("--region", default="", envvar="GOOGLE_CLOUD_REGION", show_envvar=True, help="As europe-west4.")
@click.option("--endpoint", default="", help="Address of the API, where it is not the region's own.")
@click.option(
    "--timeout", default=TIMEOUT, show_default=True, type=click.FloatRange(min=0.1), help="Seconds for an answer."
)
@click.pass_context
def vertex(context: click.Context, project: str, region: str, endpoint: str, timeout: float) -> None:
    """Submit, follow and schedule compiled pipelines on Vertex AI Pipelines."""
    # The library takes seconds to import: what is wrong with the input is said before.
    context.obj = lambda: Place(project, region, endpoint), lambda place: Vertex(place, timeout)


@vertex.command()
@click.argument("pipeline")
@click.option("--param", "-p", "given", multiple=True, metavar="NAME=VALUE", help="A parameter of the pipeline.")
@click.option("--name", default="", help="Of the run; the pipeline's when not given.")
@_ROOT
@_ACCOUNT
@_CACHE
@click.option("--wait", "waits", is_flag=True, help="Follow the run; exit code 1 when it fails.")
@_INTERVAL
@_LIMIT
@click.pass_obj
def submit(
    connect: Any,
    pipeline: str,
    given: tuple[str, ...],
    name: str,
    pipeline_root: str,
    service_account: str,
    caching: bool | None,
    waits: bool,
    interval: float,
    limit: float | None,
) -> Result:
    """Submit PIPELINE: a compiled file, or a model's in build/."""
    place = connect[0]()
    file = parameters.compiled_file(pipeline)
    values = parameters.from_texts(given, parameters.definitions(parameters.read_ir(file)))
    job = make_job(file, values, pipeline_root, service_account=service_account, caching=caching)
    _warn(job)
    cluster = connect[1](place)
    identity = cluster.submit(job, name)
    said = f"run {identity} submitted to {cluster.where}"
    if waits:
        output.note(said)
        return _wait(cluster, identity, interval, limit)
    return Result({"run": identity, "place": cluster.where}, said, [identity])


@vertex.command()
@click.argument("run")
@_INTERVAL
@_LIMIT
@click.pass_obj
def wait(connect: Any, run: str, interval: float, limit: float | None) -> Result:
    """Follow RUN (an id) until it ends; exit code 1 when it failed."""
    return _wait(connect[1](connect[0]()), run, interval, limit)


@vertex.command()
@click.argument("run")
@click.pass_obj
def show(connect: Any, run: str) -> Result:
    """Show the state, the parameters and the tasks of RUN."""
    return follow.shown(connect[1](connect[0]()).state(run))


@vertex.command(name="list")
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(min=1), help="So many.")
@click.pass_obj
def list_(connect: Any, limit: int) -> Result:
    """List the runs, the newest first."""
    cluster = connect[1](connect[0]())
    rows: list[list[text.Cell]] = []
    runs = list(cluster.runs(limit))
    for run in runs:
        state = (run.state, follow.STYLES.get(run.state, ""))
        rows.append([run.id, run.name, state, text.moment(run.created), text.duration(run.seconds)])
    return Result(
        {"runs": [follow.document(run, tasks=False) for run in runs]},
        lambda: text.listed(
            ("run", "name", "state", "created (UTC)", "duration"), rows, none=f"no runs on {cluster.where}"
        ),
        [run.id for run in runs],
    )


@vertex.command()
@click.argument("files", nargs=-1, required=True, type=LocalPath())
@_ROOT
@_ACCOUNT
@_CACHE
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.pass_obj
def schedule(
    connect: Any,
    files: tuple[Path, ...],
    pipeline_root: str,
    service_account: str,
    caching: bool | None,
    dry_run: bool,
) -> Result:
    """Create or replace the schedules that FILES describe; `pipeline` is a compiled file, or a model's in build/."""
    place = connect[0]()
    jobs = []
    for file, each in schedules.read(files):
        if each.version:
            raise InputError(f"{file}: version: Vertex keeps no versions; the compiled file is what runs")
        if each.catch_up:
            raise InputError(f"{file}: catch_up: Vertex does not make up for runs that were missed")
        try:
            schedules.whole_minutes(each.cron, "Vertex")
        except InputError as error:
            raise InputError(f"{file}: {error}") from None
        job = make_job(
            parameters.compiled_file(each.pipeline),
            each.parameters,
            each.pipeline_root or pipeline_root,
            service_account=each.service_account or service_account,
            caching=caching,
            where=str(file),
        )
        _warn(job)
        jobs.append((each, job))
    cluster = connect[1](place)
    changes = {}
    for each, job in jobs:
        changes[each.name] = cluster.apply(each, job, dry_run=dry_run)
        output.note(f"{each.name}: {changes[each.name]}")
    return Result(schedules.document(changes, dry_run=dry_run))


def _warn(job: Job) -> None:
    if images := images_without_registry(job.ir):
        output.warn(f"warning: images without a registry, which Vertex may not find: {', '.join(images)}")


def _wait(cluster: Vertex, identity: str, interval: float, limit: float | None) -> Result:
    return follow.outcome(follow.follow(lambda: cluster.state(identity), interval=interval, limit=limit))
