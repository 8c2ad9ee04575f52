"""What differs between two runs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from components.runtime.records import final_status
from components.runtime.records.answered import metrics_of
from runners.history.directions import better, directions
from runners.history.executions import Execution
from runners.history.files_read import files_read
from runners.history.outcome import Outcome, leading, outcome
from runners.history.records import Run
from runners.terminal import text

_SHOWN_OTHERWISE = frozenset({"system.HTML", "system.Markdown", "system.Metrics", "system.ClassificationMetrics"})
NOT_RUN = "not run"
"""What stands for a parameter of a task that has not finished."""

_VARYING = frozenset({"started (UTC)", "created (UTC)", "duration"})
_WORK = frozenset({"seconds", "steps", "examples", "examples_per_second_of_steps"}) | frozenset(
    {"trials", "failed_trials", "cut_short_trials", "best_trial"}
)


@dataclass(frozen=True)
class Row:
    """One line of a comparison: a value of each run, None where a run has none.

    Attributes:
      varies: it is another one in every run, which is not worth a mark.
      unknown: one of the runs did not get so far, so that nobody knows whether they differ.
    """

    name: str
    left: str | None
    right: str | None
    varies: bool = False
    unknown: bool = False

    @property
    def differs(self) -> bool:
        """Whether the two are unlike."""
        return self.left != self.right and not self.varies and not self.unknown


@dataclass(frozen=True)
class MetricRow:
    """A metric in both runs.

    Attributes:
      way: 1 where high is better, -1 where low, 0 where neither is; None where nobody said.
    """

    name: str
    left: float | None
    right: float | None
    way: int | None = None

    @property
    def is_of_work(self) -> bool:
        """Whether it says how much a task had to do, not how well it did."""
        return self.name.rpartition(".")[2] in _WORK

    @property
    def difference(self) -> float | None:
        """Right minus left."""
        return None if self.left is None or self.right is None else self.right - self.left

    @property
    def differs(self) -> bool:
        """Whether the two are unlike; NaN is like NaN."""
        return self.left != self.right and not (self.left != self.left and self.right != self.right)

    @property
    def is_better(self) -> bool | None:
        """Whether the right one is better; None where there is no better or they are the same."""
        way = better(self.name) if self.way is None else self.way
        if not self.difference or self.difference != self.difference or not way:
            return None
        return self.difference * way > 0


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes:
      metrics: how well the tasks did.
      work: how much they had to do.
      files: digests of what they read from outside of the pipeline, such as code.
    """

    left: Run
    right: Run
    summary: list[Row]
    parameters: list[Row]
    metrics: list[MetricRow]
    work: list[MetricRow]
    files: list[Row]
    artifacts: list[Row]
    seconds: list[tuple[str, float | None, float | None]]


@dataclass(frozen=True)
class Side:
    """What a comparison holds of one run, by name: values as people read them, and digests of what it made."""

    parameters: dict[str, str]
    metrics: dict[str, float]
    artifacts: dict[str, str]


def side(run: Run) -> Side:
    """What a comparison holds of a run."""
    return Side(_parameters(run), _metrics(run), _artifacts(run))


def compare_runs(left: Run, right: Run) -> Comparison:
    """Puts two runs side by side."""
    ways = directions(left.executions.values()) | directions(right.executions.values())
    metrics = _metric_rows(_metrics(left), _metrics(right), ways)
    return Comparison(
        left=left,
        right=right,
        summary=rows(_summary(left, outcome(left)), _summary(right, outcome(right))),
        parameters=_parameter_rows(left, right),
        metrics=[row for row in metrics if not row.is_of_work],
        work=[row for row in metrics if row.is_of_work],
        files=_file_rows(left, right),
        artifacts=rows(_artifacts(left), _artifacts(right)),
        seconds=_seconds(left, right),
    )


