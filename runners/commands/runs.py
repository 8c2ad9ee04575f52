"""`runs`: the list of all runs with what came of each."""

from __future__ import annotations

from pathlib import Path

import click

from runners.history import as_json
from runners.history.outcome import Outcome, outcome
from runners.history.records import Run, read_runs
from runners.terminal import output, text
from runners.terminal.output import Result

STATE_STYLES = {"waiting": "yellow", "done": "green", "failed": "red", "running": "cyan", "stopped": "yellow"}

_VIEWS = (
    ("run", "pipeline", "state", "started (UTC)", "duration", "metrics", "blessed", "pushed"),
    ("run", "pipeline", "state", "started (UTC)", "duration", "metric", "blessed", "pushed"),
    # A run's id begins with its pipeline, and goes on with when it began.
    ("run", "state", "started (UTC)", "duration", "metric", "blessed", "pushed"),
    ("run", "state", "duration", "metric", "blessed", "pushed"),
    ("run", "state", "duration", "blessed", "pushed"),
    ("run", "state", "blessed", "pushed"),
    ("run", "state"),
)
"""What there is room for, from wide terminals to narrow ones."""


@click.command()
@click.option("--pipeline", default="", help="Only the runs of this pipeline.")
@click.option("-n", "--limit", type=click.IntRange(min=1), help="Only so many.")
@click.pass_context
def runs(context: click.Context, pipeline: str, limit: int | None) -> Result:
    """List the runs, the newest first: state, duration, metrics, whether blessed, version pushed."""
    root: Path = context.obj["root"]
    known, damaged = read_runs(root)
    if damaged:
        more = f" and {len(damaged) - 5} more" if len(damaged) > 5 else ""
        output.warn(
            f"warning: not to be read, so not in the list: {', '.join(damaged[:5])}{more}; their run.json is damaged"
        )
    found = [run for run in known if pipeline in ("", run.pipeline)][:limit]
    of = f" of {pipeline}" if pipeline else ""
    none = f"no runs{of} under {root}; start one with `./millrace run MODEL`"
    return Result(
        lambda: {"runs": [as_json.run(run, tasks=False) for run in found]},
        lambda: text.fitted(_VIEWS, [_row(run) for run in found]) if found else click.echo(none, err=True),
        [run.id for run in found],
    )


def _row(run: Run) -> dict[str, text.Cell]:
    made = outcome(run)
    metrics = [f"{name} {text.number(value)}" for name, value in made.key_metrics().items()] or [text.NOTHING]
    return {
        "run": run.id,
        "pipeline": run.pipeline,
        "state": (f"{run.state} ({run.remark})" if run.remark else run.state, _style(run)),
        "started (UTC)": text.minute(run.started),
        "duration": text.duration(run.elapsed),
        "metrics": ", ".join(metrics),
        "metric": metrics[0],
        "blessed": _blessed(made),
        "pushed": made.version or text.NOTHING,
    }


def _style(run: Run) -> str:
    return "yellow" if run.watched == "drifted" else STATE_STYLES.get(run.state, "")


def _blessed(made: Outcome) -> text.Cell:
    if made.blessed is None:
        return text.NOTHING
    candidate = f", {made.candidate}" if made.candidate and made.blessed else ""
    return (f"yes{candidate}", "green") if made.blessed else ("no", "red")
