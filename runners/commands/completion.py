"""`completion`: what makes a shell complete commands, options, models and runs."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from runners import in_checkout
from runners.settings.folders import MODELS, SETTINGS_FILE

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands, options, models and runs.

    bash, in ~/.bashrc: eval "$(PATH/millrace completion bash)". zsh: the same with zsh, in ~/.zshrc behind compinit.
    fish: PATH/millrace completion fish > ~/.config/fish/completions/millrace.fish.
    """
    from runners.commands.cli import COMPLETE_VARIABLE

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "millrace", COMPLETE_VARIABLE).source())


def models(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of models, and folders where a path has been begun."""
    if "/" in incomplete or incomplete.startswith((".", "~")):
        return [CompletionItem(incomplete, type="dir")]
    names = sorted(file.parent.name for file in MODELS.glob(f"*/{SETTINGS_FILE}"))
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def runs(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of runs, the newest first."""
    root = context.find_root().params.get("root") or in_checkout("pipeline_root")
    folders = sorted((folder for folder in Path(root).glob("runs/*") if folder.is_dir()), reverse=True)
    names = ["latest", *(folder.name for folder in folders)]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
