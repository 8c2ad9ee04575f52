"""Stages and commands as processes of their own that need not import libraries first: forks of a process that has.

That is how the local target runs stages, too (`runtime/launch/warm.py`). The process that forks has imported libraries,
and of ours only what has modules of them wait, so what a stage or a command imports of ours, and what it says and
leaves, is as in a process begun anew.
"""

from __future__ import annotations

import atexit
import functools
import gc
import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path

import yaml

_ROOT = Path(__file__).parent.parent
# Of the client's stages and of the command; those of the others are in images/environments.yaml.
_CLIENT_LIBRARIES = (
    *("pyarrow.compute", "pyarrow.csv", "pyarrow.parquet", "google.protobuf.message_factory", "PIL.Image"),
    # (huggingface_hub itself reads its environment when it is imported.)
    *("httpx2", "httpcore2", "concurrent.futures.thread", "tqdm.auto", "filelock", "fsspec"),
    *("click.shell_completion", "rich.console", "rich.table", "pydantic", "requests"),
    *("kfp.compiler", "kfp.kubernetes", "hera.workflows.models"),
)


@functools.cache
def _context() -> ForkServerContext:
    environments = yaml.safe_load((_ROOT / "images" / "environments.yaml").read_text())
    here = Path(sys.prefix).name
    libraries = environments.get(here, {}).get("preload") or _CLIENT_LIBRARIES
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "tests.postponed", *libraries])
    return context


def stage(name: str, arguments: list[str], out: Path, err: Path, variables: dict[str, str] | None = None) -> int:
    """Runs `python -m components.<name>` and returns its exit code, negative for a signal.

    Args:
      name: of the stage.
      arguments: of its command line.
      out: file for its standard output.
      err: file for its standard error.
      variables: its environment; that of the tests without.
    """
    return _run(_be_stage, name, arguments, _ROOT, out, err, dict(os.environ) if variables is None else variables)


def command(
    program: str,
    arguments: list[str],
    cwd: Path,
    out: Path,
    err: Path,
    variables: dict[str, str],
    timeout: float | None = None,
) -> int:
    """Runs `./millrace` without the script that looks for its environment, and returns its exit code.

    Args:
      program: what it is called.
      arguments: of its command line.
      cwd: the folder that it is called in.
      out: file for its standard output.
      err: file for its standard error.
      variables: its environment.
      timeout: in seconds, after which it is killed.

    Raises:
      subprocess.TimeoutExpired: it was killed.
    """
    given = {name: value for name, value in variables.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
    return _run(_be_command, program, arguments, cwd, out, err, given | {"MILLRACE_CALLED": program}, timeout)


def _run(
    be: Callable[[str, list[str]], None],
    name: str,
    arguments: list[str],
    cwd: Path,
    out: Path,
    err: Path,
    variables: dict[str, str],
    timeout: float | None = None,
) -> int:
    before = os.environ.get("PYTHONPATH")
    # Read when the process that forks is started, which is at the first of them.
    os.environ["PYTHONPATH"] = str(_ROOT)
    try:
        process = _context().Process(
            target=_become, args=(be, name, arguments, str(cwd), str(out), str(err), variables)
        )
        process.start()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise subprocess.TimeoutExpired([name, *arguments], timeout or 0, out.read_bytes(), err.read_bytes())
    code = process.exitcode
    process.close()
    return code


def _become(
    be: Callable[[str, list[str]], None],
    name: str,
    arguments: list[str],
    cwd: str,
    out: str,
    err: str,
    variables: dict[str, str],
) -> None:
    # To look for garbage among what was imported before would copy its pages.
    gc.freeze()
    for descriptor, file in ((1, out), (2, err)):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(variables)
    if kube_config := sys.modules.get("kubernetes.config.kube_config"):
        # Read from the environment when it is imported.
        kube_config.KUBE_CONFIG_DEFAULT_LOCATION = os.environ.get("KUBECONFIG", "~/.kube/config")  # type: ignore[attr-defined]
    be(name, arguments)


def _be_stage(name: str, arguments: list[str]) -> None:
    module = f"components.{name}"
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _be_command(program: str, arguments: list[str]) -> None:
    file = str(_ROOT / "runners" / "commands" / "main.py")
    sys.argv = [file, *arguments]
    # As Python does with a file that it runs.
    sys.path.insert(0, str(Path(file).parent))
    # A process that was forked ends without what libraries do at the end, such as removing their temporary files.
    atexit._clear()
    try:
        runpy.run_path(file, run_name="__main__")
    finally:
        atexit._run_exitfuncs()
