"""The commands altogether: their names, their help, that none is slow to ask for."""

from __future__ import annotations

import subprocess
import sys

import click
from click.testing import CliRunner

from runners.commands import cli
from runners.commands.local_path import LocalPath
from tests.runners.command_line import command
from tests.support import ROOT


def test_a_mistyped_command_is_answered_with_the_likely_one() -> None:
    result = command("comprae")
    assert result.returncode == 2
    assert "did you mean compare or compile?" in result.stderr


def test_the_help_names_all_commands_without_importing_them() -> None:
    """And they are there before what compiles or asks a cluster is imported, which takes a second."""
    code = (
        "import importlib, sys; from runners.commands.cli import COMMANDS, main\n"
        "def heavy(): return sorted({'kfp', 'hera', 'kubernetes', 'requests'} & sys.modules.keys())\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(heavy(), 'pydantic' in sys.modules)\n"
        "for place, _ in COMMANDS.values(): importlib.import_module(place.partition(':')[0])\n"
        "print(heavy())"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert all(f"  {name} " in result.stdout for name in cli.COMMANDS), result.stderr
    assert result.stdout.splitlines()[-2:] == ["[] False", "[]"]


def test_a_run_out_of_the_cache_needs_no_arrow_no_numpy_and_no_kfp() -> None:
    """Which take longer to import than such a run takes."""
    code = (
        "import sys, runners.commands.run, components.push.push, components.resolve.resolve\n"
        "print(sorted({'kfp', 'numpy', 'openlineage', 'pyarrow', 'requests'} & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_uri_is_no_folder_of_this_machine() -> None:
    result = CliRunner().invoke(cli.cli, ["infer", "taxi", "--data", "trips", "--out", "s3://rides/out.csv"])
    assert result.exit_code == 2
    assert "Invalid value for '--out': 's3://rides/out.csv' is a URI; name a place on this machine" in result.output
    commands: list[click.Command] = [cli.cli]
    for each in commands:
        if isinstance(each, click.Group):
            found = (each.get_command(click.Context(each), name) for name in each.list_commands(click.Context(each)))
            commands += [inner for inner in found if inner]
        paths = [option.type for option in each.params if isinstance(option.type, click.Path)]
        assert all(isinstance(path, LocalPath) for path in paths), each.name
    assert len(commands) > len(cli.COMMANDS)


def test_every_command_is_there_and_has_help() -> None:
    for name in cli.COMMANDS:
        result = CliRunner().invoke(cli.cli, [name, "--help"])
        assert result.exit_code == 0, (name, result.output)
        assert result.output.startswith(f"Usage: cli {name} "), name
