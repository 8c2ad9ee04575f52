"""The files from outside of the pipeline that a run's tasks read: its code, its settings, its data."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePath

from runners.history.lineage_graph import Graph
from runners.history.records import Run

_KIND = "file"


def files_read(run: Run) -> dict[str, str]:
    """Digests of the files and folders, by name; by path where two are called the same."""
    graph = Graph.of_run(run.root, run.id.partition("/")[0])
    found: dict[str, str] = {}
    for task in run.tasks:
        node = graph.executions.get(task.execution.removeprefix("artifacts/"))
        for each in node.inputs.values() if node else ():
            artifact = graph.artifacts[each]
            if artifact.type == _KIND:
                found[artifact.uri] = artifact.digest
    return named(found)


def named(digests: dict[str, str]) -> dict[str, str]:
    """By the last part of paths in their place, as far as no two are called the same."""
    names = Counter(PurePath(path).name for path in digests)
    return {path if names[name := PurePath(path).name] > 1 else name: each for path, each in digests.items()}
