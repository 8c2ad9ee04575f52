"""`completion`: what makes a shell complete commands, options, models and runs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

from components.runtime.errors import StageError
from runners import in_checkout
from runners.commands.cli import COMPLETE_VARIABLE
from runners.history.records import LATEST, load_run
from runners.settings import folders, resources
from runners.settings.parameters import PARAMETERS
from runners.settings.root import ROOT
from runners.terminal.output import Result

if TYPE_CHECKING:
    from runners.versions.place import Place

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> Result:
    """Print what makes SHELL complete commands, options, models and runs.

    bash, in ~/.bashrc: eval "$(PATH/millrace completion bash)". zsh: the same with zsh, in ~/.zshrc behind compinit.
    fish: PATH/millrace completion fish > ~/.config/fish/completions/millrace.fish.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(context.find_root().command, {}, "millrace", COMPLETE_VARIABLE).source()
    return Result({"shell": shell, "script": script}, script, [script])


def models(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of models, and folders where a path has been begun."""
    if "/" in incomplete or incomplete.startswith((".", "~")):
        return [CompletionItem(incomplete, type="dir")]
    return _beginning(incomplete, folders.names())


def runs(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of runs, the newest first."""
    ids = sorted((folder.name for folder in _root(context).glob("runs/*") if folder.is_dir()), reverse=True)
    # Ids are a pipeline's name, when it began, and a number.
    pipelines = dict.fromkeys(found[1] for each in ids if (found := re.fullmatch(r"(.+)-\d{8}-\d{6}-[0-9a-f]+", each)))
    return _beginning(incomplete, [LATEST, *pipelines, *filter(str.isprintable, ids)])


def artifacts(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What `lineage` takes: RUN/TASK/OUTPUT, a part at a time."""
    name, *rest = incomplete.split("/")
    if not rest:
        return [CompletionItem(f"{item.value}/") for item in runs(context, parameter, incomplete)]
    try:
        executions = load_run(_root(context), name).executions
    except StageError:
        return []
    if len(rest) == 1:
        found = [f"{name}/{task}/" for task in executions]
    else:
        made = executions.get(rest[0])
        found = [f"{name}/{rest[0]}/{output}" for output in made.outputs] if made else []
    return _beginning(incomplete, found)


def tasks(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the tasks that pipelines have."""
    return _beginning(incomplete, resources.tasks())


def parameters(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the parameters of pipelines."""
    return _beginning(incomplete, (f"{name}=" for name in PARAMETERS))


def versions(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Numbers of the versions of the model that was named before, the highest first."""
    place = _place(context)
    return _beginning(incomplete, [str(number) for number in place.numbers()]) if place else []


def labels(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The labels that versions of the model have."""
    place = _place(context)
    return _beginning(incomplete, place.labels()) if place else []


def _place(context: click.Context) -> Place | None:
    from runners.settings.model import load
    from runners.versions.place import Place

    given = {name: context.params.get(name) or "" for name in ("model", "candidate", "directory")}
    try:
        place = Place.of(_root(context), load(given["model"]), given["candidate"], given["directory"])
        place.numbers()
        return place
    except StageError:
        return None


def _beginning(incomplete: str, words: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def _root(context: click.Context) -> Path:
    return Path(context.find_root().params.get("root") or in_checkout(ROOT))
