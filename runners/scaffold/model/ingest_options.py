"""Settings of ingest as options: `--ingest encoding=cp1252`, before there is a file of settings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from components.runtime.errors import InputError
from components.runtime.text import yaml_files
from runners.settings import mistakes
from runners.settings.stages import Ingest

_NAMED = re.compile(
    r"\b(column_names|null_values|text_columns|split_patterns)\b"
    r"|\bset (header|delimiter|encoding|decimal|format|splits)\b"
    r"|\b(header|delimiter|encoding|decimal|format|splits):"
)
"""A header or a format may also be meant as such."""
_EXAMPLES = {
    "header": "header=false",
    "column_names": "'column_names=[a, b]'",
    "delimiter": "'delimiter=;'",
    "encoding": "encoding=cp1252",
    "null_values": "'null_values=[n/a]'",
    "text_columns": "'text_columns=[zip]'",
    "decimal": "'decimal=,'",
    "format": "format=csv",
    "splits": "'splits={train: 2, eval: 1}'",
    "split_patterns": "'split_patterns={train: train/*, eval: eval/*}'",
}
"""What a person would write, where a message has no value."""


def parse(options: Iterable[str]) -> dict[str, Any]:
    """The settings that options give.

    Args:
      options: each as KEY=VALUE, with a value as YAML has it.

    Raises:
      InputError: one cannot be used; says what can.
    """
    given: dict[str, Any] = {}
    for option in options:
        key, sign, text = option.partition("=")
        if not sign:
            raise InputError(f"--ingest {option}: expected KEY=VALUE, such as --ingest encoding=cp1252")
        if key in given:
            raise InputError(f"--ingest {option}: {key} is given twice; give it once")
        given[key] = _value(key, text)
        try:
            Ingest.model_validate(given)
        except ValidationError as error:
            raise InputError(f"--ingest {option}: {mistakes.explain(error, Ingest)}") from None
    return given


def _value(key: str, text: str) -> Any:
    """Signs such as `;` are no YAML, and need no quotes in a shell's word of their own."""
    field = Ingest.model_fields.get(key)
    is_text = field is not None and isinstance(field.default, str)
    return text if is_text and not text.startswith(('"', "'")) else yaml_files.load(text, f"--ingest {key}={text}")


def in_options(message: str) -> str:
    """What a stage said, its name before it, with options in the place of settings that nobody has yet."""
    stage, _, message = message.partition(": ")
    if stage != "ingest":
        # A schema of few rows fits none but these.
        message = message.removesuffix("; write a schema and name it as schema_file")
        few = stage == "schema" and message.startswith("no inferred schema fits")
        return f"{'too few rows, or splits that differ' if few else stage}: {message}"
    if "got none of the" in message and "rows: give more rows" in message:
        return f"too few rows: {message.partition(': give more rows')[0]}"
    # What a person gave as the label, ingest knows by the name of its setting.
    message = message.replace("leave_out_without", "--label")
    named = list(dict.fromkeys(found[found.lastindex or 0] for found in _NAMED.finditer(message)))
    if not named:
        return message
    said = {name: _said(name, message) for name in named}
    return f"{message}; with new: {' '.join(f'--ingest {text}' for text in said.values())}"


def _said(name: str, message: str) -> str:
    """An option for a setting, with the value that the message has for it, if any."""
    found = re.search(rf"\b{name}: (\"[^\"]*\"|[\w-]+)", message)
    return shlex.quote(f"{name}={found[1]}") if found else _EXAMPLES[name]
