"""The report of a search: its trials, their scores, and each hyperparameter against the score."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from components.runtime.stage import report
from components.tune.search import CUT_SHORT, FAILED, Search, Trial

_COLUMNS = 3
_DECADES = 50
"""A logarithmic axis that spans more than this factor is labelled at powers of ten only."""
_NARROW = 0.015
"""Part of the whole time below which a trial's bar has no room for its number."""
_SCORE, _BEST, _FAILED = report.COLORS[0], report.COLORS[1], report.COLORS[4]
_ENDED_BY = {
    "trials": "the budget of trials was spent",
    "minutes": "the budget of minutes was spent",
    "tuner": "the tuner had no more to try",
}


def page(
    search: Search,
    tuner: str,
    configuration: Mapping[str, Any],
    seconds: float,
    parameters: Mapping[str, Any],
    earlier: int = 0,
) -> str:
    """A self-contained page.

    Args:
      search: has ended, with at least one trial that has a score.
      tuner: name of its kind.
      configuration: of the best trial's hyperparameters; tells which are on a logarithmic scale.
      seconds: the search took, of this attempt.
      parameters: what it was started with.
      earlier: trials that had ended in earlier attempts.
    """
    best = search.best
    assert best is not None
    failed = [trial for trial in search.trials if trial.state == FAILED]
    cut = sum(trial.state == CUT_SHORT for trial in search.trials)
    facts: list[tuple[str, Any]] = [
        ("best score", f"{best.score:.6g}"),
        ("objective", f"{search.objective}, {'higher' if search.direction == 'max' else 'lower'} is better"),
        ("best trial", best.number),
        ("trials", len(search.trials)),
        ("failed", len(failed)),
        ("cut short", cut),
        ("tuner", tuner),
        ("ended because", _ENDED_BY[search.ended_by]),
    ]
    if earlier:
        facts.append(("went on after", f"{earlier} trial{'s' if earlier > 1 else ''} of earlier attempts"))
    facts.append((f"seconds{' of this attempt' if earlier else ''}", round(seconds, 1)))
    if search.workers > 1:
        facts.append(("workers", search.workers))
    facts += [(f"worker {worker}", how) for worker, how in sorted(search.gone.items())]
    names = list(dict.fromkeys(name for trial in search.trials for name in trial.values))
    logarithmic = {
        entry["config"]["name"]
        for entry in configuration.get("space", [])
        if entry["config"].get("sampling") in ("log", "reverse_log")
    }
    parts = [
        report.section("Summary", report.table(["", ""], [(name, str(value)) for name, value in facts])),
        report.section(
            "Best hyperparameters",
            report.table(["hyperparameter", "value"], [(name, _shown(value)) for name, value in best.values.items()]),
        ),
        report.section("Score by trial", _by_trial(search)),
    ]
    if names:
        parts.append(report.section("Score by hyperparameter", _by_value(search, names, logarithmic)))
    if search.workers > 1:
        parts.append(report.section("Trials by worker", _by_worker(search)))
    parts.append(report.section("Trials", _table(search, best, names)))
    settings = [
        (name, json.dumps(value) if isinstance(value, Mapping) else str(value)) for name, value in parameters.items()
    ]
    parts.append(report.section("Parameters", report.table(["parameter", "value"], settings)))
    return report.page("Hyperparameters", *parts)


def _table(search: Search, best: Trial, names: Sequence[str]) -> report.Html:
    marks = {FAILED: "bad", CUT_SHORT: "muted"}
    rows = []
    for trial in search.trials:
        state = report.text(trial.state, marks[trial.state]) if trial.state in marks else trial.state
        if trial is best:
            state = report.text("best" if trial.state != CUT_SHORT else "best, cut short", "good")
        values = [_shown(trial.values.get(name)) for name in names]
        rows.append([trial.number, state, trial.score, *values, trial.steps, round(trial.seconds, 1), trial.message])
    headers = ["trial", "", search.objective, *names, "steps", "seconds", "why it failed"]
    if not any(trial.message for trial in search.trials):
        headers, rows = headers[:-1], [row[:-1] for row in rows]
    if search.workers > 1:
        headers.insert(1, "worker")
        for trial, row in zip(search.trials, rows, strict=True):
            row.insert(1, trial.worker)
    return report.table(headers, rows)


def _shown(value: Any) -> Any:
    return value if value is None or (isinstance(value, int | float) and not isinstance(value, bool)) else str(value)


def _by_trial(search: Search) -> report.Html:
    from matplotlib.ticker import MaxNLocator

    figure = report.figure(9.8, 3.0)
    axis = figure.subplots()
    scored = [(trial.number, trial.score) for trial in search.trials if trial.score is not None]
    numbers, scores = [number for number, _ in scored], [score for _, score in scored]
    so_far = list(itertools.accumulate(scores, max if search.direction == "max" else min))
    axis.step(numbers, so_far, where="post", color=_BEST, label="best so far")
    axis.plot(numbers, scores, "o", color=_SCORE, label="trial")
    if failed := [trial.number for trial in search.trials if trial.score is None]:
        low = axis.get_ylim()[0]
        axis.plot(failed, [low] * len(failed), "x", color=_FAILED, label="failed", clip_on=False)
    axis.set_xlabel("trial")
    axis.set_ylabel(search.objective)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(frameon=False)
    return report.drawing(figure, f"{search.objective} of every trial and the best so far")


def _by_worker(search: Search) -> report.Html:
    """When each worker ran which trial: where it is white, it waited, or was not there."""
    figure = report.figure(9.8, 0.9 + 0.3 * search.workers)
    axis = figure.subplots()
    best, end = search.best, max(trial.begun + trial.seconds for trial in search.trials)
    for trial in search.trials:
        color = _BEST if trial is best else _FAILED if trial.state == FAILED else _SCORE
        axis.barh(trial.worker, trial.seconds, left=trial.begun, height=0.7, color=color, edgecolor="white")
        if trial.seconds > _NARROW * end:
            middle = trial.begun + trial.seconds / 2
            axis.text(middle, trial.worker, str(trial.number), ha="center", va="center", color="white")
    axis.set_yticks(range(search.workers), [f"worker {index}" for index in range(search.workers)])
    axis.set_ylim(search.workers - 0.5, -0.5)
    axis.set_xlim(left=0)
    axis.set_xlabel("seconds")
    return report.drawing(figure, "which worker ran which trial, and when; the best and failed ones in other colours")


def _by_value(search: Search, names: Sequence[str], logarithmic: set[str]) -> report.Html:
    from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullFormatter

    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = report.figure(9.8 / _COLUMNS * columns, 2.6 * rows)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).flatten()
    best = search.best
    for axis, name in zip(axes, names, strict=False):
        points = [trial for trial in search.trials if trial.score is not None and trial.values.get(name) is not None]
        values = [trial.values[name] for trial in points]
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            values = [str(value) for value in values]
        elif name in logarithmic:
            axis.set_xscale("log")
            wide = max(values) > _DECADES * min(values)
            axis.xaxis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5)))
            axis.xaxis.set_major_formatter(FormatStrFormatter("%g"))
            axis.xaxis.set_minor_formatter(NullFormatter())
        elif all(isinstance(value, int) for value in values):
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        colors = [_BEST if trial is best else _SCORE for trial in points]
        axis.scatter(values, [trial.score for trial in points], c=colors, s=22)
        axis.set_title(name, loc="left", fontweight="bold")
    for axis in axes[: len(names) : columns]:
        axis.set_ylabel(search.objective)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    return report.drawing(figure, f"{search.objective} over {', '.join(names)}; the best trial in another colour")
