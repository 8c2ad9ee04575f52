"""What a run's tasks made of models: one for each training, how it was judged, and where it was published.

Which tasks train, evaluate, choose and publish is told by what they read and made, not by what they are called: there
may be several of each, and they may be somebody else's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from components.runtime.records.answered import MODEL, Answered, Made, digest, metrics_of, truth, whole_text
from components.runtime.records.facts import followed, which

_BASELINE = "baseline_model"
_OF_ANSWERS = frozenset({"pulled_model", "predictions"})
"""Outputs of the stages that have a model answer data, of which it is neither made nor measured."""


@dataclass
class Model:
    """A model that a run trained, judged or published.

    Attributes:
      task: that made it; else the first that read it.
      name: which of several it is, `wide` of the task train-wide; empty where there is one, or nobody knows.
      uri: where it lies.
      digest: `sha256:<hex>` of its content.
      trained: whether a task of the run made it.
      training: metrics of its training.
      metrics: of its evaluation.
      blessing: the metadata of its verdict; None where it was not evaluated.
      judge: the task of that verdict.
      reviews: metadata of what stages behind it had to say, by task: they hand the verdict on, or take it.
      baseline: digest of the model that it was compared with.
      resolved: which one that is, or why there is none, in words; None where nobody looked.
      pushes: metadata of each attempt to publish it, also of those that published nothing.
      chosen: whether it was chosen from several; None where there was no choice.
    """

    task: str
    name: str = ""
    uri: str = ""
    digest: str = ""
    trained: bool = False
    training: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    blessing: Mapping[str, Any] | None = None
    judge: str = ""
    reviews: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    baseline: str = ""
    resolved: str | None = None
    pushes: list[Mapping[str, Any]] = field(default_factory=list)
    chosen: bool | None = None

    @property
    def approval(self) -> str:
        """What a person said of it, who, and why; empty where nobody was asked."""
        return next((str(each.get("review") or "") for each in self.reviews.values() if "approved" in each), "")

    @property
    def published(self) -> list[Mapping[str, Any]]:
        """The metadata of each version that it was published as."""
        return [each for each in self.pushes if is_published(each)]


@dataclass
class Choice:
    """A choice between models.

    Attributes:
      task: that chose.
      model: the best one, blessed or not; None where its model is not told.
      uri: where the copy of it lies that was handed on.
      blessing: metadata of the verdict.
      facts: metadata of `choice`: metric, value, candidate.
      metrics: of the best one.
    """

    task: str
    model: Model | None
    uri: str
    blessing: Mapping[str, Any]
    facts: Mapping[str, Any]
    metrics: dict[str, float]


@dataclass
class Models:
    """The models of a run, in the order of its tasks.

    Attributes:
      all: each of them.
      choice: between them; None where there was none.
      judges: tasks whose verdicts count: the choice's, else of several the one that others go by, else all.
    """

    all: list[Model] = field(default_factory=list)
    choice: Choice | None = None
    judges: list[str] = field(default_factory=list)

    @property
    def judged(self) -> list[Model]:
        """Those that have a verdict."""
        return [each for each in self.all if each.blessing is not None]

    @property
    def leading(self) -> list[Model]:
        """Those whose verdicts count where nothing was chosen."""
        return [each for each in self.judged if each.judge in self.judges]


def models(executions: Iterable[Answered]) -> Models:
    """The models of a run's executions, which come in the order of its tasks."""
    ordered = list(executions)
    made = Models(judges=_judges(ordered))
    found: dict[str, Model] = {}

    def of(artifact: Made | None, execution: Answered) -> Model:
        key = _identity(artifact) if artifact else execution.task
        if key not in found:
            place, content = (artifact.uri, digest(artifact)) if artifact else ("", "")
            found[key] = Model(execution.task, _name(execution), place, content)
        return found[key]

    for execution in ordered:
        if _OF_ANSWERS & execution.outputs.keys():
            continue
        model = execution.inputs.get("model") or _only_model(execution.inputs)
        blessing, pushes = _blessing(execution), _publications(execution)
        if blessing is not None and _is_review(execution):
            reviewed = of(model, execution)
            reviewed.reviews[execution.task] = blessing.metadata
            if truth(blessing.metadata.get("blessed")) is False:
                _refused(made, reviewed, blessing.metadata)
        elif blessing is not None and _is_choice(execution):
            made.choice = _chosen(execution, blessing, found, of)
        elif blessing is not None:
            judged = of(model, execution)
            judged.blessing, judged.judge = blessing.metadata, execution.task
            judged.name = judged.name or _name(execution)
            judged.metrics = metrics_of(execution) or judged.metrics
            baseline = execution.inputs.get(_BASELINE)
            judged.baseline = digest(baseline) if baseline and baseline.metadata.get("bytes") != 0 else ""
        elif pushes:
            if model is None or _identity(model) in found or any(is_published(each.metadata) for each in pushes):
                of(model, execution).pushes += [each.metadata for each in pushes]
        elif _BASELINE in execution.outputs:
            # (Before train, resolve looks for a model to start from.)
            if model is not None:
                of(model, execution).resolved = str(execution.outputs[_BASELINE].metadata.get("reason") or "")
        elif own := [each for each in execution.outputs.values() if each.type == MODEL]:
            for each in own:
                trained = of(each, execution)
                trained.trained, trained.training = True, metrics_of(execution)
        elif model is not None and (scores := metrics_of(execution)):
            of(model, execution).metrics = scores
    made.all = list({id(each): each for each in found.values()}.values())
    return made


