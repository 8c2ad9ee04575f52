"""The nodes of lineage, wherever they were read from: artifacts, executions, and how a person names an artifact."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.runtime.data import span_words
from components.runtime.errors import InputError
from components.runtime.records.facts import MODEL_OF_VERSION
from runners import PROJECT

DIGEST = re.compile(r"(?:(?:listing-)?sha256:)?([0-9a-f]{4,64})")
"""How a person writes a digest, or the beginning of one."""
MODEL = "system.Model"
RESOLVE = "resolve"
PULL = "pull"
WATCH = "watch"
PUSH = "push"
CHOOSE = "choose"
FEEDBACK = "feedback"

_SHOWN = 5


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
class Lineage:
    """Artifacts and executions, by their ids, and which execution answered a task of a run."""

    artifacts: dict[str, ArtifactNode] = field(default_factory=dict)
    executions: dict[str, ExecutionNode] = field(default_factory=dict)
    runs: dict[tuple[str, str], str] = field(default_factory=dict)

    def by_digest(self, reference: str) -> list[ArtifactNode]:
        """The artifacts whose digest begins as a text does; none where it is no digest.

        Raises:
          InputError: it fits different contents.
        """
        match = DIGEST.fullmatch(reference)
        if match is None:
            return []
        found = [node for node in self.artifacts.values() if node.digest.rpartition(":")[2].startswith(match[1])]
        if len({node.digest for node in found}) > 1:
            several = some({f"{node.digest.rpartition(':')[2][:16]} ({node.name})" for node in found})
            raise InputError(f"{reference}: more than one artifact begins so: {several}; give more digits")
        return found

    def versions(self, model: str, version: str) -> list[ArtifactNode]:
        """What was pushed as a version of a model; the model goes by its serving directory or its pipeline."""
        return first_pushes(
            [node for node in self._pushed() if model in self._names(node) and version_of(node) == version]
        )

    def known_versions(self) -> str:
        """What has been pushed, in words."""
        versions = sorted({f"{name}@{version_of(node)}" for node in self._pushed() for name in self._names(node)})
        return f"pushed are {', '.join(versions)}" if versions else "nothing has been pushed"

    def output(self, run: str, task: str, output: str) -> ArtifactNode | None:
        """An output of a task of a run; None where the task has not run in it.

        Raises:
          InputError: the task has no such output.
        """
        identity = self.runs.get((run, task))
        if identity is None:
            return None
        node = self.executions[identity]
        if output not in node.outputs:
            state = "" if node.outputs else f" (it is {node.state})"
            has = some(node.outputs) or "none"
            raise InputError(f"{run}/{task}/{output}: {task} has no output {output!r}{state}; it has: {has}")
        return self.artifacts[node.outputs[output]]

    def tasks(self, run: str) -> list[str]:
        """The tasks of a run that an execution answered."""
        return [task for each, task in self.runs if each == run]

    def _pushed(self) -> list[ArtifactNode]:
        return [node for node in self.artifacts.values() if node.maker and "destination" in node.metadata]

    def _names(self, pushed: ArtifactNode) -> set[str]:
        """The names that a pushed model goes by: that of its serving directory and that of its pipeline."""
        return {Path(str(pushed.metadata["destination"])).name, self.executions[pushed.maker].pipeline}

    def not_chosen(self, execution: ExecutionNode) -> set[str]:
        """Names of the inputs of a choice between candidates that are of those which were not chosen."""
        if execution.stage != CHOOSE or "choice" not in execution.outputs:
            return set()
        chosen = str(self.artifacts[execution.outputs["choice"]].metadata.get("candidate", "")).replace("-", "_")
        return {name for name in execution.inputs if name not in (f"model_{chosen}", f"blessing_{chosen}")}

    def spans(self) -> dict[str, ArtifactNode]:
        """Spans of raw data that were made of feedback, by their folders."""
        return {
            str(node.metadata["folder"]): node
            for node in self.artifacts.values()
            if node.maker and node.metadata.get("folder") and self.executions[node.maker].stage == FEEDBACK
        }

    def join_spans(self) -> None:
        """Notes who read a span that was made of feedback: ingest is told a place, and finds the span there."""
        spans = self.spans()
        for execution in self.executions.values() if spans else ():
            data = self.artifacts.get(execution.inputs.get("data", ""))
            if data is None:
                continue
            folder = os.path.abspath(
                PROJECT / data.uri.partition("{")[0].rpartition("/")[0] if "{" in data.uri else data.uri
            )
            made = [self.artifacts[each].metadata for each in execution.outputs.values()]
            read = {number for metadata in made for number in span_words.whole(metadata, span_words.SPANS)}
            found = {
                int(version_of(span, "span")): span
                for place, span in spans.items()
                if Path(place).is_relative_to(folder) and version_of(span, "span").isdecimal()
            }
            for number in sorted(read & found.keys()):
                span = found[number]
                if execution.id not in span.users:
                    execution.inputs["span" if len(read) == 1 else f"span_{number}"] = span.id
                    span.users.append(execution.id)

    def join_baselines(self) -> None:
        """Notes which model each baseline is, and which version each pulled model.

        Resolve, pull, watch and the stage feedback find them in the serving directory, not among their inputs.
        """
        models = {
            node.digest: node
            for node in self.artifacts.values()
            if node.maker and node.type == MODEL and self.executions[node.maker].stage not in (RESOLVE, PULL)
        }
        for execution in self.executions.values():
            if execution.stage in (PULL, WATCH):
                self._join_version(execution)
            if execution.stage == FEEDBACK:
                self._join_predictors(execution)
            found = [self.artifacts[each] for each in execution.outputs.values()] if execution.stage == RESOLVE else []
            for baseline in found:
                model = models.get(baseline.digest)
                if model is not None and execution.id not in model.users:
                    execution.inputs["found"] = model.id
                    model.users.append(execution.id)

    def join_reused(self) -> None:
        """Notes who took the same content from a task that was done again.

        What is never taken from the cache, as the answer to a query, is made anew in each run; what reads it is reused.
        """
        for execution in list(self.executions.values()):
            for read in [self.artifacts[each] for each in execution.inputs.values()]:
                maker = self.executions.get(read.maker or "")
                if maker is None:
                    continue
                for run in execution.reused_by:
                    again = self.executions.get(self.runs.get((run, maker.task), ""))
                    for same in [self.artifacts[each] for each in again.outputs.values()] if again else []:
                        if same.digest == read.digest and execution.id not in same.users:
                            same.users.append(execution.id)

    def join_looks(self, looks: Mapping[str, str]) -> None:
        """Notes what was pushed after a look at the version before; push is never another run's, as all else may be.

        Args:
          looks: by a run the one that looked, and has begun it.
        """
        for execution in self.executions.values():
            look = looks.get(execution.run) if execution.stage == PUSH else None
            for name in self.tasks(look) if look else ():
                seen = self.executions[self.runs[look, name]] if look else execution
                if seen.stage == WATCH and "watched" in seen.outputs:
                    execution.inputs["after"] = seen.outputs["watched"]
                    self.artifacts[seen.outputs["watched"]].users.append(execution.id)

    def _join_version(self, execution: ExecutionNode) -> None:
        for model in [self.artifacts[each] for each in execution.outputs.values()]:
            digest = model.digest if model.type == MODEL else str(model.metadata.get("model_digest", ""))
            self._join_push(execution, "found", digest, version_of(model))

    def _join_predictors(self, execution: ExecutionNode) -> None:
        """The versions of which a span has predictions, where the stage says so; the command has them for inputs."""
        for span in [self.artifacts[each] for each in execution.outputs.values()]:
            for name, digest in span.metadata.items():
                if name.startswith(MODEL_OF_VERSION):
                    number = name.removeprefix(MODEL_OF_VERSION)
                    self._join_push(execution, f"version_{number}", str(digest), number)

    def _join_push(self, execution: ExecutionNode, argument: str, digest: str, version: str) -> None:
        """Notes that an execution read a version, which is told by the digest of its model and its number."""
        pushes = [
            node
            for node in self._pushed()
            if digest and node.metadata.get("model_digest") == digest and version_of(node) == version
        ]
        for pushed in first_pushes(pushes)[:1]:
            execution.inputs[argument] = pushed.id
            if execution.id not in pushed.users:
                pushed.users.append(execution.id)


def some(names: Collection[str]) -> str:
    """A few of many names, in order."""
    ordered = sorted(names)
    return ", ".join(ordered[:_SHOWN]) + (", ..." if len(ordered) > _SHOWN else "")


def first_pushes(found: list[ArtifactNode]) -> list[ArtifactNode]:
    """What made a version: the push that made it, not those that found its model in service."""
    return [node for node in found if node.metadata.get("created") is not False] or found


def version_of(node: ArtifactNode, kind: str = "version") -> str:
    """The version that a model was pushed as, or the number of a span of feedback; empty where it is none."""
    version = node.metadata.get(kind, "")
    return f"{version:.0f}" if isinstance(version, float) else str(version)
