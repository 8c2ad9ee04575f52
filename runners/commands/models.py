"""What the commands that take a model share."""

from __future__ import annotations

from pathlib import Path

from runners.settings.folders import SETTINGS_FILE
from runners.settings.model import Settings, load, own_name, same_name
from runners.terminal import output


def load_model(model: str, module: str = "", models: Path | None = None) -> Settings:
    """The settings of the model that a person named; warns where another model's runs would lie among its own.

    Raises:
      InputError: there is no such model, or its settings are wrong.
    """
    settings = load(model, module, models)
    if others := same_name(settings):
        mend = (
            f"write pipeline_name into {SETTINGS_FILE}"
            if settings.pipeline_name == own_name(settings.folder)
            else "leave the key out, and it is the folder's, or write another"
        )
        output.warn(
            f"warning: pipeline_name {settings.pipeline_name!r} is also that of {', '.join(others)}: runs, artifacts "
            f"and lineage of both go under one name; {mend}"
        )
    return settings
