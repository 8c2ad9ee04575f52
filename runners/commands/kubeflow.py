"""`kubeflow`: pipelines on a Kubeflow Pipelines server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from components.runtime.errors import InputError, TransientError
from runners import in_checkout
from runners.commands.lineage import directions
from runners.commands.local_path import LocalPath
from runners.compiled import training_workers
from runners.compiled.ir import documents
from runners.kubeflow import contexts, listing, recurring_runs, stages
from runners.kubeflow.connection import Connection
from runners.kubeflow.server import Cluster, check_root
from runners.remote import schedules
from runners.remote.http import TIMEOUT, missing
from runners.settings import parameters
from runners.settings.kubernetes_values import check_name
from runners.terminal import follow, output, text
from runners.terminal.output import Result

_INTERVAL = click.option(
    "--interval", default=5.0, show_default=True, type=click.FloatRange(min=0.01), help="Seconds between two looks."
)
_LIMIT = click.option("--limit", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait no longer than this.")
_YES = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group()
@click.option("--context", "name", default="", help="A cluster of the contexts file; its `current` when not given.")
@click.option("--host", default="", help="Address of the server instead, as http://localhost:8080.")
@click.option("--namespace", default="", help="Yours, on a server with many users.")
@click.option(
    "--timeout", default=TIMEOUT, show_default=True, type=click.FloatRange(min=0.1), help="Seconds for an answer."
)
@click.pass_context
def kubeflow(context: click.Context, name: str, host: str, namespace: str, timeout: float) -> None:
    """Upload, run, follow, compare and schedule pipelines on a Kubeflow Pipelines server."""

    def connect() -> Cluster:
        return Cluster(Connection(contexts.find(name, host, namespace), timeout))

    # Not connected here: `--help` needs no server, and bad input is found before one is asked.
    context.obj = connect


@kubeflow.command()
@click.argument("pipeline")
@click.option("--as", "name", default="", metavar="NAME", help="Of the pipeline on the server; its own without.")
@click.pass_obj
def upload(connect: Any, pipeline: str, name: str) -> Result:
    """Upload PIPELINE (a compiled file, or a model's in build/): a new version if its content changed."""
    file = parameters.compiled_file(pipeline)
    _checked(file)
    version, is_new = _uploaded(connect(), file, name)
    data = {"version": version.display_name, "id": version.pipeline_version_id, "new": is_new}
    return Result(data, product=[version.display_name])


@kubeflow.command()
@click.argument("pipeline")
@click.option("--param", "-p", "given", multiple=True, metavar="NAME=VALUE", help="A parameter of the pipeline.")
@click.option("--experiment", default="Default", show_default=True, help="Made where it is not there.")
@click.option("--name", default="", help="Of the run; the pipeline's name and the time when not given.")
@click.option("--version", default="", help="Of the pipeline on the server; its newest when not given.")
@click.option("--pipeline-root", default="", metavar="URI", help="Where artifacts go: minio://, s3:// or gs://.")
@click.option("--service-account", default="", help="Of the pods.")
@click.option("--no-cache", is_flag=True, help="Execute every task (of a compiled file).")
@click.option("--wait", "waits", is_flag=True, help="Follow the run; exit code 1 when it fails.")
@_INTERVAL
@_LIMIT
@click.pass_obj
def run(
    connect: Any,
    pipeline: str,
    given: tuple[str, ...],
    experiment: str,
    name: str,
    version: str,
    pipeline_root: str,
    service_account: str,
    no_cache: bool,
    waits: bool,
    interval: float,
    limit: float | None,
) -> Result:
    """Run PIPELINE: a compiled file or a model's in build/, uploaded if need be, or a pipeline on the server."""
    file: Path | None = parameters.compiled_file(pipeline)
    if file is not None and file.name != Path(pipeline).name and (version or not file.exists()):
        file = None
    if file is not None and version:
        raise InputError("--version is of a pipeline on the server; give its name in place of a file")
    if file is None and no_cache:
        raise InputError("--no-cache goes with a compiled file only; of a pipeline on the server, the file says it")
    check_root(pipeline_root, "--pipeline-root")
    check_name(service_account, "--service-account")
    parameters.split(given)
    values: dict[str, Any] = {}
    if file is not None:
        values = _values(_checked(file), given, str(file))
    cluster = connect()
    if file is not None:
        found, _ = _uploaded(cluster, file)
    else:
        found = cluster.latest_version(pipeline, version)
        values = _values(stages.unwrapped(found.pipeline_spec), given, pipeline)
    name = name or f"{found.display_name.rpartition('-')[0] or pipeline} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    identity = cluster.run(
        found,
        name,
        experiment=experiment,
        parameters=values,
        pipeline_root=pipeline_root,
        service_account=service_account,
        uncached=file if no_cache else None,
    )
    page = f"{cluster.where}/#/runs/details/{identity}"
    output.note(f"run {identity} {name}")
    output.note(f"page: {page}")
    if waits:
        return _wait(cluster, identity, interval, limit)
    return Result({"run": identity, "name": name, "page": page}, product=[identity])


