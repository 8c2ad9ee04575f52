"""The files from outside of the pipeline that a run's tasks read: its code, its settings, its data."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePath

from runners.history.lineage_graph import Graph
from runners.history.records import Run

_KIND = "file"


def files_read(run: Run, graph: Graph | None = None) -> dict[str, str]:
    """Digests of the files and folders, by name; by path where two are called the same.

    Args:
      run: the run, or what of_candidate makes of one.
      graph: its lineage, where that has been read already.
    """
    graph = graph or Graph.of_run(run.root, run.id.partition("/")[0])
    found: dict[str, str] = {}
    for task in run.tasks:
        node = graph.executions.get(task.execution.removeprefix("artifacts/"))
        for each in node.inputs.values() if node else ():
            artifact = graph.artifacts[each]
            if artifact.type == _KIND:
                found[artifact.uri] = artifact.digest
    names = Counter(PurePath(path).name for path in found)
    return {path if names[name := PurePath(path).name] > 1 else name: each for path, each in found.items()}
