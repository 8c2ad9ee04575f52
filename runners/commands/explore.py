"""`explore`: all runs, their comparison, their lineage and what is served, in a browser."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path

import click

from components.runtime.errors import InputError
from runners import in_checkout
from runners.commands.local_path import LocalPath
from runners.remote.http import TIMEOUT
from runners.settings.folders import made
from runners.terminal.output import Result


def opening(command: Callable[..., Result]) -> Callable[..., Result]:
    """The options of every command that opens the explorer."""
    options = (
        click.option("--no-browser", is_flag=True, help="Only tell the address; open no browser."),
        click.option(
            "--port", default=0, type=click.IntRange(0, 65535), help="Of the server; a free one when not given."
        ),
        click.option("--write", "only_writes", is_flag=True, help="Write the files, tell where the page is, and end."),
    )
    return functools.reduce(lambda made, option: option(made), reversed(options), command)


def opened(
    page: Path, root: Path, *, no_browser: bool, port: int, only_writes: bool, refresh: Callable[[], object]
) -> Result:
    """Opens the explorer's page in a root, or only tells where it is; see `serve`."""
    from runners.history.explorer.server import serve

    if only_writes:
        return Result({"page": page}, str(page), [page])
    address = serve(page, root, port=port, opens=not no_browser, refresh=refresh)
    return Result({"page": page, "address": address})


@click.command()
@opening
@click.option("--host", default="", help="Runs on this Kubeflow Pipelines server instead, as http://localhost:8080.")
@click.option("--context", "name", default="", help="The same by its name in the contexts file.")
@click.option("--namespace", default="", help="Yours, on a server with many users.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="So many runs of a server.")
@click.option("--output", type=LocalPath(file_okay=False), help="Folder for a server's; in build/.")
@click.pass_context
def explore(
    context: click.Context,
    no_browser: bool,
    port: int,
    only_writes: bool,
    host: str,
    name: str,
    namespace: str,
    limit: int,
    output: Path | None,
) -> Result:
    """Open runs, metrics over time, comparisons, lineage and versions in a browser; Ctrl-C ends it.

    The page lies in the pipeline root beside the runs, as explorer/index.html, and needs no server.
    """
    from runners.history.explorer.update import complete, update

    root = Path(context.obj["root"]).absolute()
    refresh: Callable[[], object]
    if host or name:
        page = _of_server(host, name, namespace, limit, output)
        root, refresh = page.parent, lambda: None
    elif namespace or output:
        raise InputError("--namespace and --output are for runs on a server; name it with --host or --context")
    else:
        page = complete(root, left)
        refresh = lambda: update(root)  # noqa: E731
    return opened(page, root, no_browser=no_browser, port=port, only_writes=only_writes, refresh=refresh)


def left(runs: int) -> None:
    """Says how many runs are not yet in the page."""
    click.echo(f"{runs:,} runs left to read", err=True)


def folder_of(server: str) -> Path:
    """Where the files of a server lie, in the checkout's `build/`."""
    return in_checkout("build") / "explorer" / re.sub(r"[^\w.-]+", "-", server)


def _of_server(host: str, name: str, namespace: str, limit: int, output: Path | None) -> Path:
    from runners.kubeflow import contexts, explorer
    from runners.kubeflow.connection import Connection
    from runners.kubeflow.server import Cluster

    cluster = Cluster(Connection(contexts.find(name, host, namespace), TIMEOUT))
    folder = made((output or folder_of(cluster.where.partition("://")[2])).absolute())
    return explorer.write(cluster, folder, limit, lambda line: click.echo(line, err=True))
