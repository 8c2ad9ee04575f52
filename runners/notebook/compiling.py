"""Compiles a model's pipeline for a kernel."""

from __future__ import annotations

import os
import subprocess

from components.runtime.errors import InputError, StageError
from runners import PROJECT
from runners.local import environments
from runners.settings.model import Settings


def compiled(settings: Settings) -> str:
    """The IR of a model's pipeline, as its settings and the code are now.

    In a process of its own: this one may have begun before its code was edited, and a `pipeline` that it has imported
    may be somebody else's.

    Raises:
      InputError: the settings cannot be compiled.
    """
    environments.prepare(["ingest"])
    ended = subprocess.run(
        [str(environments.interpreter("client")), "-m", "runners.compiled", str(settings.folder), settings.module],
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": str(PROJECT), "PYTHONUTF8": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
    )
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or [f"compiling ended with {ended.returncode}"]
        raise (InputError if ended.returncode == InputError.exit_code else StageError)(said[-1])
    return ended.stdout
