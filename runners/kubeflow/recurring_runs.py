"""Schedules as recurring runs of a Kubeflow Pipelines server."""

from __future__ import annotations

from typing import Any

from runners.kubeflow.server import Cluster
from runners.remote.schedules import Schedule, differences

_DELETED = ", others of its name are deleted"


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
    changes = [differences(wanted, version, experiment, each) for each in found]
    kept = changes.index([]) if [] in changes else None
    others = [each for place, each in enumerate(found) if place != kept]
    if kept is None:
        # An earlier one that waits for its runs to end says nothing of what is new.
        what = f"replaced ({', '.join(sorted(changes, key=len)[0])})" if found else "created"
    else:
        what = f"unchanged{_DELETED}" if others else "unchanged"
    if dry_run:
        return what.replace(" are ", " would be ") if kept is not None else f"would be {what}"
    if kept is None:
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
    left = [run for old in others for run in cluster.retire_recurring_run(old.recurring_run_id)]
    return f"{what.removesuffix(_DELETED)}; the old one is {goes_on(left)}" if left else what


def goes_on(runs: list[str]) -> str:
    """What is told of a recurring run that is still there for the sake of its runs."""
    return (
        f"disabled, and not deleted: that would kill what it has under way, {', '.join(runs)}; "
        "do the same again when that has ended"
    )
