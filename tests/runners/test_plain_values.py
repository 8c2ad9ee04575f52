"""Values that would not arrive as they were written, in schedules and on the command line; settings have theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.runtime.errors import InputError
from runners import parameters, schedules

KNOWN = {
    "rate": {"parameterType": "NUMBER_DOUBLE"},
    "steps": {"parameterType": "NUMBER_INTEGER"},
    "config": {"parameterType": "STRUCT"},
}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps=9007199254740993", "--param steps=9007199254740993: 9007199254740993 would lose digits"),
        ("rate=Infinity", "--param rate=Infinity: inf is no number in JSON"),
        ("rate=NaN", "--param rate=NaN: nan is no number in JSON"),
        ('config={"a": [null]}', r"--param config=.*: a\.0: null cannot be handed on"),
    ],
)
def test_on_the_command_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parameters.typed([text], KNOWN)


def test_numbers_on_the_command_line() -> None:
    assert parameters.typed(["rate=1e-3", "steps=9007199254740992"], KNOWN) == {"rate": 0.001, "steps": 2**53}


def test_in_a_schedule(tmp_path: Path) -> None:
    file = tmp_path / "nightly.yaml"
    text = "name: a\npipeline: taxi\ncron: 0 0 2 * * *\nparameters: {rate: %s}\n"
    file.write_text(text % "1e-3")
    [(_, schedule)] = schedules.read([file])
    assert schedule.parameters == {"rate": 0.001}
    for value, fault in (("null", "null cannot"), ("-.inf", "-inf is no number"), ("9007199254740993", "would lose")):
        file.write_text(text % value)
        with pytest.raises(InputError, match=f"nightly.yaml: parameters.rate: .*{fault}"):
            schedules.read([file])


def test_in_a_file_of_values_for_a_server() -> None:
    with pytest.raises(InputError, match=r"values.yaml: parameter steps: 9007199254740993 would lose digits"):
        parameters.check({"steps": 9007199254740993, "rate": 1.0, "config": {}}, KNOWN, "values.yaml")
