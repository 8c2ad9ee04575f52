"""Translates the conditions of a compiled pipeline to Python, as functions in the DAG file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runners.compiled.conditions import Language, Reference, translated
from runners.compiled.tasks import Condition, Output, Parameter, Source

_PYTHON = Language(
    target="Airflow",
    conjunction="and",
    disjunction="or",
    negation="not ",
    words={"true": "True", "false": "False"},
    casts={"int": "int", "double": "float"},
    truth=None,
    literal=repr,
)


def when(conditions: Sequence[Condition], references: Mapping[Source, Reference]) -> str:
    """Returns a function of the run's parameters and the tasks' outputs, in Python; empty where there is no condition.

    Args:
      conditions: all must hold.
      references: how these are named in the function.

    Raises:
      InputError: an expression that Python would not evaluate as KFP does.
    """
    texts = translated(conditions, references, _PYTHON)
    return f"lambda params, outputs: {' and '.join(texts)}" if texts else ""


def reference(source: Source, kind: str) -> Reference:
    """How the functions name a value.

    Args:
      source: a parameter of the pipeline or an output of a task.
      kind: its type in the IR.
    """
    if isinstance(source, Output):
        return Reference(f"outputs[{f'{source.task}/{source.name}'!r}]", kind)
    assert isinstance(source, Parameter), source
    return Reference(f"params[{source.name!r}]", kind)
