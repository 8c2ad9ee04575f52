"""What lies on a Kubeflow Pipelines server, as documents for programs and as tables for a person."""

from __future__ import annotations

from typing import Any

from runners.kubeflow.server import Cluster
from runners.kubeflow.state import run_state
from runners.terminal import follow, text


def table(
    cluster: Cluster, what: str, limit: int
) -> tuple[list[dict[str, Any]], tuple[str, ...], list[list[text.Cell]]]:
    """What a server has: as documents, whose first key names it, and as the headers and rows of a table.

    Args:
      cluster: the server.
      what: `runs`, `pipelines`, `experiments` or `schedules`.
      limit: so many runs, the newest; of the others all are told.
    """
    headers: tuple[str, ...]
    facts: list[dict[str, Any]]
    rows: list[list[text.Cell]]
    if what == "runs":
        headers = ("run", "name", "state", "created (UTC)", "duration")
        facts = [_run(each) for each in cluster.runs(limit)]
        rows = [_run_row(each) for each in facts]
    elif what == "schedules":
        headers = ("schedule", "cron", "enabled", "concurrency", "created (UTC)")
        facts = [_schedule(each) for each in cluster.recurring_runs()]
        rows = [_schedule_row(each) for each in facts]
    elif what == "pipelines":
        headers = ("pipeline", "versions", "newest", "uploaded (UTC)")
        facts = [_pipeline(each, cluster.versions(each.pipeline_id)) for each in cluster.pipelines()]
        rows = [_pipeline_row(each) for each in facts]
    else:
        headers = ("experiment", "created (UTC)")
        facts = [{"experiment": each.display_name, "created": each.created_at} for each in cluster.experiments()]
        rows = [[each["experiment"], text.moment(each["created"])] for each in facts]
    return facts, headers, rows


def _run(run: Any) -> dict[str, Any]:
    state = run_state(run)
    ended = run.finished_at if state in ("done", "failed", "stopped") else None
    took = (ended - run.created_at).total_seconds() if ended and run.created_at else None
    return {
        "run": run.run_id,
        "name": run.display_name,
        "state": state,
        "created": run.created_at,
        "finished": ended,
        "seconds": took,
    }


def _run_row(run: dict[str, Any]) -> list[text.Cell]:
    state = (run["state"], follow.STYLES.get(run["state"], ""))
    return [run["run"], run["name"], state, text.moment(run["created"]), text.duration(run["seconds"])]


def _schedule(run: Any) -> dict[str, Any]:
    trigger = run.trigger.cron_schedule if run.trigger else None
    return {
        "schedule": run.display_name,
        "cron": trigger.cron if trigger else None,
        "enabled": run.mode == "ENABLE" or run.status == "ENABLED",
        "concurrency": run.max_concurrency or None,
        "created": run.created_at,
    }


def _schedule_row(run: dict[str, Any]) -> list[text.Cell]:
    return [
        run["schedule"],
        run["cron"] or text.NOTHING,
        "yes" if run["enabled"] else "no",
        str(run["concurrency"] or text.NOTHING),
        text.moment(run["created"]),
    ]


def _pipeline(pipeline: Any, versions: list[Any]) -> dict[str, Any]:
    newest = versions[0] if versions else None
    return {
        "pipeline": pipeline.display_name,
        "versions": len(versions),
        "newest": newest.display_name if newest else None,
        "uploaded": newest.created_at if newest else None,
    }


def _pipeline_row(pipeline: dict[str, Any]) -> list[text.Cell]:
    return [
        pipeline["pipeline"],
        str(pipeline["versions"]),
        pipeline["newest"] or text.NOTHING,
        text.moment(pipeline["uploaded"]),
    ]
