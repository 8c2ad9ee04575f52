"""`kubeflow compare`: two runs on a server side by side, as `compare` shows two local ones."""

from __future__ import annotations

import json
from typing import Any

import click

from components.runtime.errors import StageError
from runners.history.comparison import MetricRow, rows
from runners.history.comparison_tables import print_metrics, print_names, print_rows
from runners.kubeflow.artifacts import metrics
from runners.kubeflow.server import Cluster
from runners.terminal import text
from runners.terminal.follow import RemoteRun


def print_comparison(cluster: Cluster, left: str, right: str, *, everything: bool) -> None:
    """Prints outcome, metrics, parameters and tasks of two runs."""
    runs = cluster.get(left), cluster.get(right)
    print_names((_short(runs[0]), _short(runs[1])))
    print_rows("outcome", rows(*map(_summary, runs)), everything=True)
    try:
        both = metrics(cluster, left), metrics(cluster, right)
    except StageError as error:
        # The API server alone does not tell metrics; everything else is worth showing.
        click.echo(f"metrics: not to be had: {error}\n", err=True)
    else:
        values = [MetricRow(name, both[0].get(name), both[1].get(name)) for name in dict.fromkeys([*both[0], *both[1]])]
        print_metrics("metrics", values)
    print_rows(
        "parameters",
        rows(*({k: _text(v) for k, v in run.parameters.items()} for run in runs)),
        everything=everything,
    )
    print_rows("tasks", rows(*map(_tasks, runs)), everything=everything)


def _summary(run: RemoteRun) -> dict[str, str]:
    found = {"state": run.state, "created (UTC)": text.moment(run.created), "duration": text.duration(run.seconds)}
    return found | ({"error": run.error} if run.error else {})


def _tasks(run: RemoteRun) -> dict[str, str]:
    return {task.name: f"{task.state}, {text.duration(task.seconds)}" for task in run.tasks}


def _short(run: RemoteRun) -> str:
    return f"{run.name} ({run.id[:8]})"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
