"""`lineage`: what made an artifact, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from runners import text
from runners.lineage_graph import ArtifactNode, ExecutionNode, Graph

_STATE_STYLES = {"failed": "red", "interrupted": "yellow", "running": "cyan"}

Line = tuple[str, str]
"""A line's branch of the tree, and what it says."""


@click.command()
@click.argument("artifact")
@click.option("--up", "direction", flag_value="up", help="Only what made it.")
@click.option("--down", "direction", flag_value="down", help="Only what came of it.")
@click.pass_context
def lineage(context: click.Context, artifact: str, direction: str | None) -> None:
    """Tell what made ARTIFACT, and what came of it.

    ARTIFACT is a digest (or its beginning), a path, RUN/TASK/OUTPUT, or MODEL@VERSION.
    """
    root: Path = context.obj["root"]
    graph = Graph.read(root)
    for position, node in enumerate(graph.find(artifact)):
        if position:
            click.echo()
        click.echo(text.styled(_describe(node), "bold"))
        for key, value in _facts(node):
            click.echo(f"  {key}: {value}")
        if direction != "down":
            click.echo("\nmade by")
            _print(_up(graph, node))
        if direction != "up":
            click.echo("\nused by")
            _print(_down(graph, node))


def _print(lines: Iterator[Line]) -> None:
    for branch, line in lines:
        click.echo(f"{text.styled(branch, 'dim')}{line}")


def _up(graph: Graph, node: ArtifactNode) -> Iterator[Line]:
    if not node.maker:
        yield "", "nothing of the pipeline: it came from outside"
        return
    yield from _maker(graph, node.maker, "", set())


def _maker(graph: Graph, identity: str, indent: str, seen: set[str]) -> Iterator[Line]:
    execution = graph.executions[identity]
    yield indent, _execution(execution)
    seen.add(identity)
    children = [(name, graph.artifacts[each]) for name, each in execution.inputs.items()]
    for position, (name, child) in enumerate(children):
        last = position == len(children) - 1
        branch, below = (f"{indent}└─ ", f"{indent}   ") if last else (f"{indent}├─ ", f"{indent}│  ")
        again = bool(child.maker) and child.maker in seen
        yield branch, f"{name}: {_describe(child)}{'  (see above)' if again else ''}"
        if child.maker and not again:
            yield from _maker(graph, child.maker, below, seen)


def _down(graph: Graph, node: ArtifactNode) -> Iterator[Line]:
    if not node.users:
        yield "", "nothing yet"
        return
    yield from _users(graph, node, "", set())


def _users(graph: Graph, node: ArtifactNode, indent: str, seen: set[str]) -> Iterator[Line]:
    for position, identity in enumerate(node.users):
        last = position == len(node.users) - 1
        branch, below = (f"{indent}└─ ", f"{indent}   ") if last else (f"{indent}├─ ", f"{indent}│  ")
        execution = graph.executions[identity]
        again = identity in seen
        yield branch, f"{_execution(execution)}{'  (see above)' if again else ''}"
        if again:
            continue
        seen.add(identity)
        outputs = [graph.artifacts[each] for each in execution.outputs.values()]
        for place, output in enumerate(outputs):
            end = place == len(outputs) - 1
            yield f"{below}{'└─ ' if end else '├─ '}", _describe(output)
            yield from _users(graph, output, f"{below}{'   ' if end else '│  '}", seen)


def _describe(node: ArtifactNode) -> str:
    """An artifact in one line: its name, digest and what matters of its metadata."""
    extras = []
    if "destination" in node.metadata:
        extras.append(f"version {node.metadata.get('version')}")
    elif node.metadata.get("version"):
        extras.append(f"version {node.metadata['version']}")
    if "blessed" in node.metadata:
        extras.append("blessed" if node.metadata["blessed"] else "not blessed")
    if node.metadata.get("rows") is not None:
        extras.append(f"{node.metadata['rows']} rows")
    if node.metadata.get("anomalies") is not None:
        extras.append(f"{node.metadata['anomalies']} anomalies")
    about = f" ({', '.join(str(extra) for extra in extras)})" if extras else ""
    return f"{node.name} {text.short(node.digest) or 'no digest'}{about}"


def _facts(node: ArtifactNode) -> Iterator[tuple[str, str]]:
    yield "place", node.uri
    if node.digest:
        yield "digest", node.digest
    for name, value in sorted(node.metadata.items()):
        if name not in ("bytes", "producer"):
            yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    if node.metadata.get("bytes"):
        yield "size", text.size(node.metadata["bytes"])
    if node.metadata.get("producer"):
        yield "producer", str(node.metadata["producer"])


def _execution(execution: ExecutionNode) -> str:
    state = "" if execution.state == "done" else f", {text.styled(execution.state, _STATE_STYLES[execution.state])}"
    reused = f", reused by {', '.join(execution.reused_by)}" if execution.reused_by else ""
    error = f": {execution.error}" if execution.error else ""
    return f"{text.styled(execution.task, 'cyan')} in {execution.run}{state}{reused}{error}"
