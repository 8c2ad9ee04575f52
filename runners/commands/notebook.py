"""`notebook`: JupyterLab with a notebook of a model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from urllib.parse import quote

import click

from components.runtime.errors import InputError
from components.runtime.launch.warm import die_with_parent
from runners import PROJECT
from runners.commands import completion
from runners.commands.models import load_model
from runners.compiled.ir import documents as documents_of
from runners.compiled.ir import read
from runners.compiled.pipelines import compiled
from runners.local import environments
from runners.notebook import documents
from runners.settings.root import ROOT_VARIABLE
from runners.terminal import output
from runners.terminal.model_lines import short
from runners.terminal.output import Result

_OPTIONS = (
    "--Application.log_level=WARN",
    # Nothing asks the network, whatever JupyterLab would show of it; see _CONFIGURATION too.
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)

_CONFIGURATION = PROJECT / "runners" / "notebook" / "jupyter"
"""Leaves out JupyterLab's question whether it may fetch news."""


@click.command()
@click.argument("model", shell_complete=completion.models)
@click.option("--no-browser", is_flag=True, help="Only tell the address.")
@click.option("--port", type=click.IntRange(1, 65535), help="The first free one from 8888 on without.")
@click.pass_context
def notebook(context: click.Context, model: str, no_browser: bool, port: int | None) -> Result:
    """Open JupyterLab with the notebook of MODEL, in an environment of its own; Ctrl-C ends it.

    The notebook is MODEL.ipynb beside the model, or in this folder for one of the project; it is written where there
    is none. MODEL is a folder of models/ by its name, or a folder anywhere by its path.
    """
    settings = load_model(model)
    file = documents.place(settings, Path.cwd())
    said = ""
    if not os.path.lexists(file):
        documents.write(file, settings, read(documents_of(compiled(settings))[0]).tasks)
        said = " (new)"
    elif not file.is_file():
        raise InputError(f"{short(file)}: this is no file; move it away, and a notebook is written there")
    environments.prepare_notebook()
    output.note(f"notebook  {short(file)}{said}")
    output.note("JupyterLab starts, and tells its address; Ctrl-C ends it")
    sys.stdout.flush()
    command = [
        str(environments.interpreter(environments.NOTEBOOK)),
        "-m",
        "jupyterlab",
        *_OPTIONS,
        *(["--no-browser"] if no_browser else []),
        # As in a container, which JupyterLab asks about.
        *(["--allow-root"] if os.geteuid() == 0 else []),
        *([f"--ServerApp.port={port}", "--ServerApp.port_retries=0"] if port else []),
        f"--ServerApp.root_dir={file.parent}",
        # The address that is told has the notebook in it, as that which a browser is sent to.
        f"--LabApp.default_url=/lab/tree/{quote(file.name)}",
    ]
    variables = {
        # What a kernel imports, wherever its notebook lies.
        "PYTHONPATH": str(PROJECT),
        ROOT_VARIABLE: str(Path(context.obj["root"]).absolute()),
        "JUPYTER_CONFIG_PATH": os.pathsep.join(
            filter(None, [str(_CONFIGURATION), os.environ.get("JUPYTER_CONFIG_PATH")])
        ),
        # A kernel of the same name in the home folder is another Python.
        "JUPYTER_PREFER_ENV_PATH": "1",
    }
    exit_code = _run(command, os.environ | variables)
    error = f"JupyterLab ended with {exit_code}" if exit_code else ""
    return Result({"notebook": file, "new": bool(said)}, product=[file], exit_code=exit_code, error=error)


def _run(command: list[str], variables: dict[str, str]) -> int:
    """Runs a server until it ends by itself, or by Ctrl-C, which is no fault; it ends its kernels first."""
    # In a group of its own, for the terminal would send it Ctrl-C too, of which it makes a question.
    server = subprocess.Popen(
        command,
        env=variables,
        stdin=subprocess.DEVNULL,
        # What it says is no part of what this command prints.
        stdout=sys.stderr,
        process_group=0,
        preexec_fn=die_with_parent,
    )
    asked = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        # Who asks for a second time does not wait for the kernels.
        (server.kill if asked else server.terminate)()
        asked = True

    handlers = {each: signal.signal(each, end) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        code = server.wait()
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    if asked:
        output.note("ended")
    return 0 if asked else code
