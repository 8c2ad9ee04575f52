"""What lies on a Kubeflow Pipelines server, as tables for a person."""

from __future__ import annotations

from typing import Any

from runners.kubeflow.server import Cluster
from runners.kubeflow.state import run_state
from runners.terminal import follow, text


def table(cluster: Cluster, what: str, limit: int) -> tuple[tuple[str, ...], list[list[text.Cell]]]:
    """The headers and rows of what a server has.

    Args:
      cluster: the server.
      what: `runs`, `pipelines`, `experiments` or `schedules`.
      limit: so many runs, the newest; of the others all are told.
    """
    headers: tuple[str, ...]
    rows: list[list[text.Cell]]
    if what == "runs":
        headers = ("run", "name", "state", "created (UTC)", "duration")
        rows = [_run_row(each) for each in cluster.runs(limit)]
    elif what == "schedules":
        headers = ("schedule", "cron", "enabled", "concurrency", "created (UTC)")
        rows = [_schedule_row(each) for each in cluster.recurring_runs()]
    elif what == "pipelines":
        headers = ("pipeline", "versions", "newest", "uploaded (UTC)")
        rows = [_pipeline_row(each, cluster.versions(each.pipeline_id)) for each in cluster.pipelines()]
    else:
        headers = ("experiment", "created (UTC)")
        rows = [[each.display_name, text.moment(each.created_at)] for each in cluster.experiments()]
    return headers, rows


def _run_row(run: Any) -> list[text.Cell]:
    state = run_state(run)
    ended = run.finished_at if state in ("done", "failed", "stopped") else None
    took = (ended - run.created_at).total_seconds() if ended and run.created_at else None
    return [
        run.run_id,
        run.display_name,
        (state, follow.STYLES.get(state, "")),
        text.moment(run.created_at),
        text.duration(took),
    ]


def _schedule_row(run: Any) -> list[text.Cell]:
    trigger = run.trigger.cron_schedule if run.trigger else None
    enabled = run.mode == "ENABLE" or run.status == "ENABLED"
    cron = trigger.cron if trigger else text.NOTHING
    return [
        run.display_name,
        cron,
        "yes" if enabled else "no",
        str(run.max_concurrency or text.NOTHING),
        text.moment(run.created_at),
    ]


def _pipeline_row(pipeline: Any, versions: list[Any]) -> list[text.Cell]:
    newest = versions[0] if versions else None
    return [
        pipeline.display_name,
        str(len(versions)),
        newest.display_name if newest else text.NOTHING,
        text.moment(newest.created_at if newest else None),
    ]
