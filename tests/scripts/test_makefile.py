"""make: what a person gives reaches the command as it is, and nothing of it is run."""

from __future__ import annotations

import itertools
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.data.sample_data import MODELS
from scripts.data.sample_data import main as sample_data
from tests.support import ROOT

STAMPS = ("UV", "TOOLS", "SAMPLES", "CLIENT", "DATA", "SPACE", "ML", "NOTEBOOK", "TABLES")
CALLS = "calls.jsonl"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile, in which every environment is made, and Python notes what it is called with."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    (folder / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    (folder / "noting.py").write_text(
        f"import json, sys\nwith open({CALLS!r}, 'a') as calls:\n    print(json.dumps(sys.argv[1:]), file=calls)\n"
    )
    for name in STAMPS:
        (folder / f"{name.lower()}.made").touch()
    return folder


def make(checkout: Path, target: str, **given: str) -> tuple[list[list[str]], subprocess.CompletedProcess[str]]:
    """The calls of Python that a target leads to."""
    stamps = [f"{name}_STAMP={name.lower()}.made" for name in STAMPS]
    values = [f"{name}={value}" for name, value in given.items()]
    python = f"{shlex.quote(sys.executable)} noting.py"
    result = subprocess.run(
        ["make", target, f"CLIENT={python}", f"MILLRACE={python}", *stamps, *values],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "ROOT": "/elsewhere", "A": "of the environment"},
    )
    calls = checkout / CALLS
    return [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else [], result


@pytest.mark.parametrize(
    "value",
    [
        *("my data", "taxi; touch ran #", "$(touch ran)", "`touch ran`", "$(shell touch ran)", "$${HOME}$$(touch ran)"),
        *("it's", '"quoted"', "a\\ b", "a,b", "x'; touch ran; '", "*", "~", "a && touch ran", "#", "größe"),
    ],
)
def test_values_are_taken_as_they_are(checkout: Path, value: str) -> None:
    calls, result = make(checkout, "run", MODEL=value, DATA=value, ROOT=value, ARGS="--until 'a task'")
    assert calls == [["--root", value, "run", value, "--data", value, "--until", "a task"]], result
    assert not list(checkout.rglob("ran"))


@pytest.mark.parametrize("value", ["x'; touch ran; '", "$(shell touch ran)"])
def test_every_target_takes_them_so(checkout: Path, value: str) -> None:
    for target, given, expected in (
        ("compare", ("A", "B"), ["compare", value, value]),
        ("lineage", ("ARTIFACT",), ["lineage", value]),
        ("report", ("RUN",), ["report", value]),
        ("compile", ("MODEL",), ["compile", value]),
    ):
        calls, result = make(checkout, target, **dict.fromkeys(given, value))
        assert calls == [expected], result
        (checkout / CALLS).unlink()
    for target, name in (("images", "STAGE"), ("sample-data", "MODEL"), ("download", "MODEL")):
        assert make(checkout, target, **{name: value})[0][-1][-1] == value
    assert make(checkout, "help", MODEL=value, PYTHON=value)[1].returncode == 0
    assert not list(checkout.rglob("ran"))


@pytest.mark.parametrize(
    ("target", "given", "message"),
    [
        (
            "compare",
            {"A": "latest"},
            "say which runs: make compare A=run B=run (an id, the beginning of one, or latest)",
        ),
        ("lineage", {}, "say which artifact: make lineage ARTIFACT=path"),
    ],
)
def test_what_is_missing_is_said_in_makes_own_words(
    checkout: Path, target: str, given: dict[str, str], message: str
) -> None:
    calls, result = make(checkout, target, **given)
    assert not calls
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_help_is_in_columns(checkout: Path) -> None:
    lines = make(checkout, "help")[1].stdout.splitlines()
    targets = [line for line in lines if line.startswith("  ")]
    assert len(targets) > 15
    assert all(line[22] == " " and line[23] != " " for line in targets)
    assert not any(not first and not second for first, second in itertools.pairwise(lines))
    assert "MODEL=taxi, DATA=data/taxi, ROOT=pipeline_root, PYTHON=python3.11" in lines


def test_sample_data_of_a_model_that_has_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample_data(["mine", "--if-there-is-any", "--output", str(tmp_path / "mine")]) == 0
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr() == ("", "")
    assert sample_data(["taxy"]) == 65
    assert f"'taxy', did you mean 'taxi'?; there is some of: {', '.join(MODELS)}" in capsys.readouterr().err
