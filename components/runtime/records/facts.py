"""What an execution says of itself in a few words: on its line in a terminal, and in run.json."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from components.runtime.data import span_words

ERROR, WARNING = "error", "warning"
UNNAMED = "train"
"""What that one of several models is called whose tasks have nothing behind their stage's name."""


def facts(execution: Mapping[str, Any]) -> str:
    """What came out of an execution, from the metadata of its outputs: `3,025 rows, 11,975 left out`.

    Args:
      execution: its record, as execution.json has it.
    """
    count = rows(execution)
    told = [] if count is None else [counted(count, "row")]
    for name, metadata in _metadata(execution).items():
        told += _TELL[name](metadata) if name in _TELL else []
    return ", ".join(told)


def alert(execution: Mapping[str, Any]) -> str:
    """Whether an execution that ended well has found something wrong: `error`, `warning`, or nothing.

    An error is what keeps the pipeline from going on; errors that the settings let through are a warning.
    """
    outputs = _metadata(execution)
    anomalies = outputs.get("anomalies") or {}
    if outputs.get("watched", {}).get("state") == "drifted":
        return WARNING
    if not anomalies.get("anomalies"):
        if outputs.get("infra_blessing", {}).get("passed") is False:
            return WARNING
        if outputs.get("export_blessing", {}).get("exports_refused"):
            return WARNING
        if outputs.get("predictions", {}).get("not_a_number") or span_words.lacks(outputs.get("examples", {})):
            return WARNING
        return WARNING if outputs.get("transformed_examples", {}).get("not_finite") else ""
    return ERROR if anomalies.get("valid") is False else WARNING


def invalid_data(execution: Mapping[str, Any]) -> str:
    """The first anomalies in a line where they keep the pipeline from going on; else empty."""
    return str(_metadata(execution)["anomalies"].get("summary", "")) if alert(execution) == ERROR else ""


def let_through(execution: Mapping[str, Any]) -> str:
    """The first anomalies in a line that are errors, and that the settings let through; empty where there are none."""
    anomalies = _metadata(execution).get("anomalies") or {}
    return str(anomalies.get("summary", "")) if anomalies.get("errors") and anomalies.get("valid") is True else ""


def rows(execution: Mapping[str, Any]) -> int | None:
    """How many rows an execution has made or read, as far as it says so."""
    return next((each["rows"] for each in _metadata(execution).values() if each.get("rows") is not None), None)


_OF_ONE = {"are": "is", "were": "was", "have": "has"}


def counted(count: float, thing: str, verb: str = "") -> str:
    """A number and what it counts: `1 error`, `1,200 anomalies`; with a verb `1 row is`, `2 rows are`.

    Args:
      count: whole.
      thing: one of them; its first word is the one that is counted.
      verb: of those in `_OF_ONE`.
    """
    if count != 1:
        word, space, rest = thing.partition(" ")
        thing = (f"{word[:-1]}ies" if word.endswith("y") else f"{word}s") + space + rest
    return f"{count:,.0f} {thing}" + (f" {_OF_ONE[verb] if count == 1 else verb}" if verb else "")


def candidate_of(execution: Mapping[str, Any]) -> str:
    """Which of several models of its run an execution is of: `wide` of the task train-wide; empty where there is one.

    Args:
      execution: its record, as execution.json has it.
    """
    return which(str(execution.get("task") or execution["stage"]), execution["stage"])


def which(task: str, stage: str) -> str:
    """What a task's name says besides its stage's; empty where that is its whole name."""
    name = stage.replace("_", "-")
    return task.removeprefix(f"{name}-") if task != name else ""


def without(task: str, candidates: Iterable[str]) -> str:
    """A task's name without the candidate's behind it; the longest that fits, since one may end as another does.

    (`which` goes by the stage, this by the candidates: the stage of transformed-statistics-wide is not its beginning.)
    """
    fitting = [name for name in candidates if task.endswith(f"-{name}")]
    return task.removesuffix(f"-{max(fitting, key=len)}") if fitting else task


