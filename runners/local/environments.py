"""The locked environments on this machine."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from components.runtime.errors import InputError, StageError
from components.runtime.launch.processes import Environment
from components.runtime.stage.artifacts import file_digest
from runners import PROJECT
from runners.settings.resources import environment, environments, stages
from runners.terminal import output

NOTEBOOK = "notebook"
"""The environment of notebooks' kernels, in which no stage runs."""

SERVING = "serving"
"""The environment of the model server that is built in."""

ON_REQUEST = {SERVING: "serving-environment", "export": "export-environment", "databases": "query-environment"}
"""The environments of stages that not every pipeline has, by the target of the Makefile that makes each."""


def names() -> list[str]:
    """Names of the environments that stages run in."""
    return list(environments())


def environment_of(stage: str, *, on_beam: bool = False) -> str:
    """Name of the environment that a stage runs in.

    Args:
      stage: its name.
      on_beam: whether it has Beam's options.

    Raises:
      InputError: no environment has that stage.
    """
    if stage not in stages():
        raise InputError(f"no environment runs the stage {stage!r}; add it to images/environments.yaml")
    return str(environment(stage, on_beam=on_beam)["name"])


def of_stage(stage: str, on_beam: bool = False) -> Environment:
    """The environment that a stage runs in on this machine; arguments as of `environment_of`.

    Raises:
      InputError: there is none, or it is not installed.
    """
    name = environment_of(stage, on_beam=on_beam)
    return Environment(name, interpreter(name), tuple(environments()[name]["preload"]), PROJECT, stage_variables())


def is_made(environment: str) -> bool:
    """Whether an environment is there, whole, and made from the locks that are there now."""
    python = PROJECT / ".venv" / environment / "bin" / "python"
    # The interpreter may have gone that it was made with.
    return _stamp(environment).exists() and os.access(python, os.X_OK)


def prepare(stages: Iterable[str]) -> None:
    """Has those environments made that stages need and that are not made.

    Raises:
      StageError: that failed.
    """
    if missing := [name for name in {environment_of(stage) for stage in stages} if not is_made(name)]:
        for name in missing:
            _stamp(name).unlink(missing_ok=True)
        if set(missing) - ON_REQUEST.keys():
            make("setup")
        for name in missing:
            if name in ON_REQUEST:
                make(ON_REQUEST[name])


def prepare_for(environment: str, target: str) -> None:
    """Has an environment made in which no stage of every pipeline runs, where it is not.

    Args:
      environment: its name.
      target: of the Makefile, which makes it.

    Raises:
      StageError: that failed.
    """
    if not is_made(environment):
        _stamp(environment).unlink(missing_ok=True)
        make(target)


def _stamp(environment: str) -> Path:
    """As the Makefile names what it leaves in an environment that is made."""
    locks = [PROJECT / "images" / "locks" / f"{name}.txt" for name in (environment, "test")]
    digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()
    return PROJECT / ".venv" / environment / f".made-from-{digest[:16]}"


def make(target: str, **variables: str) -> None:
    """Has the Makefile make something; it tells on standard error what it does.

    Raises:
      StageError: it did not.
    """
    words = ["make", "--directory", str(PROJECT), "--no-print-directory", target]
    given = [f"{name}={value}" for name, value in variables.items()]
    # Not as a part of the make that called this, if one did.
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    told = subprocess.DEVNULL if output.is_quiet() else sys.stderr
    try:
        ended = subprocess.run([*words, *given], env=environment, stdout=told, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise InputError(f"make is not installed, which `make {target}` needs; install it") from None
    if ended.returncode != 0:
        raise StageError(f"`{' '.join(['make', target, *given])}` in {PROJECT} failed; the reason stands above")


def interpreter(environment: str) -> Path:
    """The Python of an environment.

    Raises:
      InputError: it is not installed, or its installation was interrupted.
    """
    folder = PROJECT / ".venv" / environment
    python = folder / "bin" / "python"
    if not python.exists():
        raise InputError(f"the environment {environment!r} is not installed in .venv/{environment}; run `make setup`")
    if not any(folder.glob(".made-from-*")):
        raise InputError(f"the environment {environment!r} in .venv/{environment} is half made; run `make setup`")
    return python


@functools.cache
def code_digest(stage: str, on_beam: bool = False) -> str:
    """Identifies what a stage runs: its own code, what all stages share, and the lock of its environment.

    Args:
      stage: its name.
      on_beam: whether it has Beam's options.
    """
    listing = (
        _listing(PROJECT / "components" / stage),
        _listing(PROJECT / "model_server") if environment_of(stage) == SERVING else "",
        _shared(),
        _line(PROJECT / "images" / "locks" / f"{environment_of(stage, on_beam=on_beam)}.txt"),
    )
    return hashlib.sha256("".join(listing).encode()).hexdigest()


@functools.cache
def _shared() -> str:
    return _listing(PROJECT / "components" / "runtime")


def forget_code() -> None:
    """Has the digests of stages' code computed anew: a process may live longer than that code."""
    code_digest.cache_clear()
    _shared.cache_clear()


def _listing(folder: Path) -> str:
    return "".join(map(_line, sorted(folder.rglob("*.py"))))


def _line(file: Path) -> str:
    return f"{file.relative_to(PROJECT)} {file_digest(file)}\n"


def stage_variables() -> dict[str, str]:
    """Environment variables of every stage."""
    return {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        # Logs and files are UTF-8, whatever the terminal is.
        "PYTHONUTF8": "1",
        "PYTHONIOENCODING": "utf-8",
        # TensorFlow's start-up chatter would hide a stage's own lines; errors still show.
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # Pages are drawn without a display; the kernel of a notebook names a backend that only it has.
        "MPLBACKEND": "Agg",
        # Keras 3 where a library would choose the legacy one on import.
        "TF_USE_LEGACY_KERAS": "0",
    }