def _summary(run: Run, made: Outcome) -> dict[str, str]:
    blessed = "-" if made.blessed is None else "yes" if made.blessed else "no"
    return {
        "state": run.state,
        "started (UTC)": text.moment(run.started),
        "duration": text.duration(run.elapsed),
        "blessed": blessed,
        **({"chosen": made.candidate} if made.candidate else {}),
        "why": text.clipped(made.reason, text.REASON) or "-",
        "pushed as version": made.version or "-",
        **({"error": run.error} if run.error else {}),
    }


def parameter_values(run: Run) -> dict[str, Any]:
    """Those of the pipeline, then those of each task; what an exit task is told of the run's end is none of them."""
    found = dict(run.parameters)
    for task, execution in run.executions.items():
        for name, value in execution.said.items():
            if execution.stage == "notify" and name == final_status.INPUT:
                continue
            if name not in run.parameters or run.parameters[name] != value:
                found[f"{task}.{name}"] = value
    return found


def _parameters(run: Run) -> dict[str, str]:
    return {name: _text(value) for name, value in parameter_values(run).items()}


def _parameter_rows(left: Run, right: Run) -> list[Row]:
    """Parameters line by line; those of a task that has not finished in one of the runs are not known there."""
    found = rows(_parameters(left), _parameters(right))
    unfinished = [{task.name for task in run.tasks} - run.executions.keys() for run in (left, right)]
    known = []
    for row in found:
        task = row.name.partition(".")[0]
        sides = [row.left, row.right]
        for place, names in enumerate(unfinished):
            if sides[place] is None and task in names:
                sides[place] = NOT_RUN
        known.append(replace(row, left=sides[0], right=sides[1], unknown=NOT_RUN in sides))
    return known


def _file_rows(left: Run, right: Run) -> list[Row]:
    """What a run did not read is not known to be another one where some of its tasks have not finished."""
    found = rows(files_read(left), files_read(right))
    unfinished = [any(task.name not in run.executions for task in run.tasks) for run in (left, right)]
    return [
        replace(
            row,
            unknown=any(side is None and open_ for side, open_ in zip((row.left, row.right), unfinished, strict=True)),
        )
        for row in found
    ]


def _metrics(run: Run) -> dict[str, float]:
    """Those of the verdict that counts as they are called, those of other tasks behind the task's name."""
    found: dict[str, float] = {}
    judged = leading(run)
    for task, execution in run.executions.items():
        prefix = "" if judged == [execution] else f"{task}."
        found |= {f"{prefix}{name}": value for name, value in metrics_of(execution).items()}
    return dict(sorted(found.items(), key=lambda entry: ("." in entry[0], entry[0])))


def _artifacts(run: Run) -> dict[str, str]:
    """Digests of what every task made, but for pages, which are drawings of the rest, and metrics."""
    return {
        f"{task}/{name}": artifact.digest
        for task, execution in run.executions.items()
        for name, artifact in execution.outputs.items()
        if artifact.type not in _SHOWN_OTHERWISE
    }


def _seconds(left: Run, right: Run) -> list[tuple[str, float | None, float | None]]:
    names = _union([task.name for task in left.tasks], [task.name for task in right.tasks])
    seconds = [(name, _worked(left, name), _worked(right, name)) for name in names]
    return [row for row in seconds if row[1] is not None or row[2] is not None]


def _worked(run: Run, name: str) -> float | None:
    """Seconds that an execution took, also where a run took it from the cache."""
    execution: Execution | None = run.executions.get(name)
    return execution.seconds if execution else None


def rows(left: dict[str, str], right: dict[str, str]) -> list[Row]:
    """The values of two runs, line by line."""
    return [Row(name, left.get(name), right.get(name), name in _VARYING) for name in _union(left, right)]


def _metric_rows(left: dict[str, float], right: dict[str, float], ways: dict[str, int]) -> list[MetricRow]:
    return [MetricRow(name, left.get(name), right.get(name), better(name, ways)) for name in _union(left, right)]


def _union(left: Iterable[str], right: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*left, *right]))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
