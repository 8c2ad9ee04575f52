"""What the commands that take a model share."""

from __future__ import annotations

from pathlib import Path

import click

from runners.settings.model import Settings, load, same_name


def load_model(model: str, module: str = "", models: Path | None = None) -> Settings:
    """The settings of the model that a person named; warns where another model's runs would lie among its own.

    Raises:
      InputError: there is no such model, or its settings are wrong.
    """
    settings = load(model, module, models)
    if others := same_name(settings):
        click.echo(
            f"warning: pipeline_name {settings.pipeline_name!r} is also that of {', '.join(others)}: runs, artifacts "
            "and lineage of both go under one name; leave the key out, and it is the folder's, or write another",
            err=True,
        )
    return settings
