"""Reads the OpenLineage event files under a pipeline root: those events that tell of an execution, whole."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from components.runtime.lineage.events import ARTIFACT_FACET, EXECUTION_FACET
from components.runtime.text.json_text import parse


def events(files: Iterable[Path]) -> list[dict[str, Any]]:
    """Every event that can be read, in the order of their times; the last line of a killed run may be half there.

    The events of one task stay in the order in which they were written, even where the clock was set back meanwhile.
    """
    timed = []
    for file in files:
        latest = ""
        try:
            lines = file.read_text(errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            try:
                event = parse(line)
            except ValueError:
                continue
            if _is_of_execution(event):
                latest = max(latest, str(event.get("eventTime", "")))
                timed.append((latest, event))
    return [event for _, event in sorted(timed, key=lambda each: each[0])]


def _is_of_execution(event: Any) -> bool:
    """Whether an event tells of an execution, with everything in its place that the graph goes by."""
    facets = within(event, "run", "facets")
    facet = within(facets, EXECUTION_FACET)
    texts = [facet.get(name) for name in ("run", "task", "pipeline", "executionKey")] + [
        facet.get("stage", ""),
        facet.get("madeBy", ""),
        within(facets, "errorMessage").get("message", ""),
        event.get("eventType", "") if facet else None,
    ]
    parameters = within(facets, "executionParameters").get("parameters", [])
    datasets = [event.get(side) or [] for side in ("inputs", "outputs")] if facet else []
    return (
        all(isinstance(each, str) for each in texts)
        and isinstance(parameters, list)
        and all(isinstance(within(each).get("key"), str) for each in parameters)
        and all(isinstance(side, list) and all(map(_is_of_artifact, side)) for side in datasets)
    )


def _is_of_artifact(dataset: Any) -> bool:
    facet = within(dataset, "facets", ARTIFACT_FACET)
    texts = [facet.get("argument"), facet.get("uri"), facet.get("artifactType") or ""]
    texts += [within(dataset, "facets", "version").get("datasetVersion", "")]
    texts += [within(dataset).get(name) for name in ("namespace", "name")]
    return all(isinstance(each, str) for each in texts) and isinstance(facet.get("metadata", {}), dict)


def within(document: Any, *path: str) -> dict[str, Any]:
    """An inner part of a document; empty where it is not there, or not an object."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}