@kubeflow.command()
@click.argument("run")
@_INTERVAL
@_LIMIT
@click.pass_obj
def wait(connect: Any, run: str, interval: float, limit: float | None) -> Result:
    """Follow RUN (an id, its beginning, a name, or `latest`) until it ends; exit code 1 when it failed."""
    cluster = connect()
    return _wait(cluster, cluster.find_run(run), interval, limit)


@kubeflow.command(name="list")
@click.argument("what", type=click.Choice(["runs", "pipelines", "experiments", "schedules"]), default="runs")
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(min=1), help="So many runs.")
@click.pass_obj
def list_(connect: Any, what: str, limit: int) -> Result:
    """List runs, pipelines, experiments or schedules."""
    cluster: Cluster = connect()
    facts, headers, rows = listing.table(cluster, what, limit)
    return Result(
        {what: facts},
        lambda: text.listed(headers, rows, none=f"no {what} on {cluster.where}"),
        [next(iter(each.values())) for each in facts],
    )


@kubeflow.command()
@click.argument("run")
@click.pass_obj
def show(connect: Any, run: str) -> Result:
    """Show the state, the parameters and the tasks of RUN."""
    cluster = connect()
    return follow.shown(cluster.get(cluster.find_run(run)))


@kubeflow.command()
@click.argument("run")
@click.pass_obj
def terminate(connect: Any, run: str) -> Result:
    """Stop RUN."""
    return _act(connect(), "terminate", run)


@kubeflow.command()
@click.argument("run")
@click.pass_obj
def retry(connect: Any, run: str) -> Result:
    """Run the tasks of RUN that failed again."""
    return _act(connect(), "retry", run)


@kubeflow.command()
@click.argument("kind", type=click.Choice(["run", "pipeline", "schedule"]))
@click.argument("name")
@_YES
@click.pass_obj
def delete(connect: Any, kind: str, name: str, yes: bool) -> Result:
    """Delete a run, a pipeline with all its versions, or a schedule."""
    cluster: Cluster = connect()
    # What it is comes before the question whether it may go.
    found = cluster.find_run(name) if kind == "run" else ""
    scheduled = cluster.recurring_runs() if kind == "schedule" else []
    there = [each for each in scheduled if each.display_name == name]
    if kind == "pipeline":
        cluster.pipeline(name)
    if kind == "schedule" and not there:
        raise missing("schedule", name, [each.display_name for each in scheduled], cluster.where)
    if not yes:
        text.confirm(f"delete the {kind} {name} on {cluster.where}?")
    versions = None
    if kind == "run":
        cluster.act("delete", found)
    elif kind == "pipeline":
        versions = cluster.delete_pipeline(name)
        output.note(f"versions deleted: {versions}")
    if left := [run for each in there for run in cluster.retire_recurring_run(each.recurring_run_id)]:
        raise TransientError(f"schedule {name}: {recurring_runs.goes_on(left)}")
    return Result({"deleted": {"kind": kind, "name": name, "versions": versions}}, f"{kind} {name}: deleted")


