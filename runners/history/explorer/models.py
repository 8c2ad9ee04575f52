"""What a run's tasks made of models: one for each training, how it was judged, and where it was pushed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from runners.history.explorer.model import Model, Push
from runners.history.lineage_nodes import MODEL, Lineage
from runners.history.outcome import followed_of, metrics_of, truth, whole_text
from runners.history.releases import made_of

_INTERVAL = " 95% "
"""In the names of the ends of intervals, which are no metrics of their own."""
_BASELINE = "baseline_model"


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
    def metadata(self) -> dict[str, Any]:
        """What its stage said of it."""
        ...


class Answered(Protocol):
    """An execution, wherever its record came from."""

    @property
    def task(self) -> str:
        """Its task's name."""
        ...

    @property
    def inputs(self) -> Mapping[str, Any]:
        """Artifacts by the names of the inputs."""
        ...

    @property
    def outputs(self) -> Mapping[str, Any]:
        """Artifacts by the names of the outputs."""
        ...


def models(executions: Mapping[str, Answered]) -> list[Model]:
    """The models of a run, in the order of its tasks.

    Which tasks train, evaluate and push is told by what they read and made, not by what they are called: there may be
    several of each.

    Args:
      executions: of the run, by task.
    """
    found: dict[str, Model] = {}

    def of(artifact: Made | None, otherwise: str) -> Model:
        key = _identity(artifact) if artifact else otherwise
        return found.setdefault(key, Model(otherwise, digest=_digest(artifact) if artifact else ""))

    for task, execution in executions.items():
        model = execution.inputs.get("model") or _only_model(execution.inputs)
        blessing = _blessing(execution)
        if blessing is not None and _is_choice(execution):
            rivals = {_identity(each): each for each in execution.inputs.values() if each.type == MODEL}
            for each in rivals.values():
                of(each, task).chosen = False
            for copy in [each for each in execution.outputs.values() if each.type == MODEL]:
                # What is chosen lies in another place, and is the same model.
                best = of(_original(copy, execution.inputs) or copy, task)
                found[_identity(copy)] = best
                best.chosen = truth(blessing.metadata.get("blessed"))
                if best.chosen:
                    best.reason = str(blessing.metadata.get("reason") or "") or best.reason
        elif blessing is not None:
            judged = of(model, task)
            judged.blessed = truth(blessing.metadata.get("blessed"))
            judged.reason = str(blessing.metadata.get("reason") or "")
            judged.metrics = _scores(execution) or judged.metrics
            baseline = execution.inputs.get(_BASELINE)
            judged.baseline = _digest(baseline) if baseline and baseline.metadata.get("bytes") != 0 else ""
        elif push := _pushed(execution):
            of(model, task).version = _version(push)
        elif _BASELINE not in execution.outputs:
            made = [each for each in execution.outputs.values() if each.type == MODEL and "pushed" not in each.metadata]
            for each in made:
                of(each, task).metrics = _scores(execution)
            if model is not None and not made and (scores := _scores(execution)):
                of(model, task).metrics = scores
    return list({id(each): each for each in found.values()}.values())


def _blessing(execution: Answered) -> Any:
    """The verdict that a task left; None where it left none."""
    return next((each for each in execution.outputs.values() if "blessed" in each.metadata), None)


def _is_choice(execution: Answered) -> bool:
    """Whether a task's verdict goes by those of others."""
    return any("blessed" in each.metadata for each in execution.inputs.values())


def _original(copy: Made, inputs: Mapping[str, Made]) -> Made | None:
    """Which of the models that a task read it handed on; None where nothing tells."""
    models = {name: each for name, each in inputs.items() if each.type == MODEL}
    named = str(copy.metadata.get("candidate") or "").replace("-", "_")
    same = [name for name, each in models.items() if _digest(each) and _digest(each) == _digest(copy)]
    # Two trainings may have made the same.
    likely = [name for name in same or models if named and name.endswith(f"_{named}")] or same
    return models[min(likely, key=len)] if likely else None


def _only_model(inputs: Mapping[str, Made]) -> Made | None:
    """The model that a task of somebody else's reads, where it reads one."""
    found = [each for each in inputs.values() if each.type == MODEL]
    return found[0] if len(found) == 1 else None


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
        if (artifact := _pushed(execution)) is None:
            continue
        known = artifact.metadata
        destination = str(known.get("destination") or known.get("repo_id") or "")
        found.append(
            Push(
                model=destination.rstrip("/").rpartition("/")[2] if "destination" in known else destination,
                version=_version(artifact),
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


def _pushed(execution: Answered) -> Any:
    """What a task left of the version that it published; None where it published none."""
    for each in execution.outputs.values():
        known = each.metadata
        there = ("destination" in known and "version" in known) or ("repo_id" in known and "revision" in known)
        if there and truth(known.get("pushed")) is not False and _version(each):
            return each
    return None


def _version(artifact: Made) -> str:
    return whole_text(artifact.metadata.get("version", artifact.metadata.get("revision")))


def _same_as(value: Any) -> str:
    text = whole_text(value)
    return "" if text == "0" else text


def _scores(execution: Answered) -> dict[str, float]:
    return {
        name: value for name, value in metrics_of(execution).items() if _INTERVAL not in name and not math.isnan(value)
    }


def _digest(artifact: Made) -> str:
    return str(artifact.metadata.get("digest") or "")


def _identity(artifact: Made) -> str:
    return artifact.uri or _digest(artifact)


def quality(executions: Iterable[Answered]) -> dict[str, float]:
    """All metrics of all executions of a run, those of the verdict that counts without its task's name before them.

    That is the choice's, else of several that which a push goes by.
    """
    known = {each.task: each for each in executions}
    judged = {task: each for task, each in known.items() if _blessing(each) is not None}
    judged = {task: each for task, each in judged.items() if _is_choice(each)} or judged
    counts = followed_of(judged, [each for each in known.values() if _pushed(each) or _blessing(each) is None])
    found: dict[str, float] = {}
    for execution in known.values():
        prefix = "" if counts == [execution.task] else f"{execution.task}."
        found |= {f"{prefix}{name}": value for name, value in metrics_of(execution).items()}
    return dict(sorted(found.items(), key=lambda entry: ("." in entry[0], entry[0])))
