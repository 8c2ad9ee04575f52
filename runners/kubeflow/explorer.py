"""Turns what a server tells of its runs into what the explorer shows: the same page as of runs on this machine.

Servers with a metadata store and those without are told alike, whatever made their pipelines. Reports, distributions
and slices are content, which comes from `/artifacts/get` at the dashboard's address, once for each artifact.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.runtime.data import tfrecord
from components.runtime.errors import InputError, StageError
from components.runtime.text.redaction import redact
from runners.history import distributions, evaluations
from runners.history.directions import directions, ways
from runners.history.distributions import Feature
from runners.history.evaluations import Evaluation
from runners.history.explorer import files
from runners.history.explorer.lineage import lineage_of, sources
from runners.history.explorer.model import Artifact as Node
from runners.history.explorer.model import Detail, Index, Row, Task
from runners.history.explorer.model import Execution as Step
from runners.history.explorer.models import models, pushes, quality
from runners.history.explorer.served import versions
from runners.kubeflow.artifacts import fetch_content
from runners.kubeflow.executions import Artifact, Execution
from runners.kubeflow.lineage import ServerLineage
from runners.kubeflow.server import Cluster
from runners.terminal.follow import RemoteRun

_PATIENCE = 3
"""So often in a row the server may refuse contents of a kind."""
_DRAWINGS = frozenset({"system.HTML", "system.ClassificationMetrics", "system.Metrics", "system.Markdown"})


def write(cluster: Cluster, folder: Path, limit: int, tell: Callable[[str], None]) -> Path:
    """Writes the explorer's files of the newest runs of a server; returns the page.

    Args:
      cluster: the server.
      folder: gets the files.
      limit: so many runs.
      tell: is told what goes on, a line at a time.

    Raises:
      InputError: the server does not tell what its runs made.
    """
    page = files.write_page(folder)
    listed = cluster.runs(limit)
    identities = [str(each.run_id) for each in listed]
    schedules = {each.recurring_run_id: each.display_name for each in cluster.recurring_runs()}
    graph = ServerLineage(cluster)
    executions = graph.read_runs(identities, lambda count: tell(f"{count} of {len(listed)} runs read"))
    reader = _Contents(cluster, folder)
    rows = []
    with files.locked(folder):
        for each in listed:
            run = cluster.get(str(each.run_id))
            row, detail = _told(run, graph, executions[run.id], reader)
            if each.recurring_run_id:
                row.by = f"schedule {schedules.get(each.recurring_run_id, each.recurring_run_id)}"
            rows.append(row)
            files.write_detail(folder, detail)
        files.sweep(folder, rows, thoroughly=True)
        notes = [f"the newest {limit:,} runs; --limit reads more"] if len(listed) == limit else []
        notes += [f"without what every run made: {graph.fault}"] if graph.fault else []
        notes += [f"not all is here: {reader.fault}"] if reader.fault else []
        index = Index(cluster.where, files.now(), rows, versions(rows, None), note="; ".join(notes))
        files.write_index(folder, index)
    return page


def _told(run: RemoteRun, graph: ServerLineage, executions: list[Execution], reader: _Contents) -> tuple[Row, Detail]:
    answered = {each.task: each for each in executions}
    steps, nodes = lineage_of(graph, run.id, lambda node: reader.page(node.id, node.uri))
    _apart(steps, nodes)
    shown = {(run.id, task): identity for (other, task), identity in graph.runs.items() if other == run.id}
    pages = {step.id: step.page for step in steps}
    moments = {
        task: datetime.fromtimestamp(each.started, UTC).isoformat() for task, each in answered.items() if each.started
    }
    row = Row(
        id=run.id,
        name=run.name,
        pipeline=next((name for each in shown.values() if (name := graph.executions[each].pipeline)), ""),
        target="kubeflow",
        state=run.state,
        error=run.error,
        started=run.created.isoformat() if run.created else "",
        seconds=run.seconds,
        models=models(answered),
        pushes=[_named(each) for each in pushes(answered, str, moments)],
        sources=sources(nodes),
        executions=list(dict.fromkeys(shown.values())),
    )
    metrics = quality(executions)
    better, told = ways(metrics, directions(executions))
    tasks = [
        Task(
            name=task.name,
            stage=task.name,
            state=task.state,
            seconds=task.seconds,
            error=task.note,
            execution=(identity := shown.get((run.id, task.name), "")),
            page=pages.get(identity, ""),
        )
        for task in run.tasks
    ]
    detail = Detail(
        id=run.id,
        tasks=tasks,
        parameters=_parameters(run, executions),
        metrics=metrics,
        better=better,
        told=told,
        digests={
            f"{task}/{name}": str(artifact.metadata.get("digest") or "")
            for task, each in answered.items()
            for name, artifact in each.outputs.items()
            if artifact.type not in _DRAWINGS
        },
        evaluations={
            task: made for task, each in answered.items() if not (made := _evaluation(each, reader)).says_nothing
        },
        distributions=_distributions(answered, reader),
        executions=steps,
        artifacts=nodes,
    )
    return row, detail


def _apart(steps: list[Step], nodes: list[Node]) -> None:
    """Numbers of the server's artifacts are made unlike those of its executions."""
    for step in steps:
        step.inputs = {name: _place(each) for name, each in step.inputs.items()}
        step.outputs = {name: _place(each) for name, each in step.outputs.items()}
    for node in nodes:
        node.id = _place(node.id)


