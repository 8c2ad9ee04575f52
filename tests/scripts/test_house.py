"""The shell scripts behind `make setup`, on their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT


def find_python(name: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    if path:
        environment["PATH"] = f"{path}:{environment['PATH']}"
    return subprocess.run(
        ["bash", str(ROOT / "scripts" / "python.sh"), name],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def program(folder: Path, name: str, script: str) -> Path:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_python_is_found_by_name_and_by_path() -> None:
    result = find_python(sys.executable)
    assert result.returncode == 0, result.stderr
    assert Path(result.stdout.strip()).is_file()


def test_shim_prints_the_interpreter_behind_it(tmp_path: Path) -> None:
    program(tmp_path, "python3.11", f'exec {sys.executable} "$@"')
    result = find_python("python3.11", tmp_path)
    assert result.stdout.strip() == sys.executable


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo '3.12 /usr/bin/python3.12'", "is Python 3.12, the locks are for 3.11"),
        (
            "echo 'pyenv: python3.11: command not found' >&2; exit 127",
            "does not run: pyenv: python3.11: command not found",
        ),
        (
            'case "$2" in *ensurepip*) exit 1;; *) echo "3.11 /usr/bin/python3.11";; esac',
            "lacks the modules venv and ensurepip",
        ),
    ],
)
def test_wrong_python_is_told_in_one_line(tmp_path: Path, script: str, expected: str) -> None:
    result = find_python(str(program(tmp_path, "some-python", script)))
    assert result.returncode == 65
    assert result.stdout == ""
    assert expected in result.stderr
    assert "PYTHON=" in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_missing_python_is_told_in_one_line() -> None:
    result = find_python("python-that-is-not-there")
    assert result.returncode == 65
    assert result.stderr.startswith("error: no python-that-is-not-there found")


def test_two_makes_at_once_make_an_environment_once(tmp_path: Path) -> None:
    script = "echo making; sleep 1; mkdir -p .venv/some; touch .venv/some/stamp"
    command = [str(ROOT / "scripts" / "alone.sh"), ".venv/some/stamp", "bash", "-c", script]
    both = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = "".join(process.communicate(timeout=60)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert printed.count("making") == 1
    assert printed.count("waiting for another make that sets up an environment") == 1


def test_help_lists_every_target_of_the_readme() -> None:
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = {line.split()[0] for line in text.splitlines() if line.startswith("  ")}
    readme = (ROOT / "README.md").read_text()
    named = {words.split()[0] for words in readme.replace("`make ", "\nmake ").split("\nmake ")[1:]}
    assert {name.strip("`|,;") for name in named} - {"help"} <= listed
