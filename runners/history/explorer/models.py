"""What a run's tasks made of models, as the explorer shows it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from components.runtime.records import models as run_models
from components.runtime.records.answered import Answered, metrics_of, truth, whole_text
from runners.history.explorer.model import Model, Push
from runners.history.lineage_nodes import Lineage
from runners.history.releases import made_of

_INTERVAL = " 95% "
"""In the names of the ends of intervals, which are no metrics of their own."""


def models(executions: Mapping[str, Answered]) -> list[Model]:
    """The models of a run, in the order of its tasks.

    Args:
      executions: of the run, by task.
    """
    read = run_models.models(executions.values())
    return [_shown(each, read.choice) for each in read.all]


def _shown(model: run_models.Model, choice: run_models.Choice | None) -> Model:
    known = model.blessing or {}
    why = str(choice.blessing.get("reason") or "") if choice and model.chosen else ""
    return Model(
        name=model.task,
        digest=model.digest,
        metrics=_scores(model.metrics) or _scores(model.training),
        blessed=truth(known.get("blessed")),
        reason=why or str(known.get("reason") or ""),
        approval=model.approval,
        baseline=model.baseline,
        version=run_models.version(model.published[-1]) if model.published else "",
        chosen=model.chosen,
    )


def pushes(
    executions: Mapping[str, Answered], place: Any, moments: Mapping[str, str], graph: Lineage | None = None
) -> list[Push]:
    """The versions that a run pushed, or found in service.

    Args:
      executions: of the run, by task.
      place: turns a serving directory into what people know it by.
      moments: when each execution ended, by task.
      graph: the run's lineage, if it is known.
    """
    found = []
    for task, execution in executions.items():
        made = [each for each in execution.outputs.values() if run_models.is_published(each.metadata)]
        if not made:
            continue
        artifact, known = made[0], made[0].metadata
        destination = str(known.get("destination") or known.get("repo_id") or "")
        found.append(
            Push(
                model=destination.rstrip("/").rpartition("/")[2] if "destination" in known else destination,
                version=run_models.version(known),
                destination=place(destination),
                digest=str(known.get("model_digest") or ""),
                created=truth(known.get("created")),
                same_as=_same_as(known.get("same_as")),
                time=moments.get(task, ""),
                artifact=getattr(artifact, "id", "") or place(artifact.uri),
                why=str(known.get("why") or ""),
                made_of=made_of(graph, place(execution.inputs["model"].uri))
                if graph and "model" in execution.inputs
                else {},
            )
        )
    return found


def _same_as(value: Any) -> str:
    text = whole_text(value)
    return "" if text == "0" else text


def _scores(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if _INTERVAL not in name and not math.isnan(value)}


def quality(executions: Iterable[Answered]) -> dict[str, float]:
    """All metrics of all executions of a run, those of the verdict that counts without its task's name before them."""
    known = list(executions)
    judges = run_models.models(known).judges
    found: dict[str, float] = {}
    for execution in known:
        prefix = "" if judges == [execution.task] else f"{execution.task}."
        found |= {f"{prefix}{name}": value for name, value in metrics_of(execution).items()}
    return dict(sorted(found.items(), key=lambda entry: ("." in entry[0], entry[0])))
