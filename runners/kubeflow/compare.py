"""`kubeflow compare`: two runs on a server side by side, as `compare` shows two local ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import click

from components.runtime.errors import StageError
from runners.history import as_json
from runners.history.comparison import MetricRow, rows
from runners.history.comparison_tables import print_metrics, print_names, print_rows
from runners.kubeflow.artifacts import metrics
from runners.kubeflow.server import Cluster
from runners.terminal import follow, text
from runners.terminal.follow import RemoteRun


@dataclass(frozen=True)
class Comparison:
    """Two runs on a server.

    Attributes:
      metrics: None where the server does not tell them.
      why_no_metrics: in words.
    """

    runs: tuple[RemoteRun, RemoteRun]
    metrics: list[MetricRow] | None
    why_no_metrics: str = ""


def compare_runs(cluster: Cluster, left: str, right: str) -> Comparison:
    """Puts two runs side by side."""
    runs = cluster.get(left), cluster.get(right)
    try:
        both = metrics(cluster, left), metrics(cluster, right)
    except StageError as error:
        # The API server alone does not tell metrics; everything else is worth showing.
        return Comparison(runs, None, str(error))
    names = dict.fromkeys([*both[0], *both[1]])
    return Comparison(runs, [MetricRow(name, both[0].get(name), both[1].get(name)) for name in names])


def document(compared: Comparison) -> dict[str, Any]:
    """A comparison as a document for programs."""
    return {
        "left": follow.document(compared.runs[0]),
        "right": follow.document(compared.runs[1]),
        "metrics": None if compared.metrics is None else [as_json.metric(row) for row in compared.metrics],
    }


def print_comparison(compared: Comparison, *, everything: bool) -> None:
    """Prints outcome, metrics, parameters and tasks of two runs."""
    runs = compared.runs
    print_names((_short(runs[0]), _short(runs[1])))
    print_rows("outcome", rows(*map(_summary, runs)), everything=True)
    if compared.metrics is None:
        click.echo(f"metrics: not to be had: {compared.why_no_metrics}\n", err=True)
    else:
        print_metrics("metrics", compared.metrics)
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
