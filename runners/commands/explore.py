"""`explore`: all runs, their comparison, their lineage and what is served, in a browser."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--no-browser", is_flag=True, help="Only tell the address; open no browser.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Of the server; a free one when not given.")
@click.option("--write", "only_write", is_flag=True, help="Write the files, tell where the page is, and end.")
@click.pass_context
def explore(context: click.Context, no_browser: bool, port: int, only_write: bool) -> None:
    """Open the explorer: runs, metrics over time, comparisons, lineage, versions. Ctrl-C ends it."""
    from runners.history.explorer.server import serve
    from runners.history.explorer.update import complete, update

    root = Path(context.obj["root"]).absolute()
    page = complete(root, lambda left: click.echo(f"{left:,} runs left to read", err=True))
    if only_write:
        click.echo(page)
        return
    serve(page, root, port=port, opens=not no_browser, refresh=lambda: update(root))
