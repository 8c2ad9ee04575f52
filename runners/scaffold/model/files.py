"""The files of a new model, rendered from templates, and written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2

from components.runtime.errors import InputError
from components.runtime.stage.artifacts import remove, write_whole

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".jinja"


def render(plan: Any, kind: str = "table") -> dict[str, str]:
    """Texts by their place in the model's folder.

    Args:
      plan: what the templates are given, as `plan`.
      kind: folder of the templates.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    # A text in double quotes, as Python, YAML and protobuf's text form all read it.
    environment.filters["quoted"] = lambda value: json.dumps(value, ensure_ascii=False)
    made = {}
    for name in environment.list_templates():
        if name.startswith(f"{kind}/") and name.endswith(SUFFIX):
            made[name.removeprefix(f"{kind}/").removesuffix(SUFFIX)] = environment.get_template(name).render(plan=plan)
    return made


def write(folder: Path, made: dict[str, str]) -> None:
    """Writes the files into a folder that is new.

    Raises:
      InputError: something lies there.
    """
    if folder.exists():
        raise InputError(f"{folder}: is there already; name another, or move that away; nothing was changed")
    try:
        for place, text in made.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            write_whole(folder / place, text)
    except BaseException:
        remove(folder)
        raise
