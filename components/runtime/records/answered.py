"""Executions and what they made, wherever their records came from: a pipeline root, a server, or a run that goes on."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from components.runtime.stage.artifacts import BOOKKEEPING

MODEL = "system.Model"
_METRICS = "system.Metrics"
COUNTS = frozenset(
    {"steps", "examples", "trials", "failed_trials", "cut_short_trials", "best_trial", "labels", "answers"}
    | {"example_count", "stable_requests", "canary_requests"}
)
"""Metrics of ours that count something, which some targets write as floats."""
_BOOKKEEPING = BOOKKEEPING | {"display_name", "store_session_info"}


class Made(Protocol):
    """An artifact, wherever its record came from."""

    @property
    def type(self) -> str:
        """As KFP's compiler calls it, such as `system.Model`."""
        ...

    @property
    def uri(self) -> str:
        """Where it lies; empty where it is metadata alone."""
        ...

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What its stage said of it."""
        ...


class HasOutputs(Protocol):
    """An execution, as far as it made something."""

    @property
    def outputs(self) -> Mapping[str, Any]:
        """Artifacts by the names of the outputs."""
        ...


class Answered(HasOutputs, Protocol):
    """An execution, wherever its record came from. Where it has a `stage`, its task's name tells whose it is."""

    @property
    def task(self) -> str:
        """Its task's name."""
        ...

    @property
    def inputs(self) -> Mapping[str, Any]:
        """Artifacts by the names of the inputs."""
        ...


def metrics_of(execution: HasOutputs) -> dict[str, float]:
    """The numbers in the metadata of an execution's metrics, counts as whole ones."""
    found: dict[str, float] = {}
    for artifact in execution.outputs.values():
        if artifact.type == _METRICS:
            for name, value in artifact.metadata.items():
                number = _number(value)
                if number is not None and name not in _BOOKKEEPING:
                    found[name] = int(number) if name in COUNTS and float(number).is_integer() else number
    return found


def digest(artifact: Made) -> str:
    """`sha256:<hex>` of an artifact's content; empty where it is not recorded."""
    return str(artifact.metadata.get("digest") or "")


def truth(value: Any) -> bool | None:
    """A boolean of metadata, which some targets write as a number or as text; None when it is no boolean."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return None if value is None else bool(value)


def whole_text(value: Any) -> str:
    """A whole number of metadata, which some targets write as a float; empty where there is none."""
    if value is None or isinstance(value, bool):
        return ""
    return f"{value:.0f}" if isinstance(value, float) and math.isfinite(value) else str(value)


def _number(value: Any) -> float | None:
    if isinstance(value, float):
        # A metric may well be infinite.
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        # (What no float holds nobody could draw.)
        return value if abs(value) <= sys.float_info.max else None
    return math.nan if value == "NaN" else None


@dataclass(frozen=True)
class RecordedArtifact:
    """An artifact of execution.json."""

    type: str
    uri: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class RecordedExecution:
    """An execution.json, as far as models are concerned."""

    task: str
    stage: str
    inputs: Mapping[str, RecordedArtifact]
    outputs: Mapping[str, RecordedArtifact]


def recorded(record: Mapping[str, Any]) -> RecordedExecution:
    """An execution's record, as execution.json has it."""
    sides = [
        {
            name: RecordedArtifact(str(each.get("type") or ""), str(each.get("uri") or ""), each.get("metadata") or {})
            for name, each in (record.get(side) or {}).items()
        }
        for side in ("inputs", "outputs")
    ]
    return RecordedExecution(str(record.get("task") or record["stage"]), record["stage"], *sides)
