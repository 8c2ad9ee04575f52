"""The tree of an artifact's lineage, printed: what made it, and what came of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from components.runtime.data import span_words
from components.runtime.records import facts
from components.runtime.text.visible import in_one_line
from runners.history.lineage_nodes import ArtifactNode, ExecutionNode, Lineage
from runners.history.record_values import finite
from runners.terminal import text

_NARROWEST = 20
"""Letters of a line that stay together, however deep in the tree it hangs."""

_STATE_STYLES = {"failed": "red", "stopped": "yellow", "running": "cyan"}

Line = tuple[str, str]
"""A line's branch of the tree, and what it says."""


def print_lineage(graph: Lineage, nodes: Sequence[ArtifactNode], direction: str | None, every: bool) -> None:
    """Prints artifacts, each with its facts and its trees.

    Args:
      graph: has all that is known.
      nodes: the artifacts.
      direction: `up` for what made them alone, `down` for what came of them, None for both.
      every: whether every run that took an execution from the cache is named.
    """
    for position, node in enumerate(nodes):
        if position:
            click.echo()
        click.echo(text.styled(_describe(node), "bold"))
        for key, value in _facts(node):
            click.echo(f"  {key}: {in_one_line(str(value))}")
        if direction != "down":
            click.echo("\nmade by")
            _print(_up(graph, node, every))
        if direction != "up":
            click.echo("\nused by")
            _print(_down(graph, node, every))


def _print(lines: Iterator[Line]) -> None:
    """Prints the tree; on a terminal long lines go on within it, in a pipe they stay whole."""
    if not sys.stdout.isatty():
        for branch, line in lines:
            click.echo(f"{branch}{line}")
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for branch, line in lines:
        # The branch goes on at the left of what the line has too much.
        below = branch.replace("├─", "│ ").replace("└─", "  ") + "  "
        parts = Text.from_ansi(line).wrap(console, max(console.width - len(below), _NARROWEST))
        for begin, part in zip([branch, *[below] * len(parts)], parts, strict=False):
            part.rstrip()
            console.print(Text.assemble((begin, "dim"), part), soft_wrap=True)


def _up(graph: Lineage, node: ArtifactNode, every: bool) -> Iterator[Line]:
    if not node.maker:
        yield "", "nothing of the pipeline: it came from outside"
        return
    yield from _maker(graph, node.maker, "", set(), every)


def _maker(graph: Lineage, identity: str, indent: str, seen: set[str], every: bool) -> Iterator[Line]:
    execution = graph.executions[identity]
    yield indent, _execution(execution, every)
    seen.add(identity)
    # A choice goes on with what was chosen; what made the other candidates can be asked for.
    others = graph.not_chosen(execution)
    names = sorted(execution.inputs, key=others.__contains__)
    children = [(name, graph.artifacts[execution.inputs[name]]) for name in names]
    for position, (name, child) in enumerate(children):
        last = position == len(children) - 1
        branch, below = (f"{indent}└─ ", f"{indent}   ") if last else (f"{indent}├─ ", f"{indent}│  ")
        again = bool(child.maker) and child.maker in seen
        note = "  (not chosen)" if name in others else "  (see above)" if again else ""
        yield branch, f"{name}: {_describe(child)}{note}"
        if child.maker and not again and name not in others:
            yield from _maker(graph, child.maker, below, seen, every)


def _down(graph: Lineage, node: ArtifactNode, every: bool) -> Iterator[Line]:
    if not node.users:
        yield "", "nothing yet"
        return
    yield from _users(graph, node, "", set(), every)


def _users(graph: Lineage, node: ArtifactNode, indent: str, seen: set[str], every: bool) -> Iterator[Line]:
    for position, identity in enumerate(node.users):
        last = position == len(node.users) - 1
        branch, below = (f"{indent}└─ ", f"{indent}   ") if last else (f"{indent}├─ ", f"{indent}│  ")
        execution = graph.executions[identity]
        again = identity in seen
        yield branch, f"{_execution(execution, every)}{'  (see above)' if again else ''}"
        if again:
            continue
        seen.add(identity)
        outputs = [graph.artifacts[each] for each in execution.outputs.values()]
        for place, output in enumerate(outputs):
            end = place == len(outputs) - 1
            yield f"{below}{'└─ ' if end else '├─ '}", _describe(output)
            yield from _users(graph, output, f"{below}{'   ' if end else '│  '}", seen, every)


def _describe(node: ArtifactNode) -> str:
    """An artifact in one line: its name, digest and what matters of its metadata."""
    extras = []
    if "destination" in node.metadata:
        extras.append(f"version {node.metadata.get('version')}")
    elif node.metadata.get("version"):
        extras.append(f"version {node.metadata['version']}")
    if "label" in node.metadata:
        extras.append(f"label {node.metadata['label']}")
    if "candidate" in node.metadata:
        extras.append(f"candidate {node.metadata['candidate']}")
    if "blessed" in node.metadata:
        extras.append("blessed" if node.metadata["blessed"] else "not blessed")
    extras += facts.review(node.metadata)
    extras += filter(None, [span_words.told(node.metadata)])
    for name, thing in ("rows", "row"), ("anomalies", "anomaly"):
        if name in node.metadata:
            count = _count(node.metadata[name])
            extras.append(f"{count} {thing if count == '1' else name}")
    about = f" ({', '.join(str(extra) for extra in extras)})" if extras else ""
    return f"{node.name} {text.content(node.digest, node.type) or 'no digest'}{about}"


def _facts(node: ArtifactNode) -> Iterator[tuple[str, str]]:
    yield "place", node.uri
    if node.digest:
        said = text.content(node.digest, node.type)
        yield "digest", node.digest + ("" if said in node.digest else f" ({said})")
    for name, value in sorted(node.metadata.items()):
        if name not in ("bytes", facts.SPAN_BYTES, "producer"):
            counted = name.startswith("rows") or name == "files"
            yield (
                name,
                ", ".join(map(str, value)) if isinstance(value, list) else _count(value) if counted else str(value),
            )
    if size := finite(facts.size(node.metadata)):
        yield "size", text.size(size)
    if node.metadata.get("producer"):
        yield "producer", str(node.metadata["producer"])


def _count(value: Any) -> str:
    """A count, which other targets write as a float or as text."""
    try:
        return f"{float(value):,.0f}"
    except (TypeError, ValueError, OverflowError):
        return str(value)


def _execution(execution: ExecutionNode, every: bool) -> str:
    state = "" if execution.state == "done" else f", {text.styled(execution.state, _STATE_STYLES[execution.state])}"
    others = execution.reused_by
    reused = ""
    if others:
        reused = f", reused by {', '.join(others) if every or len(others) == 1 else f'{len(others)} runs'}"
    error = f": {execution.error}" if execution.error else ""
    return f"{text.styled(execution.task, 'cyan')} in {execution.run}{state}{reused}{error}"
