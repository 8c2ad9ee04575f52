"""`lineage`: what made an artifact, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from runners.commands import completion
from runners.history import as_json
from runners.history.lineage_graph import Graph
from runners.history.lineage_tree import print_lineage
from runners.terminal.output import Result


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
def lineage(context: click.Context, artifact: str, direction: str | None, every: bool) -> Result:
    """Tell what made ARTIFACT, and what came of it.

    ARTIFACT is a digest (or its beginning), a path, RUN/TASK/OUTPUT, or MODEL@VERSION. RUN may be a model, for its
    newest, or `latest`.
    """
    root: Path = context.obj["root"]
    graph = Graph.read(root)
    nodes = graph.find(artifact)
    return Result(
        lambda: as_json.lineage(graph, nodes, direction),
        lambda: print_lineage(graph, nodes, direction, every),
        [node.id for node in nodes],
    )
