"""What came of the models of a run, as the lines of its summary: one model, or several candidates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.runtime.publish.serving import how_pushed
from components.runtime.records.facts import UNNAMED, leading, of_stage

Line = tuple[str, object, str]
"""Label, what it says, and its style."""


def model_lines(executions: Sequence[Mapping[str, Any]], *, whole: bool) -> Iterator[Line]:
    """The lines about trained, evaluated and published models.

    Args:
      executions: records of the run's executions.
      whole: whether more than some named tasks were asked for, so that a push was to be expected.
    """
    choice = next(iter(of_stage(executions, "choose").values()), None)
    verdicts = leading(executions)
    # Of several models that which is published comes first.
    first = next(iter(verdicts)) if len(verdicts) == 1 and not choice else None
    evaluated = _led(of_stage(executions, "evaluate"), first)
    yield from _candidates(evaluated, choice)
    trained = {"": choice} if choice else _led(of_stage(executions, "train"), first)
    for name, each in trained.items():
        model = short(Path(each["outputs"]["model"]["uri"]) / "Format-Serving")
        yield "model", _of(name, trained, model), ""
    # (Before train, resolve looks for a model to start from.)
    resolved = {name: each for name, each in of_stage(executions, "resolve").items() if each.get("inputs")}
    if choice and (chosen := _metadata(choice, "choice")["candidate"]) in resolved:
        resolved = {"": resolved[chosen]}
    for name, each in _led(resolved, first).items():
        yield "baseline", _of(name, resolved, _metadata(each, "baseline_model")["reason"]), ""
    for judged in verdicts.values() if len(verdicts) == 1 else ():
        blessing = _metadata(judged, "blessing")
        verdict = "yes" if blessing["blessed"] else "no"
        yield "blessed", f"{verdict}: {blessing['reason']}", "green" if blessing["blessed"] else "yellow"
    pushes = of_stage(executions, "push")
    pushed = {name: facts for name, each in pushes.items() if (facts := published(each)) is not None}
    for name, facts in pushed.items():
        place = f"{short(Path(facts['destination']))}/{facts['version']}{how_pushed(facts)}"
        yield "pushed", _of(name, pushes, place), "green"
    if evaluated and whole and not pushed:
        yield "pushed", "nothing", ""


def published(execution: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What a task published, as its metadata say it; None where there was no such task, or no blessing for it."""
    metadata = _metadata(execution, "pushed_model") if execution else None
    return None if metadata is None or metadata.get("pushed") is False else metadata


def short(path: Path) -> Path:
    """A path as a person would type it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _candidates(evaluated: Mapping[str, Mapping[str, Any]], choice: Mapping[str, Any] | None) -> Iterator[Line]:
    """A line for each of several models: whether it is blessed, and its metric that decided."""
    if len(evaluated) < 2:
        return
    metric = _metadata(choice, "choice")["metric"] if choice else ""
    for name, each in evaluated.items():
        blessing = _metadata(each, "blessing")
        value = each["outputs"].get("metrics", {}).get("metadata", {}).get(metric)
        measured = f"{metric} {value:.4g}, " if value is not None else ""
        verdict = "blessed" if blessing["blessed"] else "not blessed"
        style = "green" if blessing["blessed"] else "yellow"
        yield "candidate", f"{name or UNNAMED}: {measured}{verdict}: {blessing['reason']}", style


def _led(found: Mapping[str, Mapping[str, Any]], first: str | None) -> dict[str, Mapping[str, Any]]:
    return dict(sorted(found.items(), key=lambda entry: entry[0] != first))


def _of(name: str, all_of_them: Mapping[str, object], said: object) -> object:
    return f"{name or UNNAMED}: {said}" if len(all_of_them) > 1 else said


def _metadata(execution: Mapping[str, Any], output: str) -> Mapping[str, Any]:
    metadata: Mapping[str, Any] = execution["outputs"][output]["metadata"]
    return metadata
