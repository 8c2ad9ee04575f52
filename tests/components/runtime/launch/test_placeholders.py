"""Placeholders of KFP's IR."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.runtime.errors import InputError
from components.runtime.launch.placeholders import resolve

EXECUTOR_INPUT: dict[str, Any] = {
    "inputs": {
        "parameterValues": {"text": 'a "quoted" word', "number": 3},
        "artifacts": {"model": {"artifacts": [{"uri": "/m", "metadata": {"steps": 5}}]}},
    },
    "outputs": {
        "parameters": {"valid": {"outputFile": "/o/valid"}},
        "artifacts": {"report": {"artifacts": [{"uri": "/o/report", "metadata": {}}]}},
    },
}


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("plain {not a placeholder}", "plain {not a placeholder}"),
        ("{{$.inputs.parameters['text']}}", 'a "quoted" word'),
        ("--n={{$.inputs.parameters['number']}}", "--n=3"),
        ("{{$.inputs.artifacts['model'].path}}", "/m"),
        ("{{$.inputs.artifacts['model'].metadata['steps']}}", "5"),
        ("{{$.outputs.artifacts['report'].uri}}", "/o/report"),
        ("{{$.outputs.parameters['valid'].output_file}}", "/o/valid"),
    ],
)
def test_each_form(argument: str, expected: str) -> None:
    assert resolve([argument], EXECUTOR_INPUT) == [expected]


def test_the_whole_executor_input_is_json_even_with_quotes_in_it() -> None:
    assert json.loads(resolve(["{{$}}"], EXECUTOR_INPUT)[0]) == EXECUTOR_INPUT


@pytest.mark.parametrize(
    "path", [".inputs.parameters['absent']", ".inputs.artifacts['model'].metadata['x']", ".nonsense"]
)
def test_what_nothing_answers_is_an_error(path: str) -> None:
    with pytest.raises(InputError, match="names nothing that this execution has"):
        resolve(["{{$" + path + "}}"], EXECUTOR_INPUT)
