"""What came of a run, in a few facts: metrics, blessing, pushed version."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from components.runtime.publish.serving import how_pushed
from components.runtime.records.facts import UNNAMED, followed, which
from runners.history.copied_root import relative_place
from runners.history.executions import Execution
from runners.history.record_values import finite
from runners.history.records import Run

_ORDER = ("auc", "lift", "accuracy", "precision", "recall", "f1", "error", "loss")
_NOT_A_SCORE = ("count", "step", "epoch", "seconds", "threshold")
_BOOKKEEPING = frozenset({"digest", "bytes", "producer", "display_name", "store_session_info"})


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
    training = _merged(run.of_stage("train"))
    # Of several models what became of the chosen one.
    judged = leading(run)
    # Where the choice failed none is blessed yet, whatever was said of each.
    choosing = [
        task for task in run.tasks if task.stage == "choose" and task.state not in ("done", "cached", "skipped")
    ]
    blessings = {} if choosing else _by_model(judged, "blessing")
    candidate = str(blessings[""].get("candidate") or "") if "" in blessings else ""
    pushes = {
        name: facts for name, facts in _by_model(run.of_stage("push"), "pushed_model").items() if "version" in facts
    }
    # (Before train, resolve looks for a model to start from.)
    baselines = _by_model([execution for execution in run.of_stage("resolve") if execution.inputs], "baseline_model")
    if candidate:
        baselines = {name: facts for name, facts in baselines.items() if name == candidate}
    elif len(judged) == 1 < len(run.of_stage("evaluate")):
        baselines = {name: facts for name, facts in baselines.items() if name == model_of(judged[0])}
    pushed = next(iter(pushes.values()), {})
    return Outcome(
        metrics=_merged(judged) or training,
        training=training,
        candidate=candidate,
        blessed=_any(truth(each.get("blessed")) for each in blessings.values()),
        reason=_of_each({name: str(facts.get("reason") or "") for name, facts in blessings.items()}),
        has_baseline=_any(truth(each.get("baseline")) for each in blessings.values()),
        baseline=_of_each({name: str(facts.get("reason") or "") for name, facts in baselines.items()}),
        version=_of_each({name: whole_text(facts.get("version")) for name, facts in pushes.items()}, ", "),
        destination=_common([relative_place(run.root, str(each.get("destination") or "")) for each in pushes.values()]),
        how_pushed=how_pushed(pushed | {"created": truth(pushed.get("created"))}) if len(pushes) == 1 else "",
    )


def leading(run: Run) -> list[Execution]:
    """The executions whose verdicts count: the choice's, else of several evaluations the one that a push goes by."""
    judged = {each.task: each for each in run.of_stage("choose") or run.of_stage("evaluate")}
    return [judged[task] for task in followed_of(judged, run.of_stage("push"))]


def followed_of(judged: Mapping[str, HasArtifacts], readers: Iterable[HasArtifacts]) -> list[str]:
    """Which of several executions others go by, as facts.followed tells it."""
    made = {task: {made.uri for made in each.outputs.values() if made.uri} for task, each in judged.items()}
    return followed(made, {read.uri for each in readers for read in each.inputs.values()})


class HasOutputs(Protocol):
    """An execution, wherever its record came from."""

    @property
    def outputs(self) -> Mapping[str, Any]:
        """Artifacts, with their type and metadata."""
        ...


class HasArtifacts(HasOutputs, Protocol):
    """An execution with what it read."""

    @property
    def inputs(self) -> Mapping[str, Any]:
        """Artifacts, with their place."""
        ...


def metrics_of(execution: HasOutputs) -> dict[str, float]:
    """The numbers in the metadata of an execution's metrics; other targets write them as text."""
    found = {}
    for artifact in execution.outputs.values():
        if artifact.type == "system.Metrics":
            for name, value in artifact.metadata.items():
                number = _number(value)
                if number is not None and name not in _BOOKKEEPING:
                    found[name] = number
    return found


def truth(value: Any) -> bool | None:
    """A boolean of metadata, which some targets write as a number or as text; None when it is no boolean."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return None if value is None else bool(value)


def model_of(execution: Execution) -> str:
    """Which of several models an execution is of: `wide` of the task train-wide; empty where there is one."""
    return which(execution.task, execution.stage)


def _merged(executions: list[Execution]) -> dict[str, float]:
    """The metrics of executions; where there are several, each with the name of its model."""
    several = len(executions) > 1
    return {
        f"{model_of(execution) or UNNAMED} {name}" if several else name: value
        for execution in executions
        for name, value in metrics_of(execution).items()
    }


def _by_model(executions: list[Execution], output: str) -> dict[str, dict[str, Any]]:
    """The metadata of an output, by model."""
    return {model_of(each): each.outputs[output].metadata for each in executions if output in each.outputs}


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
    return places[0] if len(set(places)) == 1 else os.path.commonpath(places) if all(places) and places else ""


def _rank(name: str) -> tuple[int, int, str]:
    lower = name.lower()
    return next((place for place, word in enumerate(_ORDER) if word in lower), len(_ORDER)), len(name), name


def whole_text(value: Any) -> str:
    """A whole number of metadata, which some targets write as a float; empty where there is none."""
    if value is None or isinstance(value, bool):
        return ""
    return f"{value:.0f}" if isinstance(value, float) and math.isfinite(value) else str(value)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        # A metric may well be infinite.
        return value
    return math.nan if value == "NaN" else finite(value)
