"""Values that would not arrive as they were written, in schedules and on the command line; settings have theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from components.runtime.errors import InputError
from runners.remote import schedules
from runners.settings import parameters
from runners.settings.stages import Train

KNOWN = {
    "rate": {"parameterType": "NUMBER_DOUBLE"},
    "steps": {"parameterType": "NUMBER_INTEGER"},
    "config": {"parameterType": "STRUCT"},
}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "steps=9007199254740993",
            "--param steps=9007199254740993: 9007199254740993 would lose digits .*; write a smaller one$",
        ),
        ("rate=Infinity", "--param rate=Infinity: inf is no number in JSON"),
        ("rate=NaN", "--param rate=NaN: nan is no number in JSON"),
        ('config={"a": [null]}', r"--param config=.*: a\.0: null cannot be handed on"),
    ],
)
def test_on_the_command_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parameters.typed([text], KNOWN)


@pytest.mark.parametrize("text", ["train_steps=0", "train_steps=-5", "eval_steps=-1"])
def test_counts_on_the_command_line_and_in_files_are_as_the_settings_hold_them(text: str) -> None:
    known = {name: {"parameterType": "NUMBER_INTEGER"} for name in ("train_steps", "eval_steps")}
    name, _, value = text.partition("=")
    with pytest.raises(InputError, match=f"--param {text}: expected [01] or more"):
        parameters.typed([text], known)
    with pytest.raises(InputError, match=f"parameter {name}: expected [01] or more"):
        parameters.check({name: int(value)}, known, "values.yaml")
    with pytest.raises(ValidationError):
        Train.model_validate({name: int(value)})
    least = {"train_steps": 1, "eval_steps": 0}
    assert parameters.typed([f"{name}={least[name]}"], known) == {name: least[name]}
    Train.model_validate(least)


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
