"""Translates the conditions of a compiled pipeline to Argo's `when`.

The result is an expression tag of Argo, `{{=...}}`, in the expr language: unlike plain tags it compares values, so that
no parameter's text can become part of the condition.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from runners.compiled.conditions import Language, Reference, translated
from runners.compiled.tasks import Condition, Output, Parameter, Source


def when(conditions: Sequence[Condition], references: Mapping[Source, Reference]) -> str:
    """Returns Argo's `when` for a task under these conditions; empty where there are none.

    Args:
      conditions: all must hold.
      references: how Argo names the parameters and outputs in them.

    Raises:
      InputError: an expression that Argo cannot evaluate as KFP does.
    """
    texts = translated(conditions, references, _EXPR)
    return "{{=" + " && ".join(texts) + "}}" if texts else ""


def reference(source: Source, kind: str, node: str = "") -> Reference:
    """How Argo's expressions name a value.

    Args:
      source: a parameter of the workflow or an output of a task.
      kind: its type in the IR.
      node: Argo's name of the task.
    """
    if isinstance(source, Output):
        return Reference(f"tasks['{node}'].outputs.parameters['{source.name}']", kind)
    assert isinstance(source, Parameter), source
    return Reference(f"workflow.parameters['{source.name}']", kind)


def _literal(text: str) -> str:
    """A string of the expr language, which knows JSON's escapes; without braces, which would end Argo's tag."""
    return json.dumps(text).replace("{", "\\u007b").replace("}", "\\u007d")


_EXPR = Language(
    target="Argo",
    conjunction="&&",
    disjunction="||",
    negation="!",
    words={"true": "true", "false": "false"},
    casts={"int": "asInt", "double": "asFloat"},
    # People write a Boolean parameter either way; the launcher writes JSON.
    truth={True: "{} in ['true', 'True']", False: "{} == 'true'"},
    literal=_literal,
)
