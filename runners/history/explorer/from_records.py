"""Turns the records of a pipeline root into what the explorer shows."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from components.runtime.data import tfrecord
from components.runtime.errors import InputError
from runners.history import comparison
from runners.history.copied_root import relative_place
from runners.history.directions import better, directions
from runners.history.executions import Execution
from runners.history.explorer import files, measurements
from runners.history.explorer.lineage import lineage_of, sources
from runners.history.explorer.model import Detail, Evaluation, Feature, Row, Task
from runners.history.explorer.models import models, pushes, quality
from runners.history.files_read import files_read
from runners.history.lineage_graph import Graph
from runners.history.lineage_nodes import ArtifactNode
from runners.history.pages import run_report
from runners.history.records import Run

UP = ".."
"""From the explorer's folder to the pipeline root."""


def read(run: Run) -> tuple[Row, Detail]:
    """A run as it is in the list, and all of it."""
    graph = Graph.of_run(run.root, run.id)
    executions, artifacts = lineage_of(graph, run.id, lambda node: _page(run.root, node))
    pages = {each.id: each.page for each in executions}
    answered = run.executions
    moments = {task: each.finished.isoformat() if each.finished else "" for task, each in answered.items()}
    report = run.folder / run_report.FILE
    row = Row(
        id=run.id,
        name=run.id,
        pipeline=run.pipeline,
        target=run.target,
        state=run.state,
        part=run.part,
        error=run.error,
        started=run.started.isoformat() if run.started else "",
        seconds=run.elapsed if run.state != "running" else None,
        by=run.by,
        models=models(answered),
        pushes=pushes(answered, lambda place: relative_place(run.root, place), moments),
        sources=sources(artifacts),
        executions=list(dict.fromkeys(filter(None, (_identity(task.execution) for task in run.tasks)))),
        report=_link(run.root, report) if report.is_file() else "",
    )
    side, told = comparison.side(run), directions(answered.values())
    detail = Detail(
        id=run.id,
        tasks=[
            Task(
                name=task.name,
                stage=task.stage,
                state=task.state,
                after=task.after,
                condition=task.condition,
                seconds=task.seconds,
                rows=task.rows,
                facts=task.facts,
                alert=task.alert,
                error=task.error or "; ".join(task.failed_attempts),
                execution=_identity(task.execution),
                page=pages.get(_identity(task.execution), ""),
                log=_link(run.root, run.root / task.log) if task.log and (run.root / task.log).is_file() else "",
            )
            for task in run.tasks
        ],
        parameters=side.parameters,
        metrics=(found := quality(list(answered.values()))),
        better={name: way for name in found if (way := better(name, told))},
        digests=side.artifacts,
        files=files_read(run, graph),
        evaluations={task: made for task, each in answered.items() if (made := _evaluation(each))},
        distributions=_distributions(answered),
        executions=executions,
        artifacts=artifacts,
    )
    return row, detail


def _identity(place: str) -> str:
    """The id in the lineage of an execution that lies at a place under the root."""
    return place.removeprefix("artifacts/")


def _evaluation(execution: Execution) -> Evaluation | None:
    made = Evaluation(roc=roc([each.metadata.get("confidenceMetrics") for each in execution.outputs.values()]))
    for artifact in execution.outputs.values():
        for file in sorted(_inside(execution, artifact.name).glob("metrics-*.tfrecord")):
            try:
                made.slices |= measurements.slices(tfrecord.read(file))
            except (InputError, OSError):
                # Damaged, or removed meanwhile: the slices are not known.
                continue
    return made if made.roc or made.slices else None


def roc(told: list[object]) -> list[list[float]]:
    """The ROC curve in KFP's `confidenceMetrics`: pairs of false positive rate and recall; empty without one."""
    for points in told:
        if isinstance(points, list) and all(isinstance(each, dict) for each in points):
            pairs = [[each.get("falsePositiveRate"), each.get("recall")] for each in points]
            if pairs and all(isinstance(number, int | float) for pair in pairs for number in pair):
                return sorted([round(float(number), 5) for number in pair] for pair in pairs)
    return []


def _distributions(executions: dict[str, Execution]) -> dict[str, dict[str, Feature]]:
    found = {}
    for task, execution in executions.items():
        for name in execution.outputs:
            for file in sorted(_inside(execution, name).glob("Split-*/FeatureStats.pb")):
                try:
                    features = measurements.distributions(file.read_bytes())
                except OSError:
                    continue
                if features:
                    found[f"{task}/{file.parent.name.removeprefix('Split-')}"] = features
    return found


def _inside(execution: Execution, output: str) -> Path:
    """The folder of an output, which lies in its execution's wherever the root has been moved to."""
    return execution.folder / output


def _page(root: Path, node: ArtifactNode) -> str:
    page = root / node.uri
    try:
        # A folder's page may need what lies beside it.
        if page.is_dir():
            return _link(root, page / "index.html") if (page / "index.html").is_file() else ""
        return files.link_page(root / files.FOLDER, page, node.uri) if page.is_file() else ""
    except (OSError, ValueError):
        # (No path holds a NUL.)
        return ""


def _link(root: Path, file: Path) -> str:
    return f"{UP}/{quote(file.relative_to(root).as_posix())}" if file.is_relative_to(root) else ""
