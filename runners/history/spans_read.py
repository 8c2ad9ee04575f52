"""Which spans of data a model was made of, and which of those that earlier runs read have a newer version by now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.runtime.data.span_words import DATES, name, newest_versions, read_versions, told
from runners.history.lineage_nodes import Lineage
from runners.history.records import Run, list_runs
from runners.history.releases import before, training_of

_RUNS = 400
"""How many runs back it is looked who read a span."""


def spans_of(graph: Lineage, model: str) -> str:
    """Which spans a model was made of, in words; empty where its data is in none, or nobody knows.

    Args:
      graph: the lineage.
      model: id of the artifact.
    """
    training = training_of(graph, model)
    makers = before(graph, training) if training else ()
    found = [told(graph.artifacts[each].metadata) for maker in makers for each in maker.outputs.values()]
    return "; ".join(dict.fromkeys(filter(None, found)))


def late_versions(root: Path, run: Run) -> list[str]:
    """What is told of spans that have a newer version now than the last run before this one that read them used.

    Only runs on the same `data` count: the span of a number is another one elsewhere.

    Args:
      root: the pipeline root.
      run: that looked at the data.
    """
    place, looked = _read(run)
    now = newest_versions(looked)
    is_dated = bool(looked.get(DATES))
    reads, waiting = read_versions(looked), set(now)
    found: dict[int, int] = {}
    for earlier in _before(root, run) if now else ():
        data, metadata = _read(earlier)
        read = read_versions(metadata) if data == place else {}
        found |= {span: read[span] for span in waiting & read.keys()}
        waiting -= read.keys()
        if not waiting:
            break
    return [
        f"span {name(span, is_dated)}: this run reads version {now[span]}, the last one that read it used {version}"
        if span in reads
        else f"span {name(span, is_dated)} has version {now[span]} now, the last run that read it used {version}"
        for span, version in sorted(found.items())
        if version < now[span]
    ]


def _before(root: Path, run: Run) -> list[Run]:
    runs = [each for each in list_runs(root) if each.pipeline == run.pipeline]
    ids = [each.id for each in runs]
    return runs[ids.index(run.id) + 1 :][:_RUNS] if run.id in ids else []


def _read(run: Run) -> tuple[str, Mapping[str, Any]]:
    """Where a run's data lies, and the metadata of the examples that it read there."""
    for each in run.of_stage("ingest"):
        if "examples" in each.outputs:
            return str(each.parameters.get("data", "")).rstrip("/"), each.outputs["examples"].metadata
    return "", {}
