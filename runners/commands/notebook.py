"""`notebook`: JupyterLab with a notebook of a model."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import quote

import click

from components.runtime.errors import InputError
from runners import PROJECT
from runners.commands import completion
from runners.commands.models import load_model
from runners.compiled.ir import documents as documents_of
from runners.compiled.ir import read
from runners.compiled.pipelines import compiled
from runners.local import environments
from runners.notebook import documents
from runners.settings.root import ROOT_VARIABLE
from runners.terminal import foreground, output
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
    environments.prepare_for(environments.NOTEBOOK, "notebook-environment")
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
    exit_code = foreground.run(command, variables)
    error = f"JupyterLab ended with {exit_code}" if exit_code else ""
    return Result({"notebook": file, "new": bool(said)}, product=[file], exit_code=exit_code, error=error)
