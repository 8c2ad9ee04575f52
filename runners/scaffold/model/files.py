"""The files of a new model, rendered from templates, and written whole or not at all."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from components.runtime.errors import InputError
from components.runtime.stage.artifacts import remove, write_whole
from runners.scaffold.model import preprocessing_body, sample_rows
from runners.scaffold.model.profile import Plan
from runners.scaffold.model.python_text import constant

TEMPLATES = Path(__file__).parent / "templates"
TABLE = "table"
_SUFFIX = ".jinja"

SETTINGS = {
    "leave_out_without": "Rows without the label teach nothing.",
    "null_values": "What the data writes where a value is missing, besides nothing.",
    "delimiter": "Between cells.",
    "decimal": "1,5 is a number.",
    "encoding": "Of the files.",
    "text_columns": "Text, though it looks like numbers: leading zeros count.",
}
"""What is said over the settings of ingest."""


def render(plan: Plan) -> dict[str, str]:
    """Texts by their place in the folder of a model for a table."""
    made = render_templates(
        TABLE,
        {"plan": plan, "comments": SETTINGS, "sample": sample_rows.sample(plan), **preprocessing_body.variables(plan)},
    )
    return made | {"schema.pbtxt": plan.schema}


def render_templates(kind: str, variables: Mapping[str, Any]) -> dict[str, str]:
    """Texts by their place in the model's folder.

    Args:
      kind: of model, a folder of templates.
      variables: that they are given.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters |= {
        "quoted": _quoted,
        "inline": lambda value: json.dumps(value, ensure_ascii=False),
        "python": constant,
        "code": lambda value: (
            f"`` {str(value).replace('|', chr(92) + '|')} ``" if "`" in str(value) else f"`{_cell(value)}`"
        ),
        "cell": _cell,
        "wrapped": lambda text, width: textwrap.wrap(text, width),
        "capitalise": lambda text: text[:1].upper() + text[1:],
    }
    names = [name for name in environment.list_templates() if name.startswith(f"{kind}/") and name.endswith(_SUFFIX)]
    return {
        name.removeprefix(f"{kind}/").removesuffix(_SUFFIX): environment.get_template(name).render(**variables)
        for name in names
    }


def write(folder: Path, made: Mapping[str, str | bytes]) -> None:
    """Writes the files into a folder that is new.

    Raises:
      InputError: something lies there.
    """
    if folder.exists():
        raise InputError(f"{folder}: is there already; name another, or move that away; nothing was changed")
    try:
        for place, text in made.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(text, bytes):
                (folder / place).write_bytes(text)
            else:
                write_whole(folder / place, text)
    except BaseException:
        if folder.exists():
            remove(folder)
        raise


def _quoted(text: str) -> str:
    """In double quotes, as YAML and protobuf's text form read it."""
    return json.dumps(text, ensure_ascii=False)


def _cell(value: object) -> str:
    """In a table of Markdown."""
    return " ".join(str(value).replace("|", "\\|").split())
