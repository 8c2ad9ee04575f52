"""What made what under a pipeline root: the graph of artifacts and executions, from the OpenLineage events."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError
from components.runtime.lineage.events import ARTIFACT_FACET, EXECUTION_FACET
from components.runtime.records import execution_record, run_record
from components.runtime.records.execution_record import ARTIFACT_PLACE, relative_uri
from components.runtime.text.json_text import parse
from runners.history.lineage_events import events, within
from runners.history.lineage_nodes import WATCH, ArtifactNode, ExecutionNode, Lineage, first_pushes, some, version_of
from runners.history.records import LATEST, list_runs, load_run

_STATES = {"START": "running", "COMPLETE": "done", "FAIL": "failed", "ABORT": "stopped"}


@dataclass
class Graph(Lineage):
    """All artifacts and executions that the events under a pipeline root tell of."""

    root: Path = field(default_factory=Path)

    @classmethod
    def read(cls, root: Path) -> Graph:
        """Reads the events of all runs."""
        return cls._of(root, sorted((root / "lineage").glob("*/*.jsonl")))

    @classmethod
    def of_run(cls, root: Path, run: str) -> Graph:
        """Reads the events of one run, of the look that has begun it, and of whatever made what its tasks read."""
        # What looked, and has begun it, is no artifact that it read.
        look = _look(root, run)
        runs = [root / "lineage" / each for each in (run, look) if each]
        return cls._of(root, sorted(file for folder in runs for file in folder.glob("*.jsonl")))

    @classmethod
    def _of(cls, root: Path, files: list[Path]) -> Graph:
        graph, seen = cls(root=root), set[Path]()
        while files:
            seen |= set(files)
            for event in events(files):
                graph._add(event)
            files = sorted({file for file in graph._origins() if file.is_file()} - seen)
        graph.join_baselines()
        graph.join_reused()
        graph.join_spans()
        graph.join_looks(graph._looks())
        return graph

    def _looks(self) -> dict[str, str]:
        """By a run the look at a version in service that has begun it, if looks are known."""
        is_looked = any(node.stage == WATCH for node in self.executions.values())
        return {run: look for run in {run for run, _ in self.runs} if is_looked and (look := _look(self.root, run))}

    def _origins(self) -> Iterator[Path]:
        """The files of events that tell what made those artifacts of which no event does so far."""
        for node in self.artifacts.values():
            place = None if node.maker else ARTIFACT_PLACE.search(node.uri)
            if place and (record := execution_record.read(self.root, Path(place["place"]).parent)):
                yield self.root / "lineage" / str(record.get("run")) / f"{place['task']}.jsonl"

    def find(self, reference: str) -> list[ArtifactNode]:
        """Finds the artifacts that a person means.

        Args:
          reference: a digest or the beginning of one, a path, `<run>/<task>/<output>` (the run as records.load_run
            takes it), or `<model>@<version>`.

        Returns:
          The artifacts; several where the same content was made more than once.

        Raises:
          InputError: there is none, or the beginning of a digest fits different contents.
        """
        if not self.artifacts:
            raise InputError(
                f"{self.root}: no lineage is recorded here; run a pipeline, or name its folder with --root"
            )
        for look in (self._by_version, self._by_run, self._by_path, self.by_digest):
            if found := look(reference):
                return found
        raise InputError(
            f"{reference}: no such artifact under {self.root}; give a digest (at least 4 digits), a path, "
            "run/task/output, or model@version"
        )

    def _add(self, event: dict[str, Any]) -> None:
        facets = event["run"]["facets"]
        facet = facets[EXECUTION_FACET]
        run, task, pipeline = facet["run"], facet["task"], facet["pipeline"]
        state = _STATES.get(event.get("eventType", ""), "running")
        identity = f"{pipeline}/{task}/{facet['executionKey']}"
        self.runs[run, task] = identity
        node = self.executions.setdefault(
            identity, ExecutionNode(identity, pipeline, task, facet.get("stage", ""), facet.get("madeBy", run))
        )
        if facet.get("cached"):
            if run not in node.reused_by:
                node.reused_by.append(run)
        elif state == "done" or node.state != "done":
            # A failed execution and its repetition have the same key, but only one of them made the artifacts.
            node.run, node.state, node.time = run, state, str(event.get("eventTime", ""))
            node.error = within(facets, "errorMessage").get("message", "")
        if facet.get("cached") and node.state != "done":
            node.state = "done"
        for parameter in within(facets, "executionParameters").get("parameters", []):
            node.parameters[parameter["key"]] = str(parameter.get("value", ""))
        for dataset in event.get("inputs") or []:
            artifact = self._artifact(dataset)
            node.inputs[dataset["facets"][ARTIFACT_FACET]["argument"]] = artifact.id
            if identity not in artifact.users:
                artifact.users.append(identity)
        for dataset in event.get("outputs") or []:
            artifact = self._artifact(dataset)
            artifact.maker = identity
            node.outputs[dataset["facets"][ARTIFACT_FACET]["argument"]] = artifact.id

    def _artifact(self, dataset: dict[str, Any]) -> ArtifactNode:
        facet = dataset["facets"][ARTIFACT_FACET]
        digest = within(dataset, "facets", "version").get("datasetVersion", "")
        outside = dataset["namespace"] == "file"
        identity = f"{facet['uri']}\0{digest}" if outside else facet["uri"]
        node = self.artifacts.get(identity)
        if node is None:
            name = dataset["name"] if outside else "/".join(dataset["name"].split(".")[1:])
            node = self.artifacts[identity] = ArtifactNode(identity, name, facet["uri"])
        node.digest = digest or node.digest
        node.type = facet.get("artifactType") or node.type
        node.metadata |= facet.get("metadata", {})
        return node

    def _by_version(self, reference: str) -> list[ArtifactNode]:
        model, at, version = reference.rpartition("@")
        if not at:
            return []
        found = self.versions(model, version)
        if not found and not os.path.exists(reference):
            raise InputError(f"{reference}: no such version; {self.known_versions()}")
        return found

    def _by_run(self, reference: str) -> list[ArtifactNode]:
        run, _, rest = reference.partition("/")
        task, _, output = rest.partition("/")
        known = {each for each, _ in self.runs}
        of_pipeline = run not in known and any(each.pipeline == run for each in self.executions.values())
        if (run == LATEST or of_pipeline) and task and output:
            run = load_run(self.root, run).id
        runs = {run} & known or {each for each in known if each.startswith(run)}
        if not run or not output or "/" in output or not runs:
            return []
        if len(runs) > 1:
            raise InputError(f"{run}: {len(runs)} runs begin so: {some(runs)}; give more of the id")
        run = runs.pop()
        node = self.output(run, task, output)
        if node is None:
            having = next((each.id for each in list_runs(self.root) if (each.id, task) in self.runs), "")
            newest = f"; the newest run with one is {having}" if having else ""
            ran = some(self.tasks(run)) or "nothing"
            raise InputError(f"{reference}: {task} has not run in {run}, only {ran}{newest}")
        return [node]

    def _by_path(self, reference: str) -> list[ArtifactNode]:
        given = Path(reference)
        spellings = {reference.rstrip("/"), os.path.abspath(given), str(given.resolve())}
        relative = {relative_uri(self.root, spelling) for spelling in spellings}
        # A file inside an artifact means the artifact.
        places = {str(place) for path in relative | spellings for place in (Path(path), *Path(path).parents)}
        found = [node for node in self.artifacts.values() if node.maker and node.uri in places]
        if not found:
            found = [node for folder, node in self.spans().items() if folder in places]
        if not found:
            found = [node for node in self.artifacts.values() if not node.maker and node.uri in spellings]
        if not found:
            for node in self.artifacts.values():
                destination = str(node.metadata.get("destination") or "")
                if node.maker and destination and os.path.join(destination, version_of(node)) in places:
                    found.append(node)
            found = first_pushes(found)
        return found


def _look(root: Path, run: str) -> str:
    """The look that has begun a run; empty where none has, or nobody knows."""
    try:
        return run_record.look_of(str(parse((root / "runs" / run / run_record.FILE).read_bytes()).get("by") or ""))
    except (OSError, ValueError, AttributeError):
        return ""