@kubeflow.command()
@click.argument("files", nargs=-1, required=True, type=LocalPath())
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.pass_obj
def schedule(connect: Any, files: tuple[Path, ...], dry_run: bool) -> Result:
    """Create or replace the recurring runs that FILES (or folders of files) describe."""
    wanted = schedules.read(files)
    for file, each in wanted:
        check_root(each.pipeline_root, f"{file}: pipeline_root")
        check_name(each.service_account, f"{file}: service_account")
    cluster = connect()
    there = cluster.recurring_runs()
    # All are looked up and held against their pipelines first: none is changed when one is wrong.
    versions = {}
    for file, each in wanted:
        version = versions[each.name] = cluster.latest_version(each.pipeline, each.version)
        parameters.check(each.parameters, parameters.definitions(stages.unwrapped(version.pipeline_spec)), str(file))
    changes = {}
    for _, each in wanted:
        found = [run for run in there if run.display_name == each.name]
        changes[each.name] = recurring_runs.apply(cluster, each, versions[each.name], found, dry_run)
        output.note(f"{each.name}: {changes[each.name]}")
    return Result(schedules.document(changes, dry_run=dry_run))


@kubeflow.command()
@click.argument("left", metavar="RUN")
@click.argument("right", metavar="RUN")
@click.option("--all", "everything", is_flag=True, help="Also what is the same.")
@click.pass_obj
def compare(connect: Any, left: str, right: str, everything: bool) -> Result:
    """Compare two RUNs: outcome, metrics, parameters, tasks."""
    from runners.kubeflow.compare import compare_runs, document, print_comparison

    cluster = connect()
    compared = compare_runs(cluster, cluster.find_run(left), cluster.find_run(right))
    return Result(lambda: document(compared), lambda: print_comparison(compared, everything=everything))


@kubeflow.command()
@click.argument("run")
@click.option("--output", "folder", type=LocalPath(file_okay=False), help="Folder; build/reports/<run>.")
@click.pass_obj
def report(connect: Any, run: str, folder: Path | None) -> Result:
    """Fetch the report pages of RUN; needs the address of the dashboard, not of the API server behind it."""
    from runners.kubeflow.artifacts import fetch_reports

    cluster = connect()
    identity = cluster.find_run(run)
    files = list(fetch_reports(cluster, identity, folder or in_checkout("build") / "reports" / identity))
    return Result({"run": identity, "files": files}, "\n".join(map(str, files)), files)


@kubeflow.command()
@click.argument("what", metavar="RUN|ARTIFACT")
@directions
@click.pass_obj
def lineage(connect: Any, what: str, direction: str | None, every: bool) -> Result:
    """Tell what made an artifact, and what came of it, across the runs on the server.

    RUN stands for what came of it. ARTIFACT is RUN/TASK/OUTPUT, a URI, a digest (or its beginning), or MODEL@VERSION.
    """
    from runners.history import as_json
    from runners.history.lineage_tree import print_lineage
    from runners.kubeflow.lineage import MOST_RUNS, ServerLineage

    graph = ServerLineage(connect())
    nodes = graph.find(what)

    def printed() -> None:
        print_lineage(graph, nodes, direction, every)
        if graph.is_cut:
            click.echo(f"not all that hangs together is told: of {MOST_RUNS} runs, the nearest, and no more", err=True)

    return Result(
        lambda: as_json.lineage(graph, nodes, direction) | {"complete": not graph.is_cut},
        printed,
        [node.id for node in nodes],
    )


def _checked(file: Path) -> dict[str, Any]:
    """The compiled pipeline of a file, after what Kubeflow Pipelines cannot do was refused."""
    ir = parameters.read_ir(file)
    training_workers.check_on_kubeflow(*documents(file.read_text()))
    return ir


def _uploaded(cluster: Cluster, file: Path, name: str = "") -> tuple[Any, bool]:
    """The version, and whether it is new."""
    version, is_new = cluster.upload(file, name)
    output.note(f"version {version.display_name} {'uploaded' if is_new else 'is there already'}")
    return version, is_new


def _values(ir: dict[str, Any], given: tuple[str, ...], where: str) -> dict[str, Any]:
    known = parameters.definitions(ir)
    values = parameters.from_texts(given, known)
    parameters.check(values, known, where)
    return values


def _wait(cluster: Cluster, identity: str, interval: float, limit: float | None) -> Result:
    return follow.outcome(follow.follow(lambda: cluster.get(identity), interval=interval, limit=limit))


def _act(cluster: Cluster, action: str, run: str) -> Result:
    identity = cluster.find_run(run)
    cluster.act(action, identity)
    return Result({"run": identity, "asked_to": action}, f"run {identity}: asked to {action}")
