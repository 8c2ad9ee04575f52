"""What `preprocessing_fn` returns, as the lines of Python in its return statement."""

from __future__ import annotations

import textwrap
from typing import Any

from runners.scaffold.model import looks
from runners.scaffold.model.profile import BINARY, CLASSES, LABELS, NUMBER, Feature, Plan, in_words
from runners.scaffold.model.python_text import WIDTH
from runners.scaffold.model.treatments import INDENT

LARGEST_VOCABULARY = 1000


def variables(plan: Plan) -> dict[str, Any]:
    """What the template needs besides the plan."""
    lines = []
    if plan.looped:
        shown = "NUMBERS" if _as_they_are(plan) else "NUMBERS.items()"
        raw, name = ("name", "name") if _as_they_are(plan) else ("raw", "name")
        each = raw if raw == name else f"{raw}, {name}"
        entry = f'**{{f"{{name}}_xf": tft.scale_to_z_score(columns.number(inputs[{raw}])) for {each} in {shown}}},'
        lines.append(entry)
    for feature in plan.used:
        if feature.column not in plan.looped:
            lines += [*_comments(feature), *feature.lines]
    lines.append(plan.label_line)
    body = "\n".join(" " * INDENT + line for line in lines)
    categories = [plan.data.columns[feature.column] for feature in plan.used if feature.treatment == "vocabulary"]
    vocabulary = {
        "frequent": looks.rare(plan.data.sampled),
        "most": LARGEST_VOCABULARY if any(each.distinct > LARGEST_VOCABULARY for each in categories) else 0,
    }
    return {
        "vocabulary": vocabulary if categories else None,
        "body": body,
        "looped_as_they_are": _as_they_are(plan),
        "returns": _returns(plan, body),
    }


def _as_they_are(plan: Plan) -> bool:
    return all(raw == name for raw, name in plan.looped.items())


def _comments(feature: Feature) -> list[str]:
    """Why a treatment is none of the usual ones, and what asks for a second look."""
    told = [feature.why] if feature.treatment in ("log, z-score", "text") else []
    if not told and any("columns.is_missing(" in line for line in feature.lines):
        told = [part for part in feature.why.split("; ") if part.endswith(" missing")]
    told += [f"LOOK: {remark}" for remark in feature.remarks if remark not in looks.HANDLED]
    text = "; ".join(told)
    return (
        [f"# {line}" for line in textwrap.wrap(text[:1].upper() + text[1:] + ".", WIDTH - INDENT - 2)] if told else []
    )


def _returns(plan: Plan, body: str) -> str:
    """What the function returns, for its docstring."""
    shape = (
        "of shape [batch], [batch, 2] where they are cyclic" if "columns.cyclic(" in body else "each of shape [batch]"
    )
    kinds = ["float32 for numbers"] if "z_score(" in body or "is_missing(" in body else []
    kinds += ["int64 for categories"] if "category(" in body or "bucketize(" in body else []
    kinds += ["string for texts, which the network reads"] if plan.has_texts else []
    told = f"Features by their names with `_xf`, {shape}: {', '.join(kinds)}. And the label{_label(plan)}."
    return textwrap.fill(told, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)


def _label(plan: Plan) -> str:
    task = plan.task
    if task.kind == BINARY:
        return f", 1 where {in_words(task.label)} is {in_words(task.positive)}"
    return {
        CLASSES: ", the number of its class",
        NUMBER: ", a number",
        LABELS: ", a column of 0 and 1 for each",
    }[task.kind]
