"""What a pipeline looks like as the last line of a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.runtime.errors import InputError
from components.runtime.stage.report import escape
from runners.notebook import cell
from runners.notebook.artifacts import code
from runners.notebook.stages import state
from runners.terminal import text

if TYPE_CHECKING:
    from runners.notebook.pipeline import Pipeline

_RUNS = 5


def of_pipeline(pipeline: Pipeline) -> str:
    """Its stages, with what the newest run that had to do with each made of it; and its newest runs."""
    runs = pipeline.runs
    rows = []
    for name in pipeline.stages:
        found = ((run, task) for run in runs for task in run.record.tasks if task.name == name)
        run, task = next(((run, task) for run, task in found if task.state not in ("skipped", "waiting")), (None, None))
        if run is None or task is None:
            rows.append((name, state("not run yet"), "", ""))
        else:
            rows.append((name, state(task.state), task.error or task.facts, code(run.id)))
    newest = [
        (
            code(run.id),
            state(run.state),
            text.duration(run.record.elapsed),
            ", ".join(f"{name} {text.number(value)}" for name, value in run.outcome.key_metrics().items()),
            run.outcome.version,
        )
        for run in runs[:_RUNS]
    ]
    try:
        about = pipeline.settings.description
    except InputError as error:
        # What ran can be looked at all the same.
        about = f"its settings cannot be read now: {error}"
    head = f"<p><b>{escape(pipeline.name)}</b> <small>{escape(about)}</small></p>"
    listed = cell.table(("run", "state", "took", "metrics", "pushed"), newest) if newest else ""
    return f"{head}{cell.table(('stage', 'state', '', 'in the run'), rows)}{listed}"
