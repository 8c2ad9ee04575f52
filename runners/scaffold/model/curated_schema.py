"""The inferred schema as a person would hand it on: in the data's order, with marks where something looks wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable

from runners.scaffold.model.profile import DataSet, Feature, Task

_NAME = re.compile(r'^  name: "(?P<name>(?:[^"\\]|\\.)*)"$', re.MULTILINE)
_UNREAD = "  lifecycle_stage: DISABLED"
KNOWN_MASS = 0.9
"""Share of the rows that must have a value of the domain: the vocabulary has a place for a few new values."""


def curated(data: DataSet, task: Task, features: Iterable[Feature]) -> str:
    """The schema in protobuf's text form."""
    found = blocks(data.schema)
    by_column = {feature.column: feature for feature in features}
    parts = []
    for name in data.columns:
        block = found.features.get(name)
        if block is None:
            continue
        feature = by_column.get(name)
        notes = (
            ["The label.", *map(_sentence, task.remarks)]
            if name in task.labels
            else [_sentence(remark) for remark in feature.remarks]
            if feature
            else []
        )
        if feature and not feature.treatment:
            notes.append("Not read: without the line `lifecycle_stage`, preprocessing can read it.")
            block = _with(block, _UNREAD)
        elif feature and feature.treatment == "vocabulary" and "domain" in block:
            block = _with(block, f"  distribution_constraints {{\n    min_domain_mass: {KNOWN_MASS}\n  }}")
        parts.append("".join(f"# {note}\n" for note in notes) + block)
    return "".join([*parts, *found.rest])


class Blocks:
    """The messages at the top of a schema: features by name, and the others."""

    def __init__(self) -> None:
        self.features: dict[str, str] = {}
        self.rest: list[str] = []


def blocks(schema: str) -> Blocks:
    """The messages at the top of a schema, features by name. Protobuf writes each closing bracket of them alone."""
    found = Blocks()
    for block in re.findall(r"^\w.*?^\}\n|^\w+: .*\n", schema, re.MULTILINE | re.DOTALL):
        name = _NAME.search(block)
        if block.startswith("feature {") and name:
            found.features[_unescaped(name["name"])] = block
        else:
            found.rest.append(block)
    return found


def _unescaped(text: str) -> str:
    """A name as the data has it; protobuf escapes quotes, backslashes and what cannot be seen."""
    return re.sub(r"\\([0-7]{3}|.)", lambda found: _character(found[1]), text)


def _character(code: str) -> str:
    if len(code) == 3:
        return chr(int(code, 8))
    return {"n": "\n", "r": "\r", "t": "\t"}.get(code, code)


def _with(block: str, line: str) -> str:
    return block.removesuffix("}\n") + line + "\n}\n"


def _sentence(remark: str) -> str:
    return f"LOOK: {remark}{'' if remark.endswith('?') else '.'}"
