"""`argo explore`: the runs on a cluster's volume in a browser, from a copy of their records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from components.runtime.errors import InputError
from runners.argo import records_copy
from runners.argo.cluster import ArgoCluster
from runners.argo.workflow_file import read_workflow
from runners.commands import explore as explorer
from runners.commands.local_path import LocalPath
from runners.settings.folders import made
from runners.settings.parameters import compiled_file
from runners.terminal import output
from runners.terminal.output import Result


@click.command()
@click.argument("pipeline", required=False)
@explorer.opening
@click.option("--output", "folder", type=LocalPath(file_okay=False), help="For the copy; in build/.")
@click.pass_obj
def explore(
    connect: Any, pipeline: str | None, no_browser: bool, port: int, only_writes: bool, folder: Path | None
) -> Result:
    """Copy the records of all runs from the volume, and open them in a browser; Ctrl-C ends it.

    The volume is that of PIPELINE, a compiled file or a model's in build/; of the newest Workflow when not given. The
    copy is a pipeline root: `./millrace --root COPY report latest`.
    """
    from runners.history.explorer.update import complete, update

    cluster = connect()
    if pipeline:
        workflow = read_workflow(compiled_file(pipeline, "argo"))
        cluster.namespace = cluster.place(workflow)
        claim = records_copy.claim(workflow)
    else:
        workflow, claim = _newest(cluster)
    where = f"{cluster.where.partition('://')[2]}-{cluster.namespace}-{claim}"
    root = made((folder or explorer.folder_of(where)).absolute())
    records_copy.copy(cluster.printed, workflow, root, output.note)
    page = complete(root, explorer.left)
    return explorer.opened(
        page, root, no_browser=no_browser, port=port, only_writes=only_writes, refresh=lambda: update(root)
    )


def _newest(cluster: ArgoCluster) -> tuple[dict[str, Any], str]:
    why = ""
    for workflow in cluster.list():
        try:
            return workflow, records_copy.claim(workflow)
        except InputError as error:
            why = why or f" ({error})"
    raise InputError(
        f"no Workflow in the namespace {cluster.namespace} on {cluster.where} tells which volume has the records{why}; "
        "name a compiled pipeline"
    )