def _place(artifact: str) -> str:
    return f"artifact {artifact}" if not artifact.startswith("file\0") else artifact


def _named(push: Any) -> Any:
    push.artifact = _place(push.artifact)
    return push


def _parameters(run: RemoteRun, executions: list[Execution]) -> dict[str, str]:
    given = redact(run.parameters)
    found = {name: _text(value) for name, value in given.items()}
    for each in executions:
        for name, value in redact(each.parameters).items():
            if name not in given or _text(given[name]) != _text(value):
                found[f"{each.task}.{name}"] = _text(value)
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _evaluation(execution: Execution, reader: _Contents) -> Evaluation:
    made = Evaluation(roc=evaluations.roc(each.metadata for each in execution.outputs.values()))
    for artifact in execution.outputs.values():
        if "slices" in artifact.metadata and artifact.uri:
            evaluations.add_metrics(made, reader.records(artifact, evaluations.METRICS_FILES, "slice"))
            evaluations.add_plots(made, reader.records(artifact, evaluations.PLOTS_FILES, "curve"))
    return made


def _distributions(answered: dict[str, Execution], reader: _Contents) -> dict[str, dict[str, Feature]]:
    found = {}
    for task, execution in answered.items():
        # By what they are called in the contract of the stage that makes them.
        artifact = execution.outputs.get("statistics")
        for split in (artifact.metadata.get("splits") or []) if artifact else []:
            if features := reader.distributions(artifact, str(split)):
                found[f"{task}/{split}"] = features
    return found


class _Contents:
    """The content of artifacts, as far as the server hands it out; after some refusals in a row it is asked no more.

    Attributes:
      fault: why there was none the last time; empty where there always was.
    """

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.fault = ""
        self._refused: Counter[str] = Counter()
        self._cluster, self._folder = cluster, folder
        self._known: dict[str, Any] = {}

    def page(self, identity: str, uri: str) -> str:
        """Where the browser finds a report, which is fetched once; empty where it cannot be had."""
        name = files.file_of(f"{identity}-{uri}").removesuffix(".js")
        file = self._folder / files.PAGES / f"{name}.html"
        if not file.exists():
            if (found := self._fetch(uri, "report")) is None:
                return ""
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(found)
        return f"{files.PAGES}/{file.name}"

    def distributions(self, artifact: Artifact | None, split: str) -> dict[str, Feature]:
        """The features of a split of statistics."""
        uri = f"{artifact.uri.rstrip('/')}/Split-{split}/FeatureStats.pb" if artifact and artifact.uri else ""
        return dict(self._once(uri, "distribution", distributions.distributions) or {})

    def records(self, artifact: Artifact, pattern: str, kind: str) -> list[bytes]:
        """The records of one of the files of an evaluation, which TFMA writes in one shard."""
        file = pattern.replace("*", "00000-of-00001")
        return list(self._once(f"{artifact.uri.rstrip('/')}/{file}", kind, _records) or [])

    def _once(self, uri: str, kind: str, read: Callable[[bytes], Any]) -> Any:
        """What a file holds; None where it cannot be had."""
        if uri not in self._known:
            found = self._fetch(uri, kind)
            self._known[uri] = read(found) if found is not None else None
        return self._known[uri]

    def _fetch(self, uri: str, kind: str) -> bytes | None:
        if self._refused[kind] >= _PATIENCE or not uri:
            return None
        try:
            found = fetch_content(self._cluster, uri)
        except StageError as error:
            self._refused[kind] += 1
            self.fault = f"{kind}s: {error}"
            return None
        self._refused[kind] = 0
        return found


def _records(found: bytes) -> list[bytes]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(found)
        file.flush()
        try:
            return list(tfrecord.read(Path(file.name)))
        except InputError:
            return []
