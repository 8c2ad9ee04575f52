"""Several models on the same data: what the settings say of each candidate, and of how one is chosen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator

from runners.settings import resources
from runners.settings.sections import Section
from runners.settings.stages import Evaluate, Train, Transform, Tune

if TYPE_CHECKING:
    from runners.settings.model import Settings

REPEATED = ("transform", "tune", "train", "evaluate")
"""The sections that a candidate can have of its own."""
_FORM = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 24
"""Letters: names of tasks are labels on a cluster, which have room for 63; `transformed-statistics-` stands before."""
_TASKS = {"transformed-statistics": "statistics", "resolve-base": "resolve", "resolve": "resolve", "push": "push"} | {
    stage: stage for stage in REPEATED
}
"""What there may be a task of for each candidate, with its stage."""


class Candidate(Section):
    """What a candidate has of its own; all else is as the settings say."""

    transform: Transform | None = None
    tune: Tune | None = None
    train: Train | None = None
    evaluate: Evaluate | None = None

    def over(self, stage: str, base: BaseModel | None) -> BaseModel | None:
        """A section of this candidate: its own keys over those of the settings; a search only where it asks for one.

        Args:
          stage: whose section.
          base: what the settings say for all.
        """
        own: BaseModel | None = getattr(self, stage)
        if own is None or base is None:
            return own if base is None or stage == "tune" else base
        given = _merged(base.model_dump(exclude_unset=True), own.model_dump(exclude_unset=True))
        return type(own).model_validate(given)

    def says(self, stage: str, key: str) -> bool:
        """Whether it has a key of its own."""
        own: BaseModel | None = getattr(self, stage, None)
        return own is not None and key in own.model_fields_set


class Choose(Section):
    """How the candidates are compared, and which of them are pushed.

    Attributes:
      metric: over all examples, which decides; empty for the first of the evaluation with a threshold.
      better: which way it is better; empty where a threshold of the metric says it.
      push: the best blessed one, or each blessed one, into a folder with its name in the serving directory.
    """

    metric: str = ""
    better: Literal["", "higher", "lower"] = ""
    push: Literal["best", "each"] = "best"


def _given(candidates: Any) -> Any:
    for name, own in candidates.items() if isinstance(candidates, dict) else ():
        if own is None:
            raise ValueError(f"{name} is empty; say what it has of its own, or {{}} where it has nothing")
    return candidates


def _named(candidates: dict[str, Candidate]) -> dict[str, Candidate]:
    if not candidates:
        raise ValueError("names none; give each a name and what it has of its own, as in {deep: {train: {}}}")
    others = set(resources.tasks())
    for name in candidates:
        if not _FORM.fullmatch(name) or len(name) > _LONGEST:
            raise ValueError(
                f"{name!r} cannot name a candidate: expected lower-case letters and digits, words of them joined by "
                f"'-', at most {_LONGEST} letters"
            )
        if taken := others & tasks([name]).keys():
            raise ValueError(f"{name!r} cannot name a candidate: {min(taken)} is another task; choose another name")
        others |= tasks([name]).keys()
    return candidates


Candidates = Annotated[dict[str, Candidate], BeforeValidator(_given), AfterValidator(_named)]


def check(settings: Settings) -> None:
    """Holds what is said of candidates against the other sections.

    Raises:
      ValueError: what contradicts what, in one line.
    """
    if not settings.candidates and "choose" in settings.model_fields_set:
        raise ValueError("choose: there is nothing to choose from; name candidates, or take the section out")
    if settings.candidates and settings.tune and not any(each.tune for each in settings.candidates.values()):
        raise ValueError(
            "tune: each candidate says for itself whether it is tuned; put tune: {} under those that are, or take the "
            "section out"
        )
    ignored = sorted({"metric", "better"} & settings.choose.model_fields_set)
    if settings.choose.push == "each" and ignored:
        raise ValueError(
            f"choose.{ignored[0]}: with push: each every blessed one is pushed and none is chosen; take "
            f"{ignored[0]} out, or let push be best"
        )
    for section in ("push_hub", "push_vertex"):
        if settings.choose.push == "each" and getattr(settings, section):
            raise ValueError(
                f"{section}: publishes one model, and choose.push says each; let it be best, or take {section} out"
            )
    own = [name for name, each in settings.candidates.items() if each.evaluate is not None]
    if settings.export and settings.choose.push == "best" and own:
        raise ValueError(
            f"candidates.{own[0]}: has an evaluate of its own, while exports of the best one are evaluated as is said "
            "for all; take it out, or let choose.push be each"
        )
    for name in settings.candidates:
        candidate = settings.candidate(name)
        if candidate.tune and candidate.train.hyperparameters_file:
            raise ValueError(
                f"candidates.{name}: train.hyperparameters_file and tune both say what to train with; leave one of "
                "them out"
            )


def transforms(settings: Settings) -> dict[str, str]:
    """By candidate whose transform it reads: empty for that of all, else of the first with the same features."""
    makers = [(settings.transform.model_dump(), "")]
    found = {}
    for name in settings.candidates:
        section = settings.candidate(name).transform.model_dump()
        found[name] = next((maker for known, maker in makers if known == section), name)
        makers.append((section, found[name]))
    return found


def tasks(candidates: Iterable[str]) -> dict[str, str]:
    """The tasks that a pipeline may have for its candidates, with the stage of each."""
    return {f"{task}-{name}": stage for name in candidates for task, stage in _TASKS.items()}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings are merged, of anything else the upper one holds."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
