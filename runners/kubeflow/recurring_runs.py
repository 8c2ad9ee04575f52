"""Schedules as recurring runs of a Kubeflow Pipelines server."""

from __future__ import annotations

from typing import Any

from runners.kubeflow.server import Cluster
from runners.remote.schedules import Schedule, differences


def apply(cluster: Cluster, wanted: Schedule, version: Any, found: list[Any], dry_run: bool) -> str:
    """Creates or replaces the recurring run of a schedule; says which.

    Args:
      cluster: the server.
      wanted: what its file describes.
      version: the version of the pipeline that it runs.
      found: the recurring runs of that name.
      dry_run: only say what would be done.
    """
    experiment = cluster.experiment(wanted.experiment) if not dry_run else cluster.known_experiment(wanted.experiment)
    changed = differences(wanted, version, experiment, found[0]) if found else []
    if len(found) == 1 and not changed:
        return "unchanged"
    what = f"replaced ({', '.join(changed) or 'there were several'})" if found else "created"
    if dry_run:
        return f"would be {what}"
    # The new one first: when the server refuses it, the old one is still there.
    cluster.create_recurring_run(
        experiment_id=experiment,
        job_name=wanted.name,
        description=wanted.description,
        cron_expression=wanted.cron,
        max_concurrency=wanted.concurrency,
        no_catchup=not wanted.catch_up,
        params=wanted.parameters,
        pipeline_id=version.pipeline_id,
        version_id=version.pipeline_version_id,
        enabled=wanted.enabled,
        pipeline_root=wanted.pipeline_root or None,
        service_account=wanted.service_account or None,
    )
    for old in found:
        cluster.delete_recurring_run(old.recurring_run_id)
    return what