def _chosen(execution: Answered, blessing: Made, found: dict[str, Model], of: Any) -> Choice:
    for each in execution.inputs.values():
        if each.type == MODEL:
            of(each, execution).chosen = False
    best, place = None, ""
    for copy in [each for each in execution.outputs.values() if each.type == MODEL]:
        # What is chosen lies in another place, and is the same model.
        best = of(_original(copy, execution.inputs) or copy, execution)
        found[_identity(copy)], place = best, copy.uri
        best.chosen = truth(blessing.metadata.get("blessed"))
    told = execution.outputs.get("choice")
    facts = told.metadata if told is not None else {}
    return Choice(execution.task, best, place, blessing.metadata, facts, metrics_of(execution))


def _refused(made: Models, model: Model, verdict: Mapping[str, Any]) -> None:
    """Takes a model's blessing, that of the choice with it where it was chosen."""
    model.blessing = verdict
    if made.choice and made.choice.model is model:
        made.choice.blessing = verdict
        model.chosen = False


def _judges(executions: list[Answered]) -> list[str]:
    judged = {each.task: each for each in executions if _blessing(each) is not None and not _is_review(each)}
    judged = {task: each for task, each in judged.items() if _is_choice(each)} or judged
    made = {task: {one.uri for one in each.outputs.values() if one.uri} for task, each in judged.items()}
    readers = [each for each in executions if each.task not in judged or _blessing(each) is None]
    return followed(made, {read.uri for each in readers for read in each.inputs.values()})


def _name(execution: Answered) -> str:
    stage = getattr(execution, "stage", "")
    return which(execution.task, stage) if stage else ""


def _blessing(execution: Answered) -> Any:
    """The verdict that a task left; None where it left none."""
    return next((each for each in execution.outputs.values() if "blessed" in each.metadata), None)


def _is_choice(execution: Answered) -> bool:
    """Whether a task's verdict goes by those of others."""
    return any("blessed" in each.metadata for each in execution.inputs.values())


def _is_review(execution: Answered) -> bool:
    """Whether a task hands the verdict of another on, or takes it, and makes no model of its own."""
    return _is_choice(execution) and not any(each.type == MODEL for each in execution.outputs.values())


def _original(copy: Made, inputs: Mapping[str, Made]) -> Made | None:
    """Which of the models that a task read it handed on; None where nothing tells."""
    known = {name: each for name, each in inputs.items() if each.type == MODEL}
    named = str(copy.metadata.get("candidate") or "").replace("-", "_")
    same = [name for name, each in known.items() if digest(each) and digest(each) == digest(copy)]
    # Two trainings may have made the same.
    likely = [name for name in same or known if named and name.endswith(f"_{named}")] or same
    return known[min(likely, key=len)] if likely else None


def _only_model(inputs: Mapping[str, Made]) -> Made | None:
    """The model that a task of somebody else's reads, where it reads one."""
    found = [each for each in inputs.values() if each.type == MODEL]
    return found[0] if len(found) == 1 else None


def _publications(execution: Answered) -> list[Made]:
    return [each for each in execution.outputs.values() if "pushed" in each.metadata or is_published(each.metadata)]


def is_published(metadata: Mapping[str, Any]) -> bool:
    """Whether metadata tell of a version of a model that was published, or is there already."""
    there = ("destination", "version"), ("repo_id", "revision")
    return any(all(whole_text(metadata.get(name)) for name in names) for names in there) and (
        truth(metadata.get("pushed")) is not False
    )


def version(metadata: Mapping[str, Any]) -> str:
    """The version that a model was published as."""
    return whole_text(metadata.get("version", metadata.get("revision")))


def _identity(artifact: Made) -> str:
    return artifact.uri or digest(artifact)
