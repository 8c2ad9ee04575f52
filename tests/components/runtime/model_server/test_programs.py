"""Which program serves, and its command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from components.runtime.errors import InputError
from components.runtime.model_server.programs import KSERVE, PROGRAM_VARIABLE, TENSORFLOW, Program, find


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program on a path with nothing else, under TensorFlow Serving's name."""
    file = tmp_path / "bin" / "tensorflow_model_server"
    file.parent.mkdir()
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", str(file.parent))
    monkeypatch.delenv(PROGRAM_VARIABLE, raising=False)
    return file


def test_tensorflow_serving_where_it_is_else_the_built_in(program: Path) -> None:
    assert find() == find(TENSORFLOW) == Program(TENSORFLOW, (str(program),))
    assert find().title == "TensorFlow Serving"
    assert find(KSERVE).words == (sys.executable, "-m", "model_server")
    program.unlink()
    assert find().name == KSERVE
    assert find(python=Path("/there/python")).words[0] == "/there/python"
    with pytest.raises(
        InputError, match="tensorflow_model_server is not on the path; install it, name it in MILLRACE_"
    ):
        find(TENSORFLOW)


def test_the_variable_names_the_program(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = program.rename(program.with_name("serving"))
    monkeypatch.setenv(PROGRAM_VARIABLE, str(other))
    assert find() == Program(TENSORFLOW, (str(other),))
    assert find(KSERVE).name == KSERVE
    monkeypatch.setenv(PROGRAM_VARIABLE, "serving")
    assert find() == Program(TENSORFLOW, (str(other),))
    monkeypatch.setenv(PROGRAM_VARIABLE, " kserve ")
    assert find().name == KSERVE
    monkeypatch.setenv(PROGRAM_VARIABLE, "/not/there")
    for name in ("", TENSORFLOW):
        with pytest.raises(InputError, match="MILLRACE_MODEL_SERVER=/not/there: no such program"):
            find(name)


def test_command_lines() -> None:
    options = ["--model_name=m", "--model_base_path=/s", "--port=2", "--rest_api_port=1"]
    made = Program(KSERVE, ("p", "-m", "model_server")).command("m", Path("/s"), 1, 2, "0.0.0.0")
    assert made == ["p", "-m", "model_server", *options, "--file_system_poll_wait_seconds=1", "--address=0.0.0.0"]
    # TensorFlow Serving has no such option.
    assert Program(TENSORFLOW, ("t",)).command("m", Path("/s"), 1, 2, "::1")[-1] == "--file_system_poll_wait_seconds=1"
