"""What made what: the graph of artifacts and executions, from the OpenLineage events."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError
from components.runtime.lineage.events import ARTIFACT_FACET, EXECUTION_FACET
from components.runtime.records.execution_record import relative_uri
from runners.history.lineage_events import events, within
from runners.history.records import LATEST, list_runs, load_run

_DIGEST = re.compile(r"(?:(?:listing-)?sha256:)?([0-9a-f]{4,64})")
_STATES = {"START": "running", "COMPLETE": "done", "FAIL": "failed", "ABORT": "stopped"}
_SHOWN = 5
_MODEL, _RESOLVE = "system.Model", "resolve"


@dataclass
class ArtifactNode:
    """An artifact: one output of one execution, or a file from outside of the pipeline.

    Attributes:
      id: its URI relative to the pipeline root; for a file from outside its path and version.
      name: `<task>/<output>`, or the path of a file.
      maker: id of the execution that made it, empty for a file from outside.
      users: ids of the executions that read it.
    """

    id: str
    name: str
    uri: str
    digest: str = ""
    type: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    maker: str = ""
    users: list[str] = field(default_factory=list)


@dataclass
class ExecutionNode:
    """One execution of a stage, with all the runs that took part in it.

    Attributes:
      run: the run that made it.
      reused_by: runs that took it from the cache.
    """

    id: str
    pipeline: str
    task: str
    stage: str
    run: str
    state: str = "running"
    time: str = ""
    error: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    reused_by: list[str] = field(default_factory=list)


@dataclass
class Graph:
    """All artifacts and executions that the events under a pipeline root tell of."""

    root: Path
    artifacts: dict[str, ArtifactNode] = field(default_factory=dict)
    executions: dict[str, ExecutionNode] = field(default_factory=dict)
    runs: dict[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> Graph:
        """Reads the events of all runs."""
        graph = cls(root)
        for event in events(root):
            graph._add(event)
        graph._join_baselines()
        return graph

    def find(self, reference: str) -> list[ArtifactNode]:
        """Finds the artifacts that a person means.

        Args:
          reference: a digest or the beginning of one, a path, `<run>/<task>/<output>` (the run may be `latest`), or
            `<model>@<version>`.

        Returns:
          The artifacts; several where the same content was made more than once.

        Raises:
          InputError: there is none, or the beginning of a digest fits different contents.
        """
        if not self.artifacts:
            raise InputError(
                f"{self.root}: no lineage is recorded here; run a pipeline, or name its folder with --root"
            )
        for look in (self._by_version, self._by_run, self._by_path, self._by_digest):
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

    def _join_baselines(self) -> None:
        """Notes which model each baseline is: resolve finds it in the serving directory, not among its inputs."""
        models = {
            node.digest: node
            for node in self.artifacts.values()
            if node.maker and node.type == _MODEL and self.executions[node.maker].stage != _RESOLVE
        }
        for execution in self.executions.values():
            found = [self.artifacts[each] for each in execution.outputs.values()] if execution.stage == _RESOLVE else []
            for baseline in found:
                model = models.get(baseline.digest)
                if model is not None and execution.id not in model.users:
                    execution.inputs["found"] = model.id
                    model.users.append(execution.id)

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
        pushed = [node for node in self.artifacts.values() if node.maker and "destination" in node.metadata]
        versions = sorted({f"{name}@{_version(node)}" for node in pushed for name in self._names(node)})
        found = [node for node in pushed if model in self._names(node) and _version(node) == version]
        if not found and not os.path.exists(reference):
            known = f"pushed are {', '.join(versions)}" if versions else "nothing has been pushed under this root"
            raise InputError(f"{reference}: no such version; {known}")
        return _first_pushes(found)

    def _names(self, pushed: ArtifactNode) -> set[str]:
        """The names that a pushed model goes by: that of its serving directory and that of its pipeline."""
        return {Path(str(pushed.metadata["destination"])).name, self.executions[pushed.maker].pipeline}

    def _by_run(self, reference: str) -> list[ArtifactNode]:
        run, _, rest = reference.partition("/")
        task, _, output = rest.partition("/")
        known = {each for each, _ in self.runs}
        if run == LATEST and task and output:
            run = load_run(self.root).id
        runs = {run} & known or {each for each in known if each.startswith(run)}
        if not run or not output or "/" in output or not runs:
            return []
        if len(runs) > 1:
            raise InputError(f"{run}: {len(runs)} runs begin so: {_some(runs)}; give more of the id")
        run = runs.pop()
        identity = self.runs.get((run, task))
        if identity is None:
            tasks = {name for each, name in self.runs if each == run}
            having = next((each.id for each in list_runs(self.root) if (each.id, task) in self.runs), "")
            newest = f"; the newest run with one is {having}" if having else ""
            raise InputError(f"{reference}: {task} has not run in {run}, only {_some(tasks) or 'nothing'}{newest}")
        node = self.executions[identity]
        if output not in node.outputs:
            state = "" if node.outputs else f" (it is {node.state})"
            has = _some(set(node.outputs)) or "none"
            raise InputError(f"{reference}: {task} has no output {output!r}{state}; it has: {has}")
        return [self.artifacts[node.outputs[output]]]

    def _by_path(self, reference: str) -> list[ArtifactNode]:
        given = Path(reference)
        spellings = {reference.rstrip("/"), os.path.abspath(given), str(given.resolve())}
        relative = {relative_uri(self.root, spelling) for spelling in spellings}
        # A file inside an artifact means the artifact.
        places = {str(place) for path in relative | spellings for place in (Path(path), *Path(path).parents)}
        found = [node for node in self.artifacts.values() if node.maker and node.uri in places]
        if not found:
            found = [node for node in self.artifacts.values() if not node.maker and node.uri in spellings]
        if not found:
            for node in self.artifacts.values():
                destination = str(node.metadata.get("destination") or "")
                if node.maker and destination and os.path.join(destination, _version(node)) in places:
                    found.append(node)
            found = _first_pushes(found)
        return found

    def _by_digest(self, reference: str) -> list[ArtifactNode]:
        match = _DIGEST.fullmatch(reference)
        if match is None:
            return []
        found = [node for node in self.artifacts.values() if node.digest.rpartition(":")[2].startswith(match[1])]
        if len({node.digest for node in found}) > 1:
            several = _some({f"{node.digest.rpartition(':')[2][:16]} ({node.name})" for node in found})
            raise InputError(f"{reference}: more than one artifact begins so: {several}; give more digits")
        return found


def _some(names: set[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:_SHOWN]) + (", ..." if len(ordered) > _SHOWN else "")


def _first_pushes(found: list[ArtifactNode]) -> list[ArtifactNode]:
    """What made a version: the push that made it, not those that found its model in service."""
    return [node for node in found if node.metadata.get("created") is not False] or found


def _version(node: ArtifactNode) -> str:
    version = node.metadata.get("version", "")
    return f"{version:.0f}" if isinstance(version, float) else str(version)
