"""`runs`: the list of all runs with what came of each."""

from __future__ import annotations

from pathlib import Path

import click

from runners import text
from runners.outcome import Outcome, outcome
from runners.records import Run, list_runs

STATE_STYLES = {"done": "green", "failed": "red", "running": "cyan", "interrupted": "yellow"}

_HEADERS = ("run", "pipeline", "state", "started (UTC)", "duration", "metrics", "blessed", "pushed")


@click.command()
@click.option("--pipeline", default="", help="Only the runs of this pipeline.")
@click.option("-n", "--limit", type=click.IntRange(min=1), help="Only so many.")
@click.pass_context
def runs(context: click.Context, pipeline: str, limit: int | None) -> None:
    """List the runs, the newest first: state, duration, metrics, whether blessed, version pushed."""
    root: Path = context.obj["root"]
    found = [run for run in list_runs(root) if pipeline in ("", run.pipeline)][:limit]
    if not found:
        of = f" of {pipeline}" if pipeline else ""
        click.echo(f"no runs{of} under {root}; start one with `run`", err=True)
        return
    text.table(_HEADERS, [_row(run) for run in found])


def _row(run: Run) -> list[text.Cell]:
    made = outcome(run)
    return [
        run.id,
        run.pipeline,
        (run.state, STATE_STYLES.get(run.state, "")),
        text.moment(run.started),
        text.duration(run.elapsed),
        ", ".join(f"{name} {text.number(value)}" for name, value in made.key_metrics().items()) or text.NOTHING,
        _blessed(made),
        made.version or text.NOTHING,
    ]


def _blessed(made: Outcome) -> text.Cell:
    if made.blessed is None:
        return text.NOTHING
    return ("yes", "green") if made.blessed else ("no", "red")
