"""`lineage`: what made an artifact, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from runners.commands import completion
from runners.history.lineage_graph import Graph
from runners.history.lineage_tree import print_lineage


def directions(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that prints lineage."""
    for option in (
        click.option("--all", "every", is_flag=True, help="Name every run that took an execution from the cache."),
        click.option("--down", "direction", flag_value="down", help="Only what came of it."),
        click.option("--up", "direction", flag_value="up", help="Only what made it."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("artifact", shell_complete=completion.artifacts)
@directions
@click.pass_context
def lineage(context: click.Context, artifact: str, direction: str | None, every: bool) -> None:
    """Tell what made ARTIFACT, and what came of it.

    ARTIFACT is a digest (or its beginning), a path, RUN/TASK/OUTPUT (RUN may be `latest`), or MODEL@VERSION.
    """
    root: Path = context.obj["root"]
    graph = Graph.read(root)
    print_lineage(graph, graph.find(artifact), direction, every)
