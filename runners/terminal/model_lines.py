"""What came of the models of a run, as the lines of its summary: one model, or several candidates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.runtime.publish.serving import how_pushed
from components.runtime.records.answered import recorded, truth
from components.runtime.records.facts import UNNAMED
from components.runtime.records.models import Choice, Model, models
from runners.terminal import text

NO_REASON = "no reason is told"
"""Of a stage of somebody else's."""
Line = tuple[str, object, str]
"""Label, what it says, and its style."""


def model_lines(executions: Sequence[Mapping[str, Any]], *, whole: bool) -> Iterator[Line]:
    """The lines about trained, evaluated and published models.

    Args:
      executions: records of the run's executions.
      whole: whether more than some named tasks were asked for, so that a push was to be expected.
    """
    read = models(map(recorded, executions))
    choice, leading = read.choice, read.leading
    # Of several models that which is published comes first.
    led = sorted(read.all, key=lambda each: len(leading) != 1 or each is not leading[0]) if not choice else read.all
    judged = [each for each in led if each.blessing is not None]
    yield from _candidates(judged, choice)
    trained = {each.name: each.uri for each in led if each.trained}
    for name, uri in ({"": choice.uri} if choice else trained).items():
        model = short(Path(uri) / "Format-Serving")
        yield "model", _of(name, {} if choice else trained, model), ""
    resolved: dict[str, str | None] = {each.name: each.resolved for each in led if each.resolved is not None}
    if choice and choice.model and choice.model.name in resolved:
        resolved = {"": choice.model.resolved}
    for name, reason in resolved.items():
        yield "baseline", _of(name, resolved, reason), ""
    verdicts = [choice.blessing] if choice else [each.blessing or {} for each in leading]
    for blessing in verdicts if len(verdicts) == 1 else ():
        blessed = truth(blessing.get("blessed"))
        verdict = "yes" if blessed else "no"
        yield "blessed", f"{verdict}: {blessing.get('reason') or NO_REASON}", "green" if blessed else "yellow"
    for reviewed in led:
        for facts in reviewed.reviews.values():
            # (One that was not asked has nothing to say.)
            if facts.get("review") and truth(facts.get("blessed")):
                yield "checked", text.clipped(str(facts["review"]), text.REASON), "green"
    offered = {each.name: each for each in led if each.pushes}
    # (Those in other places than a serving directory have lines of their own.)
    pushed = [(each.name, facts) for each in led for facts in each.published if "destination" in facts]
    for name, facts in pushed:
        folder = facts["destination"] if "://" in facts["destination"] else short(Path(facts["destination"]))
        place = f"{folder}/{facts['version']}{how_pushed(facts)}"
        yield "pushed", _of(name, offered, place), "green"
    if judged and whole and not pushed:
        yield "pushed", "nothing", ""


def published(execution: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What a task published, as its metadata say it; None where there was no such task, or no blessing for it."""
    metadata = execution["outputs"]["pushed_model"]["metadata"] if execution else None
    return None if metadata is None or metadata.get("pushed") is False else metadata


def short(path: Path) -> Path:
    """A path as a person would type it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _candidates(judged: Sequence[Model], choice: Choice | None) -> Iterator[Line]:
    """A line for each of several models: whether it is blessed, and its metric that decided."""
    if len(judged) < 2:
        return
    metric = choice.facts.get("metric", "") if choice else ""
    for each in judged:
        blessing = each.blessing or {}
        measured = f"{metric} {each.metrics[metric]:.4g}, " if metric in each.metrics else ""
        blessed = truth(blessing.get("blessed"))
        verdict = "blessed" if blessed else "not blessed"
        told = f"{each.name or UNNAMED}: {measured}{verdict}: {blessing.get('reason') or NO_REASON}"
        yield "candidate", told, "green" if blessed else "yellow"


def _of(name: str, all_of_them: Mapping[str, object], said: object) -> object:
    return f"{name or UNNAMED}: {said}" if len(all_of_them) > 1 else said
