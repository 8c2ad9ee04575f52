"""The lineage of what runs on a server made, as `lineage` tells it of runs here.

A server may know thousands of runs. Those are read that hang together with what is asked for, the nearest first: they
share artifacts, or one's baseline is the other's model.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from components.runtime.errors import InputError, StageError
from components.runtime.lineage.events import outside
from components.runtime.records.answered import truth
from components.runtime.text.redaction import redact
from runners.history.lineage_nodes import DIGEST, MODEL, RESOLVE, ArtifactNode, ExecutionNode, Lineage, some
from runners.kubeflow.artifacts import executions, store
from runners.kubeflow.executions import METRICS, Artifact, Execution
from runners.kubeflow.server import Cluster
from runners.terminal.follow import RemoteRun

MOST_RUNS = 50
"""So many runs are read for one question."""
_DRAWN = frozenset({"system.HTML", "system.Markdown", METRICS, "system.ClassificationMetrics"})
_PATIENCE = 3
"""So often in a row a server may fail to tell before it is asked no more."""
_BASELINE = "baseline_model"
"""The output that only resolve has, whatever its task is called."""


class ServerLineage(Lineage):
    """The lineage that a server tells.

    Attributes:
      is_cut: whether there are more runs than were read.
      fault: why the server did not tell what a run did; empty where it told all.
    """

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self.is_cut = False
        self.fault = ""
        self._cluster = cluster
        self._store = store(cluster.connection)
        self._remotes: dict[str, RemoteRun | None] = {}

    def find(self, reference: str) -> list[ArtifactNode]:
        """Reads what hangs together with the artifacts that a person means, and returns these.

        Args:
          reference: a run (its id, the beginning of one, its name, or `latest`), `<run>/<task>/<output>`,
            `<model>@<version>`, a URI, or a digest or the beginning of one.

        Raises:
          InputError: there is none, or the beginning of a digest fits different contents.
        """
        if "://" in reference:
            return self._by_uri(reference)
        if reference.count("/") >= 2:
            return self._by_output(reference)
        try:
            return self._by_run(self._cluster.find_run(reference))
        except InputError:
            # The error names the nearest runs, which is better than that nothing has such a digest.
            if not (found := self._by_content(reference) or self._by_version(reference)):
                raise
            return found

    def read_runs(self, runs: Iterable[str], tell: Callable[[int], None]) -> dict[str, list[Execution]]:
        """Reads these runs and no others, makes the nodes, and returns the executions of each, as far as told.

        Args:
          runs: their ids.
          tell: is told after each how many have been read.
        """
        found: dict[str, list[Execution]] = {}
        failed = 0
        for run in runs:
            found[run] = []
            try:
                if failed < _PATIENCE:
                    found[run] = executions(self._cluster, run, self._store)
                    failed = 0
            except StageError as error:
                failed, self.fault = failed + 1, str(error)
            tell(len(found))
        self._take(execution for each in found.values() for execution in each)
        return found

    def _by_run(self, run: str) -> list[ArtifactNode]:
        """What came of a run: its model, as it was pushed if it was; without one, whatever nothing came of."""
        self._read([run])
        own = [self.executions[identity] for identity in {self.runs[run, task]: "" for task in self.tasks(run)}]
        made = [self.artifacts[each] for execution in own for each in execution.outputs.values()]
        used = {each for execution in own for each in execution.inputs.values()}
        models = [node for node in made if node.type == MODEL and self.executions[node.maker].stage != RESOLVE]
        # What push leaves of a model without a blessing says that it is nowhere.
        models = [node for node in models if truth(node.metadata.get("pushed")) is not False]
        published = {each for node in models for each in self.executions[node.maker].inputs.values()}
        last = [node for node in made if node.id not in used and node.type not in _DRAWN]
        found = [node for node in models if node.id not in published] or last or made
        if not found:
            raise InputError(f"run {run} has made nothing yet on {self._cluster.where}")
        return found

    def _by_output(self, reference: str) -> list[ArtifactNode]:
        name, task, output = reference.rsplit("/", 2)
        run = self._cluster.find_run(name)
        self._read([run])
        node = self.output(run, task, output)
        if node is None:
            raise InputError(f"{reference}: {task} has not run in {name}, only {some(self.tasks(run)) or 'nothing'}")
        return [node]

    def _by_uri(self, reference: str) -> list[ArtifactNode]:
        def is_meant(uri: str) -> bool:
            # A file inside an artifact means the artifact.
            return bool(uri) and f"{reference.rstrip('/')}/".startswith(f"{uri.rstrip('/')}/")

        self._read_around(each for each in self._store.artifacts() if is_meant(each.uri))
        found = [node for node in self.artifacts.values() if node.maker and is_meant(node.uri)]
        if not found:
            raise InputError(f"{reference}: {self._cluster.where} knows of no artifact that lies there")
        return found

    def _by_content(self, reference: str) -> list[ArtifactNode]:
        if not (match := DIGEST.fullmatch(reference)):
            return []
        beginning = match[1]
        self._read_around(
            each for each in self._store.artifacts() if _digest(each).rpartition(":")[2].startswith(beginning)
        )
        return self.by_digest(reference)

    def _by_version(self, reference: str) -> list[ArtifactNode]:
        model, at, version = reference.rpartition("@")
        if not at:
            return []
        pushed = [each for each in self._models if "destination" in each.metadata]
        self._read_around(each for each in pushed if str(each.metadata.get("version")) == version)
        if found := self.versions(model, version):
            return found
        names = [
            f"{PurePosixPath(str(each.metadata['destination'])).name}@{each.metadata.get('version')}" for each in pushed
        ]
        known = f"pushed are {some(set(names))}" if names else "nothing has been pushed"
        raise InputError(f"{reference}: no such run and no such version on {self._cluster.where}; {known}")

    @functools.cached_property
    def _models(self) -> list[Artifact]:
        return list(self._store.artifacts(MODEL))

    def _read_around(self, artifacts: Iterable[Artifact]) -> None:
        """Reads the runs that made or read artifacts, and what hangs together with them."""
        if ids := {each.id for each in artifacts}:
            self._read(self._store.runs_of(ids))

    def _read(self, runs: Iterable[str]) -> None:
        """Reads runs, then those that hang together with them, and makes the nodes."""
        waiting, known = deque(dict.fromkeys(runs)), set[str]()
        made: list[Execution] = []
        while waiting and not self.is_cut:
            run = waiting.popleft()
            known.add(run)
            there = executions(self._cluster, run, self._store)
            made += there
            near = {each.id for execution in there for each in _artifacts(execution)}
            contents = {_digest(each) for execution in there for each in _artifacts(execution) if _is_model(each)}
            if contents:
                near |= {each.id for each in self._models if _is_model(each) and _digest(each) in contents}
            for other in self._store.runs_of(near) if near else ():
                if other not in known and other not in waiting:
                    if len(known) + len(waiting) == MOST_RUNS:
                        self.is_cut = True
                        break
                    waiting.append(other)
        for run in waiting:
            made += executions(self._cluster, run, self._store)
        self._take(made)

    def _take(self, made: Iterable[Execution]) -> None:
        """Makes the nodes."""
        for execution in sorted(made, key=lambda each: each.started):
            self._add(execution)
        self.join_baselines()

    def _add(self, execution: Execution) -> None:
        remote = self._remote(execution.run)
        run = f"{remote.name} ({execution.run[:8]})" if remote else execution.run[:8]
        made = [self._node(name, each, execution.task) for name, each in execution.outputs.items()]
        if maker := next((node.maker for node in made if node.maker), ""):
            # Answered by the cache: what it has for outputs is that of an earlier one.
            self.runs[execution.run, execution.task] = maker
            if run not in (self.executions[maker].run, *self.executions[maker].reused_by):
                self.executions[maker].reused_by.append(run)
            return
        self.runs[execution.run, execution.task] = execution.id
        node = self.executions[execution.id] = ExecutionNode(
            execution.id,
            _pipeline(execution),
            execution.task,
            RESOLVE if _BASELINE in execution.outputs else execution.task,
            run,
            state="stopped" if execution.state == "running" and remote and remote.ended else execution.state,
            error=execution.error or _error(remote, execution),
        )
        for name, artifact in execution.inputs.items():
            self._use(node, name, self._node(name, artifact, ""))
        for name, place in outside(redact(execution.parameters)).items():
            file = self.artifacts.setdefault(
                f"file\0{place}", ArtifactNode(f"file\0{place}", place, place, type="file")
            )
            self._use(node, name, file)
        for (name, artifact), output in zip(execution.outputs.items(), made, strict=True):
            output.maker, output.name = node.id, f"{execution.task}/{name}"
            node.outputs[name] = artifact.id

    def _use(self, execution: ExecutionNode, argument: str, artifact: ArtifactNode) -> None:
        execution.inputs[argument] = artifact.id
        if execution.id not in artifact.users:
            artifact.users.append(execution.id)

    def _node(self, name: str, artifact: Artifact, task: str) -> ArtifactNode:
        metadata = {key: value for key, value in artifact.metadata.items() if key != "digest"}
        node = ArtifactNode(
            artifact.id, f"{task}/{name}" if task else name, artifact.uri, _digest(artifact), artifact.type, metadata
        )
        return self.artifacts.setdefault(artifact.id, node)

    def _remote(self, run: str) -> RemoteRun | None:
        if run not in self._remotes:
            try:
                self._remotes[run] = self._cluster.get(run)
            except InputError:
                # Deleted: what it made is still known.
                self._remotes[run] = None
        return self._remotes[run]


def _artifacts(execution: Execution) -> Iterable[Artifact]:
    return [*execution.inputs.values(), *execution.outputs.values()]


def _digest(artifact: Artifact) -> str:
    return str(artifact.metadata.get("digest") or "")


def _is_model(artifact: Artifact) -> bool:
    """Whether it may be some run's model or its baseline; where there was no baseline, its content is nothing."""
    return artifact.type == MODEL and bool(_digest(artifact)) and artifact.metadata.get("bytes") != 0


def _pipeline(execution: Execution) -> str:
    """The name of the pipeline, of which only the places of artifacts tell."""
    for artifact in execution.outputs.values():
        before, found, _ = artifact.uri.partition(f"/{execution.run}/")
        if found:
            return before.rpartition("/")[2]
    return ""


def _error(remote: RemoteRun | None, execution: Execution) -> str:
    if remote is None or execution.state != "failed":
        return ""
    return next((task.error for task in remote.tasks if task.name == execution.task), "")
