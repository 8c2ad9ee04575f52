"""What came of a run, in a few facts: metrics, blessing, pushed version."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from components.runtime.publish.serving import how_pushed
from components.runtime.records.answered import truth
from components.runtime.records.facts import UNNAMED, which
from components.runtime.records.models import models, version
from runners.history.copied_root import relative_place
from runners.history.executions import Execution
from runners.history.records import Run

_ORDER = ("auc", "lift", "accuracy", "precision", "recall", "f1", "error", "loss")
_NOT_A_SCORE = ("count", "step", "epoch", "seconds", "threshold")


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
      metrics: of the evaluation; of the training where there was no evaluation.
      training: metrics of the training.
      candidate: which of several models that is, as far as one was chosen; empty where there was one.
      blessed: None when the run did not get so far.
      reason: of the blessing, or of its absence, in one line.
      has_baseline: whether the model was compared with an earlier one; None when unknown.
      baseline: which one that was, or why there was none; empty when unknown.
      version: the version that it was pushed as, empty when it was not.
      destination: where it was pushed.
      how_pushed: what is worth saying of that in brackets; empty for a model that is new there.
    """

    metrics: dict[str, float]
    training: dict[str, float]
    candidate: str = ""
    blessed: bool | None = None
    reason: str = ""
    has_baseline: bool | None = None
    baseline: str = ""
    version: str = ""
    destination: str = ""
    how_pushed: str = ""

    def key_metrics(self, limit: int = 3) -> dict[str, float]:
        """The few metrics that say most."""
        scores = [name for name in self.metrics if not any(word in name.lower() for word in _NOT_A_SCORE)]
        return {name: self.metrics[name] for name in sorted(scores, key=_rank)[:limit]}


def outcome(run: Run) -> Outcome:
    """Reads what came of a run from the records of its executions."""
    read = models(run.executions.values())
    choice, leading_ones = read.choice, read.leading
    training = _merged({each.name: each.training for each in read.all if each.trained})
    # Where the choice failed none is blessed yet, whatever was said of each.
    unchosen = any(task.stage == "choose" and task.state not in ("done", "cached", "skipped") for task in run.tasks)
    verdicts = {"": choice.blessing} if choice else {each.name: each.blessing or {} for each in leading_ones}
    verdicts = {} if unchosen else verdicts
    said = (
        {"": choice.model.reviews if choice.model else {}}
        if choice
        else {each.name: each.reviews for each in leading_ones}
    )
    # Of several models what became of the chosen one.
    candidate = str(choice.blessing.get("candidate") or "") if choice else ""
    compared = [each for each in read.all if each.resolved is not None]
    if choice and choice.model:
        compared = [each for each in compared if each is choice.model]
    elif len(leading_ones) == 1 < len(read.judged):
        compared = leading_ones
    pushes = {each.name: facts for each in read.all for facts in each.published if "destination" in facts}
    pushed = next(iter(pushes.values()), {})
    return Outcome(
        metrics=(choice.metrics if choice else _merged({each.name: each.metrics for each in leading_ones})) or training,
        training=training,
        candidate=candidate,
        blessed=_any(truth(each.get("blessed")) for each in verdicts.values()),
        reason=_of_each({name: _reason(facts, said.get(name, {})) for name, facts in verdicts.items()}),
        has_baseline=_any(truth(each.get("baseline")) for each in verdicts.values()),
        baseline=_of_each({each.name: each.resolved or "" for each in compared}),
        version=_of_each({name: version(facts) for name, facts in pushes.items()}, ", "),
        destination=_common([relative_place(run.root, str(each.get("destination") or "")) for each in pushes.values()]),
        how_pushed=how_pushed({**pushed, "created": truth(pushed.get("created"))}) if len(pushes) == 1 else "",
    )


def _reason(verdict: Mapping[str, Any], reviews: Mapping[str, Mapping[str, Any]]) -> str:
    """Why a model is blessed or not, and what was said of it behind the evaluation: who approved it, and why."""
    told = [verdict.get("reason"), *(each.get("review") for each in reviews.values() if truth(verdict.get("blessed")))]
    return "; ".join(dict.fromkeys(str(each) for each in told if each))


def leading(run: Run) -> list[Execution]:
    """The executions whose verdicts count: the choice's, else of several evaluations the one that a push goes by."""
    # (Of a run as if it were of one candidate alone the tasks are called otherwise.)
    executions = {each.task: each for each in run.executions.values()}
    return [executions[task] for task in models(executions.values()).judges]


def model_of(execution: Execution) -> str:
    """Which of several models an execution is of: `wide` of the task train-wide; empty where there is one."""
    return which(execution.task, execution.stage)


def _merged(measured: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The metrics of models by their names; where there are several, each with the name of its model."""
    several = len(measured) > 1
    return {
        f"{model or UNNAMED} {name}" if several else name: value
        for model, metrics in measured.items()
        for name, value in metrics.items()
    }


def _of_each(told: dict[str, str], between: str = "; ") -> str:
    """What is told of models: as it is of one, behind their names of several."""
    return (
        between.join(f"{name or UNNAMED}: {each}" for name, each in told.items())
        if len(told) > 1
        else "".join(told.values())
    )


def _any(truths: Iterable[bool | None]) -> bool | None:
    """Whether one is true; None where nobody knows of any."""
    known = [each for each in truths if each is not None]
    return any(known) if known else None


def _common(places: list[str]) -> str:
    """The place of one, or the folder that all are in."""
    if len(set(places)) < 2 or not all(places):
        return places[0] if len(set(places)) == 1 else ""
    # (Of candidates in a bucket, each in a folder of its own.)
    scheme = places[0].partition("://")[0] + "://" if "://" in places[0] else ""
    return scheme + os.path.commonpath([place.removeprefix(scheme) for place in places])


def _rank(name: str) -> tuple[int, int, str]:
    lower = name.lower()
    return next((place for place, word in enumerate(_ORDER) if word in lower), len(_ORDER)), len(name), name
