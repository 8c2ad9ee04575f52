"""The candidates of a run: several models on the same data, each evaluated for itself, one of them chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from components.runtime.errors import InputError, did_you_mean
from components.runtime.records.answered import truth
from components.runtime.records.facts import UNNAMED, which, without
from runners.history.executions import Execution
from runners.history.outcome import leading
from runners.history.records import Run, Task

_MAKE_MODELS = frozenset({"tune", "train", "resolve"})


@dataclass(frozen=True)
class Candidate:
    """A model that was evaluated.

    Attributes:
      name: as the settings call it, or what stands behind its tasks' stages.
      evaluation: the execution of its evaluation.
    """

    name: str
    evaluation: Execution


def candidates(run: Run) -> list[Candidate]:
    """The candidates of a run, as far as they were evaluated; none where it has one model only.

    One that is published without a choice comes first.
    """
    named = {which(each.task, each.stage): each for each in run.of_stage("evaluate")}
    if len(named) < 2 and not choice(run):
        return []
    first = leading(run)
    found = sorted(named.items(), key=lambda entry: [entry[1]] != first)
    return [Candidate(name or UNNAMED, each) for name, each in found]


def choice(run: Run) -> dict[str, Any]:
    """What choose decided, as the metadata of its `choice`; empty where it has not run."""
    for execution in run.of_stage("choose"):
        if "choice" in execution.outputs:
            return execution.outputs["choice"].metadata
    return {}


def of_candidate(run: Run, name: str) -> Run:
    """A run as if it had been of one of its candidates alone: its tasks, called as they would be without the others.

    Raises:
      InputError: it has no such candidate.
    """
    evaluations = {which(task.name, task.stage) or UNNAMED: task.name for task in run.tasks if task.stage == "evaluate"}
    # (A run of one model has no candidates, whatever its task is called.)
    names = list(evaluations) if [*evaluations] != [UNNAMED] else []
    if name not in names:
        has = f"it has: {', '.join(names)}" if names else "it has none"
        raise InputError(f"{run.id}/{name}: this run has no candidate {name!r}{did_you_mean(name, names)}; {has}")
    tasks = {task.name: task for task in run.tasks}
    kept = _before(tasks, evaluations[name])
    of_others = set().union(*(_before(tasks, evaluations[other]) for other in names if other != name))
    own = kept - of_others
    # What comes behind the choice is of the chosen one, as if the others had not been there.
    told = choice(run)
    is_chosen = told.get("candidate") == name and truth(told.get("blessed"))
    chosen = {task.name for task in run.tasks if task.stage == "choose"} if is_chosen else set()
    kept |= chosen
    for task in run.tasks:
        if task.name in of_others or not task.after or not kept.issuperset(task.after):
            continue
        # What comes behind these alone, such as a push, is of this candidate, too; not another model on the same data.
        if not own.isdisjoint(task.after) or task.stage not in _MAKE_MODELS:
            kept.add(task.name)
    kept -= chosen
    bare = {each: without(each, names) for each in kept} | dict.fromkeys(chosen, without(evaluations[name], names))
    return replace(
        run,
        id=f"{run.id}/{name}",
        tasks=[
            replace(task, name=bare[task.name], after=[bare[each] for each in task.after])
            for task in run.tasks
            if task.name in kept
        ],
    )


def _before(tasks: dict[str, Task], name: str) -> set[str]:
    """A task and all that it depends on."""
    found = {name}
    for earlier in tasks[name].after:
        found |= _before(tasks, earlier) if earlier in tasks else set()
    return found
