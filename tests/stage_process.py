"""Stages as processes of their own that need not import their libraries first: forks of a process that has.

That is how the local target runs them, too (`runtime/launch/warm.py`). The process that forks has imported libraries,
and of ours only what has modules of them wait, so what a stage imports of ours, and what it says and leaves, is as in a
process begun anew.
"""

from __future__ import annotations

import functools
import importlib.util
import multiprocessing
import os
import runpy
import sys
from multiprocessing.context import ForkServerContext
from pathlib import Path

import yaml

_ROOT = Path(__file__).parent.parent
# Of the client's stages; those of the others are in images/environments.yaml.
_CLIENT_LIBRARIES = (
    "pyarrow.compute",
    "pyarrow.csv",
    "pyarrow.parquet",
    "google.protobuf.message_factory",
    "PIL.Image",
)


@functools.cache
def _context() -> ForkServerContext:
    environments = yaml.safe_load((_ROOT / "images" / "environments.yaml").read_text())
    libraries = [
        library
        for environment in environments.values()
        for library in environment["preload"]
        # The outermost package: to look for what is in it would import it here.
        if importlib.util.find_spec(library.partition(".")[0])
    ]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "tests.postponed", *(libraries or _CLIENT_LIBRARIES)])
    return context


def run(stage: str, arguments: list[str], out: Path, err: Path) -> int:
    """Runs `python -m components.<stage>` and returns its exit code, negative for a signal.

    Args:
      stage: name of the stage.
      arguments: of its command line.
      out: file for its standard output.
      err: file for its standard error.
    """
    before = os.environ.get("PYTHONPATH")
    # Read when the process that forks is started, which is at the first stage.
    os.environ["PYTHONPATH"] = str(_ROOT)
    try:
        variables = dict(os.environ)
        process = _context().Process(target=_become, args=(stage, arguments, str(out), str(err), variables))
        process.start()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    process.join()
    code = process.exitcode
    assert code is not None
    process.close()
    return code


def _become(stage: str, arguments: list[str], out: str, err: str, variables: dict[str, str]) -> None:
    for descriptor, file in ((1, out), (2, err)):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    os.chdir(_ROOT)
    os.environ.clear()
    os.environ.update(variables)
    module = f"components.{stage}"
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