def of_stage(executions: Iterable[Mapping[str, Any]], stage: str) -> dict[str, Mapping[str, Any]]:
    """The executions of a stage, by the candidate that each is of."""
    return {candidate_of(each): each for each in executions if each["stage"] == stage}


def followed(made: Mapping[str, Collection[str]], read: Collection[str]) -> list[str]:
    """Which of several something else goes by, told by what it reads of theirs; all where it reads nothing of any.

    Args:
      made: places of what each made.
      read: places of what is read.
    """
    return [name for name, places in made.items() if not set(places).isdisjoint(read)] or list(made)


def _metadata(execution: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {name: output.get("metadata", {}) for name, output in execution.get("outputs", {}).items()}


def _examples(examples: Mapping[str, Any]) -> Iterator[str]:
    if left_out := examples.get("rows_left_out"):
        yield f"{left_out:,} left out"
    if left_out := examples.get("left_out"):
        yield f"{counted(left_out, 'file')} left out"
    # (Last: it may be a list by itself.)
    if spans := span_words.told_with_gaps(examples):
        yield spans


def _transformed(transformed: Mapping[str, Any]) -> Iterator[str]:
    if not_finite := transformed.get("not_finite"):
        yield f"not finite: {not_finite}"


def _schema(schema: Mapping[str, Any]) -> Iterator[str]:
    if "features" in schema:
        yield counted(schema["features"], "feature")
    # (Of one that pull made, the version is told beside it.)
    if "source" in schema and schema["source"] != "version":
        yield schema["source"]


def _anomalies(anomalies: Mapping[str, Any]) -> Iterator[str]:
    errors = anomalies.get("errors", 0)
    if errors:
        yield counted(errors, "error") + ("" if anomalies.get("valid") is False else " let through")
    others = anomalies.get("anomalies", 0) - errors
    if others:
        yield counted(others, "warning")
    if not errors and not others:
        yield "no anomalies"


def _trials(trials: Mapping[str, Any]) -> Iterator[str]:
    if "trials" in trials:
        failed = f" ({trials['failed']:,} failed)" if trials.get("failed") else ""
        yield f"{counted(trials['trials'], 'trial')}{failed}"
    if "of_earlier_attempts" in trials:
        yield f"{trials['of_earlier_attempts']:,} of them of an earlier attempt"


def _best(best: Mapping[str, Any]) -> Iterator[str]:
    if best.get("objective"):
        yield f"best {best['objective']} {best['score']:.4g}"


def _model(model: Mapping[str, Any]) -> Iterator[str]:
    if "stopped_early_at" in model:
        yield f"stopped early after {counted(model['stopped_early_at'], 'step')}"
    elif "steps" in model:
        yield counted(model["steps"], "step")
    if "resumed_at" in model:
        yield f"went on from step {model['resumed_at']:,}"


def _blessing(blessing: Mapping[str, Any]) -> Iterator[str]:
    if "blessed" in blessing:
        yield "blessed" if blessing["blessed"] else "not blessed"


def review(blessing: Mapping[str, Any]) -> Iterator[str]:
    """What a stage behind the evaluation says of a model; nothing where it was not asked."""
    if "passed" in blessing:
        yield "fit to be served" if blessing["passed"] else "not fit to be served"
    if "approved" in blessing:
        by = f" by {blessing['by']}" if blessing.get("by") else ""
        why = f": {blessing['why']}" if blessing.get("why") else ""
        yield ("approved" if blessing["approved"] else "not approved") + by + why


def _exports(blessing: Mapping[str, Any]) -> Iterator[str]:
    if "exports" in blessing:
        yield counted(len(blessing["exports"]), "export")
    if refused := blessing.get("exports_refused"):
        yield f"{len(refused):,} refused"


def _baseline(baseline: Mapping[str, Any]) -> Iterator[str]:
    if "found" in baseline:
        this_one = "the model in service is this one" if baseline.get("candidate_in_service") else ""
        yield f"version {baseline['version']}" if baseline["found"] else this_one or "no earlier model"


def _explanations(metadata: Mapping[str, Any]) -> list[str]:
    # (What matters most may matter not at all.)
    importance = metadata.get("importance") or {}
    named = metadata.get("goes_by", [name for name, size in importance.items() if (size or 0) > 0])
    names = list(named)[:2]
    return [f"goes by {' and '.join(map(str, names))} most"] if names else []


def _pulled(pulled: Mapping[str, Any]) -> Iterator[str]:
    if "version" in pulled:
        yield f"version {pulled['version']}"


def _predictions(predictions: Mapping[str, Any]) -> Iterator[str]:
    if predictions.get("predicted") is False:
        yield "nothing predicted"
    if nan := predictions.get("not_a_number"):
        yield f"{nan:,} of them NaN"
    if left_out := predictions.get("left_out"):
        yield f"without {', '.join(map(str, left_out))} (no text)"


def _choice(choice: Mapping[str, Any]) -> Iterator[str]:
    if choice.get("blessed"):
        yield f"{choice['candidate']}, {choice['metric']} {choice['value']:.4g}"
    elif "candidates" in choice:
        yield "none of the candidates"


def _pushed(pushed: Mapping[str, Any]) -> Iterator[str]:
    if pushed.get("pushed") is False:
        yield "nothing published"
    elif pushed.get("version"):
        yield f"version {pushed['version']}"
        yield from _removed(pushed)


def _labelled(labelled: Mapping[str, Any]) -> Iterator[str]:
    if "label" in labelled:
        yield f"{labelled['label']} " + (
            f"is version {labelled['of_version']}" if labelled.get("of_version") else "is taken away"
        )


def _removed(removed: Mapping[str, Any]) -> Iterator[str]:
    if removed.get("removed"):
        yield f"removed {', '.join(str(number) for number in removed['removed'])}"


def _asked(table: Mapping[str, Any]) -> Iterator[str]:
    if "snapshot" in table:
        yield f"as of {table['snapshot']}"


MODEL_OF_VERSION = "model_of_version_"
"""In the metadata of a span that the stage feedback has made, before the number of a version that predicted."""


SPAN_BYTES = "span_bytes"
"""In the same: the size of the span itself, which lies outside of the artifact."""


def size(metadata: Mapping[str, Any]) -> Any:
    """Bytes of what an artifact stands for, as its metadata have them; None where nobody counted them."""
    return metadata.get(SPAN_BYTES, metadata.get("bytes"))


def _span(span: Mapping[str, Any]) -> Iterator[str]:
    if "span" in span:
        yield f"span {span['span']}"


def _watched(watched: Mapping[str, Any]) -> Iterator[str]:
    if "state" in watched:
        yield str(watched["state"])


def _retrained(retrained: Mapping[str, Any]) -> Iterator[str]:
    if "begun" in retrained:
        yield f"begun {retrained['run']}" if retrained["begun"] else "nothing begun"


def _message(message: Mapping[str, Any]) -> Iterator[str]:
    if "told" in message:
        yield f"told {', '.join(message['told']) or 'nobody'}"


_TELL = {
    "table": _asked,
    "examples": _examples,
    "transformed_examples": _transformed,
    "schema": _schema,
    "anomalies": _anomalies,
    "trials": _trials,
    "best_hyperparameters": _best,
    "choice": _choice,
    "model": _model,
    "blessing": _blessing,
    "explanations": _explanations,
    "infra_blessing": review,
    "export_blessing": _exports,
    "approval": review,
    "baseline_model": _baseline,
    "pulled_model": _pulled,
    "predictions": _predictions,
    "pushed_model": _pushed,
    "labelled": _labelled,
    "removed_versions": _removed,
    "span": _span,
    "watched": _watched,
    "retrained": _retrained,
    "message": _message,
}
"""What matters of an output's metadata (docs/contract.md)."""
