"""Turns the records of a pipeline root into what the explorer shows."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from runners.history import comparison, distributions, evaluations
from runners.history.copied_root import relative_place
from runners.history.directions import directions, ways
from runners.history.executions import Execution
from runners.history.explorer import files
from runners.history.explorer.lineage import lineage_of, sources
from runners.history.explorer.model import Detail, Row, Task
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
        part=run.remark,
        error=run.error,
        started=run.started.isoformat() if run.started else "",
        seconds=None if run.goes_on else run.elapsed,
        by=run.by,
        models=models(answered),
        pushes=pushes(answered, lambda place: relative_place(run.root, place), moments, graph),
        sources=sources(artifacts),
        executions=list(dict.fromkeys(filter(None, (_identity(task.execution) for task in run.tasks)))),
        report=_link(run.root, report) if report.is_file() else "",
    )
    side, metrics = comparison.side(run), quality(list(answered.values()))
    better, told = ways(metrics, directions(answered.values()))
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
        metrics=metrics,
        better=better,
        told=told,
        digests=side.artifacts,
        files=files_read(run, graph),
        evaluations={
            task: made for task, each in answered.items() if not (made := evaluations.of_execution(each)).says_nothing
        },
        distributions=_distributions(answered),
        executions=executions,
        artifacts=artifacts,
    )
    return row, detail


def _identity(place: str) -> str:
    """The id in the lineage of an execution that lies at a place under the root."""
    return place.removeprefix("artifacts/")


def _distributions(executions: dict[str, Execution]) -> dict[str, dict[str, distributions.Feature]]:
    found = {}
    for task, execution in executions.items():
        for name in execution.outputs:
            for file in sorted(_inside(execution, name).glob("Split-*/FeatureStats.pb")):
                try:
                    features = distributions.distributions(file.read_bytes())
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
