"""What came of a run, in a few facts: metrics, blessing, pushed version."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from components.runtime.publish.serving import how_pushed
from components.runtime.records.execution_record import relative_uri
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
    evaluated = _merged(run.of_stage("evaluate"))
    blessing = _metadata(run.of_stage("evaluate"), "blessing")
    pushed = _metadata(run.of_stage("push"), "pushed_model")
    # (Before train, resolve looks for a model to start from.)
    compared = [execution for execution in run.of_stage("resolve") if execution.inputs]
    blessed, baseline = blessing.get("blessed"), blessing.get("baseline")
    return Outcome(
        metrics=evaluated or training,
        training=training,
        blessed=truth(blessed),
        reason=str(blessing.get("reason") or ""),
        has_baseline=truth(baseline),
        baseline=str(_metadata(compared, "baseline_model").get("reason") or ""),
        version=whole_text(pushed.get("version")),
        destination=relative_uri(run.root, str(pushed.get("destination") or "")),
        how_pushed=how_pushed(pushed | {"created": truth(pushed.get("created"))}),
    )


class HasOutputs(Protocol):
    """An execution, wherever its record came from."""

    @property
    def outputs(self) -> Mapping[str, Any]:
        """Artifacts, with their type and metadata."""
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


def _merged(executions: list[Execution]) -> dict[str, float]:
    return {name: value for execution in executions for name, value in metrics_of(execution).items()}


def _metadata(executions: list[Execution], output: str) -> dict[str, Any]:
    found = [execution.outputs[output].metadata for execution in executions if output in execution.outputs]
    return found[-1] if found else {}


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
