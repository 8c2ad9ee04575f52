"""Conditions mean in Argo and in Airflow what they mean in KFP: each is evaluated all ways."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.runtime.errors import InputError
from runners.airflow import conditions as airflow
from runners.argo import conditions as argo
from runners.argo.conditions import when
from runners.compiled.tasks import Condition, Constant, Output, Parameter, Source
from tests.runners.argo.argo_executor import evaluate

KINDS = {
    "whole": "NUMBER_INTEGER",
    "share": "NUMBER_DOUBLE",
    "good": "BOOLEAN",
    "word": "STRING",
    "things": "LIST",
}
SOURCES: dict[str, Source] = {f"pipelinechannel--{name}": Output("a-task", name) for name in KINDS}
SOURCES |= {f"pipelinechannel--p-{name}": Parameter(name) for name in KINDS}
SOURCES["fixed"] = Constant(3.0)
SOURCES["fixed-word"] = Constant("it's {{here}}")
SOURCES["fixed-truth"] = Constant(True)
VALUES: list[dict[str, Any]] = [
    {"whole": 3, "share": 0.5, "good": True, "word": "a"},
    {"whole": -7, "share": 3.0, "good": False, "word": ""},
    {"whole": 12, "share": -1e-3, "good": True, "word": 'b" || true || "{{x}}'},
]


def _v(name: str) -> str:
    return f"inputs.parameter_values['{name if name.startswith('fixed') else f'pipelinechannel--{name}'}']"


def _condition(expression: str, name: str = "c") -> Condition:
    return Condition(name, expression, SOURCES)


_NAMED = [source for source in SOURCES.values() if isinstance(source, Output | Parameter)]
REFERENCES = {source: argo.reference(source, KINDS[source.name], "a-task") for source in _NAMED}
IN_PYTHON = {source: airflow.reference(source, KINDS[source.name]) for source in _NAMED}


def _argo(text: str) -> str:
    assert text.startswith("{{=")
    assert text.endswith("}}")
    inner = text.removeprefix("{{=").removesuffix("}}")
    assert "{" not in inner
    assert "}" not in inner, "it would end Argo's tag"
    return inner


@pytest.mark.parametrize(
    "expression",
    [
        f"{_v('good')} == true",
        f"!({_v('good')} == true)",
        f"{_v('good')} != true",
        f"{_v('good')} == false",
        f"true == {_v('good')}",
        f"{_v('good')} == {_v('p-good')}",
        f"{_v('good')}",
        f"!{_v('good')}",
        f"int({_v('whole')}) > 3",
        f"int({_v('whole')}) >= int({_v('p-whole')})",
        f"int({_v('whole')}) <= -7",
        f"{_v('share')} < 0.5",
        f"{_v('share')} >= double(int({_v('whole')}))",
        f"{_v('share')} == 3.0 || int({_v('whole')}) == 3",
        f"{_v('word')} == 'a'",
        f'{_v("word")} != "a" && {_v("good")} == true',
        f"{_v('word')} == 'b\" || true || \"{{{{x}}}}'",
        f"{_v('word')} == {_v('fixed-word')}",
        f"!(int({_v('whole')}) == 3) && !({_v('word')} == '') || {_v('fixed-truth')} == {_v('good')}",
        f"(({_v('good')} == true) || ({_v('word')} == 'a')) && int({_v('whole')}) != int({_v('fixed')})",
        f"!(!({_v('good')} == true) && {_v('share')} > 1.5)",
    ],
)
@pytest.mark.parametrize("values", VALUES)
def test_an_expression_means_the_same(expression: str, values: dict[str, Any]) -> None:
    condition = _condition(expression)
    given: dict[str, Any] = {f"pipelinechannel--{name}": value for name, value in values.items()}
    given |= {f"pipelinechannel--p-{name}": value for name, value in values.items()}
    given |= {"fixed": 3, "fixed-word": "it's {{here}}", "fixed-truth": True}
    scope = {}
    for name, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value)
        scope[f"tasks.a-task.outputs.parameters.{name}"] = text
        scope[f"workflow.parameters.{name}"] = text
    assert evaluate(_argo(when([condition], REFERENCES)), scope) is condition.holds(given)
    function = eval(airflow.when([condition], IN_PYTHON), {})
    assert function(values, {f"a-task/{name}": value for name, value in values.items()}) is condition.holds(given)


def test_nested_conditions_hold_together_and_none_is_no_condition() -> None:
    assert when([], REFERENCES) == airflow.when([], IN_PYTHON) == ""
    both = when([_condition(f"{_v('good')} == true"), _condition(f"{_v('p-good')} == true")], REFERENCES)
    assert _argo(both) == (
        "tasks['a-task'].outputs.parameters['good'] == 'true' && workflow.parameters['good'] in ['true', 'True']"
    )
    either = when([_condition(f"{_v('good')} || {_v('p-good')}"), _condition(f"{_v('good')} == false")], REFERENCES)
    scope = {"tasks.a-task.outputs.parameters.good": "true", "workflow.parameters.good": "false"}
    assert evaluate(_argo(either), scope) is False


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        (f"{_v('word')} == 'abc'd'", 'not understood at "d\'"'),
        (f"{_v('word')}.startsWith('a')", "not understood at \".startsWith('a')\""),
        (f"{_v('word')} == 3", "of different types"),
        (f"{_v('good')} < true", "Booleans have no order"),
        (f"{_v('word')}", "is not a Boolean"),
        (f"{_v('things')} == 'a'", "LIST, which has no comparison"),
        (f"{_v('unknown')} == 'a'", "is not given to it"),
        (f"({_v('good')} == true", "a closing bracket is missing"),
        (f"{_v('good')} == true true", "'true' is not expected there"),
        (f"{_v('good')} ==", "it ends too early"),
        (f"int {_v('whole')} == 3", "int without brackets"),
        (f"{_v('good')} == )", "')' is not expected there"),
        (f"{_v('whole')} == 1 + 2", "not understood at '+ 2'"),
    ],
)
def test_what_a_target_cannot_evaluate_is_refused(expression: str, reason: str) -> None:
    for target, translate in (
        ("Argo", lambda condition: when([condition], REFERENCES)),
        ("Airflow", lambda condition: airflow.when([condition], IN_PYTHON)),
    ):
        with pytest.raises(InputError) as error:
            translate(_condition(expression, "is-good"))
        message = str(error.value)
        assert message.startswith(f"condition 'is-good': {target} cannot evaluate ")
        assert reason in message, message
        assert "\n" not in message
