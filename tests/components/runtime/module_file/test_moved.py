"""Users' code that imports from where things lay before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from components.runtime.module_file import moved
from tests.support import ROOT

MODEL = """
from components.runtime import progress, tfrecord
from components.runtime.fn_args import FnArgs
import components.runtime.storage
from components.runtime.errors import InputError
import helper

def run_fn(fn_args):
    return FnArgs, tfrecord, components.runtime.storage
"""
PROGRAM = """
import sys
from components.runtime import FnArgs
from components.runtime.data import storage, tfrecord
from components.runtime.module_file.loading import call, load_function
made = call(load_function(sys.argv[1], "run_fn"), None)
assert made == (FnArgs, tfrecord, storage), made
assert storage.__spec__.name == storage.__name__ == "components.runtime.data.storage"
"""


def test_old_paths_work_and_say_the_new_ones(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "helper.py").write_text("from components.runtime.progress import report\n")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "model.py")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    here = tmp_path / "model.py"
    assert done.stdout.splitlines() == [
        f"progress: {here}:2: components.runtime.tfrecord has moved: write components.runtime.data.tfrecord; "
        "the old path still works",
        f"progress: {here}:3: components.runtime.fn_args has moved: write `from components.runtime import FnArgs`; "
        "the old path still works",
        f"progress: {here}:4: components.runtime.storage has moved: write components.runtime.data.storage; "
        "the old path still works",
        f"progress: {tmp_path / 'helper.py'}:1: components.runtime.progress has moved: write "
        "`from components.runtime import progress`; the old path still works",
    ]


def test_what_never_was_is_not_found(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            "from components.runtime.module_file import moved; moved.install(); import components.runtime.nix",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "No module named 'components.runtime.nix'" in done.stderr


@pytest.mark.parametrize("old", sorted(moved._MOVED))
def test_every_new_path_is_there_and_no_old_one(old: str) -> None:
    new = ROOT / f"{moved._MOVED[old].replace('.', '/')}.py"
    assert new.is_file()
    assert not (ROOT / f"{old.replace('.', '/')}.py").exists()
    assert moved.told(old).startswith(f"{old} has moved: write ")
